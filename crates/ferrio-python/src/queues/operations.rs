//! Operations on a queue that do not wait: putting, getting, counting, waking, shutting down.
//!
//! Each function does what asyncio's method of that name does, and calls by name the methods that a subclass may
//! override.

use ferrio_cpython::capi::exact_type::ExactType;
use ferrio_cpython::capi::raise::raised;
use ferrio_cpython::objects::waiter::{self, FutureWaiter};
use ferrio_engine::{Done, Side, WaiterState};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBool;

use super::queue::{Limit, Queue, State};
use super::shut_down;
use super::storage::{self, Kind, Storage};
use crate::common::imports;
use crate::common::numbers::plain_integer;
use crate::locks::event::Event;

/// The queue classes, as `kind` compares them.
pub(super) static CLASSES: [(ExactType, Kind); 3] =
    [(ExactType::new(), Kind::Fifo), (ExactType::new(), Kind::Lifo), (ExactType::new(), Kind::Priority)];

/// The order of a queue's items, if none of its methods can be overridden.
#[inline]
pub(super) fn kind(queue: &Bound<'_, Queue>) -> Option<Kind> {
    let [(own_queue, kind), others @ ..] = &CLASSES;
    if own_queue.is_unpatched(queue) {
        return Some(*kind);
    }
    others.iter().find(|(class, _)| class.is_unpatched(queue)).map(|(_, kind)| *kind)
}

fn is_true(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    object.is_truthy()
}

/// `self.empty()`, which a subclass may override.
#[inline]
pub(super) fn is_empty(queue: &Bound<'_, Queue>) -> PyResult<bool> {
    let py = queue.py();
    match kind(queue) {
        Some(_) => storage::is_empty(py, &queue.get().state),
        None => is_true(&queue.call_method0(pyo3::intern!(py, "empty"))?),
    }
}

/// `self.full()`, which a subclass may override.
#[inline]
pub(super) fn is_full(queue: &Bound<'_, Queue>) -> PyResult<bool> {
    match kind(queue) {
        Some(_) => full(queue),
        None => is_true(&queue.call_method0(pyo3::intern!(queue.py(), "full"))?),
    }
}

/// The body of `Queue.full`.
#[inline]
pub(super) fn full(queue: &Bound<'_, Queue>) -> PyResult<bool> {
    let py = queue.py();
    match queue.get().state.with(py, |state| state.limit) {
        Limit::None => Ok(false),
        Limit::At(limit) if kind(queue).is_some() => Ok(storage::len(py, &queue.get().state)? >= limit),
        Limit::At(_) | Limit::Object => {
            let limit = queue.get().shown_maxsize(py)?.into_bound(py);
            if limit.le(0)? {
                return Ok(false);
            }
            queue.call_method0(pyo3::intern!(py, "qsize"))?.ge(limit)
        }
    }
}

/// `self.put_nowait(item)`, which a subclass may override.
#[inline]
pub(super) fn call_put_nowait<'py>(queue: &Bound<'py, Queue>, item: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = queue.py();
    if kind(queue).is_none() {
        return queue.call_method1(pyo3::intern!(py, "put_nowait"), (item,));
    }
    put_nowait(queue, item)?;
    Ok(py.None().into_bound(py))
}

/// The body of `Queue.put_nowait`.
#[inline]
pub(super) fn put_nowait<'py>(queue: &Bound<'py, Queue>, item: Bound<'py, PyAny>) -> PyResult<()> {
    let kind = kind(queue);
    match kind {
        Some(Kind::Fifo | Kind::Lifo) => match put_natively(queue, item) {
            Put::Done => Ok(()),
            Put::Wakes => wake_next(queue, Side::Get),
            Put::Rejected(item) => put_slowly(queue, kind, item),
        },
        Some(Kind::Priority) | None => put_slowly(queue, kind, item),
    }
}

/// The outcome of a native put.
enum Put<'py> {
    Done,
    /// A task waits for an item and must be woken.
    Wakes,
    /// The items are not native, the item does not fit, or the queue is shut down.
    Rejected(Bound<'py, PyAny>),
}

#[inline]
fn put_natively<'py>(queue: &Bound<'py, Queue>, item: Bound<'py, PyAny>) -> Put<'py> {
    let py = queue.py();
    queue.get().state.with(py, |state| {
        let State { exchange, items: Storage::Native(items), limit, finished } = state else {
            return Put::Rejected(item);
        };
        let fits = match limit {
            Limit::None => true,
            Limit::At(limit) => items.len() < *limit,
            Limit::Object => false,
        };
        // If memory runs out, `put_slowly` raises the error.
        if exchange.is_shut_down || !fits || !storage::reserve_one(items) {
            return Put::Rejected(item);
        }
        items.push_back(item.into());
        exchange.note_put();
        if let Some(finished) = finished {
            finished.bind(py).get().clear(py);
        }
        if exchange.getters.is_empty() { Put::Done } else { Put::Wakes }
    })
}

/// Puts an item if the items are native and it fits; returns whether it did.
#[inline]
pub(super) fn try_put<'py>(queue: &Bound<'py, Queue>, item: &Bound<'py, PyAny>) -> PyResult<bool> {
    match kind(queue) {
        Some(Kind::Fifo | Kind::Lifo) => match put_natively(queue, item.clone()) {
            Put::Done => Ok(true),
            Put::Wakes => wake_next(queue, Side::Get).map(|()| true),
            Put::Rejected(_) => Ok(false),
        },
        Some(Kind::Priority) | None => Ok(false),
    }
}

#[cold]
fn put_slowly<'py>(queue: &Bound<'py, Queue>, kind: Option<Kind>, item: Bound<'py, PyAny>) -> PyResult<()> {
    let py = queue.py();
    let this = queue.get();
    if this.state.with(py, |state| state.exchange.is_shut_down) {
        return Err(shut_down(py));
    }
    if is_full(queue)? {
        return Err(raised(&imports::queue_full(py)?.call0()?));
    }
    match kind {
        Some(kind) => storage::put(&this.state, kind, item)?,
        None => queue.call_method1(pyo3::intern!(py, "_put"), (item,)).map(drop)?,
    }
    this.state.with(py, |state| state.exchange.note_put());
    if let Some(finished) = this.finished(py) {
        finished.get().clear(py);
    }
    wake_next(queue, Side::Get)
}

/// `self.get_nowait()`, which a subclass may override.
#[inline]
pub(super) fn call_get_nowait<'py>(queue: &Bound<'py, Queue>) -> PyResult<Bound<'py, PyAny>> {
    match kind(queue) {
        Some(_) => get_nowait(queue),
        None => queue.call_method0(pyo3::intern!(queue.py(), "get_nowait")),
    }
}

/// The body of `Queue.get_nowait`.
pub(super) fn get_nowait<'py>(queue: &Bound<'py, Queue>) -> PyResult<Bound<'py, PyAny>> {
    let py = queue.py();
    if let Some(item) = try_get(queue)? {
        return Ok(item);
    }
    if is_empty(queue)? {
        if queue.get().state.with(py, |state| state.exchange.is_shut_down) {
            return Err(shut_down(py));
        }
        return Err(raised(&imports::queue_empty(py)?.call0()?));
    }
    let item = take(queue)?;
    wake_next(queue, Side::Put)?;
    Ok(item)
}

/// The next item, if the items are native and there is one.
#[inline]
pub(super) fn try_get<'py>(queue: &Bound<'py, Queue>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = queue.py();
    let is_fifo = match kind(queue) {
        Some(Kind::Fifo) => true,
        Some(Kind::Lifo) => false,
        Some(Kind::Priority) | None => return Ok(None),
    };
    let (item, wakes) = queue.get().state.with(py, |state| match &mut state.items {
        Storage::Native(items) => {
            let item = if is_fifo { items.pop_front() } else { items.pop_back() };
            (item, !state.exchange.putters.is_empty())
        }
        Storage::Object(_) => (None, false),
    });
    if item.is_some() && wakes {
        wake_next(queue, Side::Put)?;
    }
    Ok(item.map(|item| item.into_bound(py)))
}

/// `self._get()`, which a subclass may override.
fn take<'py>(queue: &Bound<'py, Queue>) -> PyResult<Bound<'py, PyAny>> {
    let py = queue.py();
    match kind(queue) {
        Some(kind) => storage::get(py, &queue.get().state, kind),
        None => queue.call_method0(pyo3::intern!(py, "_get")),
    }
}

/// `_wakeup_next` for one of the queue's own wait queues.
pub(super) fn wake_next(queue: &Bound<'_, Queue>, side: Side) -> PyResult<()> {
    let py = queue.py();
    let state = &queue.get().state;
    waiter::query_states(py, state, |state| state.exchange.wait_queue(side))?;
    let mut spent = Vec::new();
    let next = state.with(py, |state| state.exchange.wake_next(side, &mut spent));
    wake(py, next)
}

fn wake(py: Python<'_>, chosen: Option<FutureWaiter>) -> PyResult<()> {
    chosen.map_or(Ok(()), |waiter| waiter.wake(py, py.None().into_bound(py)))
}

/// `_wakeup_next` for any object that has `popleft`.
pub(super) fn wake_next_of(waiters: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = waiters.py();
    while waiters.is_truthy()? {
        let waiter = FutureWaiter::new(&waiters.call_method0(pyo3::intern!(py, "popleft"))?);
        if waiter.state_now(py)? == WaiterState::Waiting {
            return wake(py, Some(waiter));
        }
    }
    Ok(())
}

/// The body of `Queue.task_done`.
pub(super) fn task_done(queue: &Bound<'_, Queue>) -> PyResult<()> {
    let py = queue.py();
    match queue.get().state.with(py, |state| state.exchange.task_done()) {
        Done::TooOften => Err(ferrio_cpython::error::<PyValueError>("task_done() called too many times")),
        Done::More => Ok(()),
        Done::All => all_finished(queue),
    }
}

/// `self._finished.set()`.
fn all_finished(queue: &Bound<'_, Queue>) -> PyResult<()> {
    queue.get().finished(queue.py()).map_or(Ok(()), |finished| Event::set(&finished))
}

/// The body of `Queue.shutdown`.
pub(super) fn shut_down_now(queue: &Bound<'_, Queue>, immediate: bool) -> PyResult<()> {
    let py = queue.py();
    let state = &queue.get().state;
    state.with(py, |state| state.exchange.is_shut_down = true);
    if immediate {
        while !is_empty(queue)? {
            drop(take(queue)?);
            state.with(py, |state| state.exchange.note_discarded());
        }
        if state.with(py, |state| state.exchange.unfinished) == 0 {
            all_finished(queue)?;
        }
    }
    let dismissed = state.with(py, |state| state.exchange.dismiss());
    dismissed.into_iter().try_for_each(|waiter| {
        // A callback of an earlier waiter may have changed its state.
        if waiter.state_now(py)? == WaiterState::Waiting { wake(py, Some(waiter)) } else { Ok(()) }
    })
}

/// The native limit that has the effect of `maxsize` in asyncio.
pub(super) fn limit_of(maxsize: &Bound<'_, PyAny>) -> Limit {
    let number = if maxsize.is_instance_of::<PyBool>() { maxsize.extract().ok() } else { plain_integer(maxsize) };
    if let Some(number) = number {
        return usize::try_from(number).ok().filter(|limit| *limit > 0).map_or(Limit::None, Limit::At);
    }
    Limit::Object
}
