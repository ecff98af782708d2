//! What is done to a queue without waiting: putting, getting, counting, waking, shutting down.
//!
//! Each function does what asyncio's method of that name does, and calls by name what a subclass may have overridden.

use ferrio_cpython::parked::{self, Parked};
use ferrio_cpython::plain::is_plain;
use ferrio_cpython::raising::raised;
use ferrio_engine::{Done, Exchange, Side, Standing};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::kinds::{LifoQueue, PriorityQueue};
use super::queue::{Limit, Queue};
use super::shut_down;
use super::storage::{self, Kind};
use crate::imports;
use crate::sync::event::Event;

/// How a queue orders its items, if nothing of it can be overridden.
#[inline]
pub(super) fn kind(queue: &Bound<'_, Queue>) -> Option<Kind> {
    if is_plain::<Queue>(queue) {
        Some(Kind::Fifo)
    } else if is_plain::<LifoQueue>(queue) {
        Some(Kind::Lifo)
    } else if is_plain::<PriorityQueue>(queue) {
        Some(Kind::Priority)
    } else {
        None
    }
}

fn is_true(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    object.is_truthy()
}

/// `self.empty()`.
#[inline]
pub(super) fn is_empty(queue: &Bound<'_, Queue>) -> PyResult<bool> {
    let py = queue.py();
    match kind(queue) {
        Some(_) => storage::is_empty(py, &queue.get().items),
        None => is_true(&queue.call_method0(pyo3::intern!(py, "empty"))?),
    }
}

/// `self.full()`.
#[inline]
pub(super) fn is_full(queue: &Bound<'_, Queue>) -> PyResult<bool> {
    match kind(queue) {
        Some(_) => own_full(queue),
        None => is_true(&queue.call_method0(pyo3::intern!(queue.py(), "full"))?),
    }
}

/// `Queue.full`.
#[inline]
pub(super) fn own_full(queue: &Bound<'_, Queue>) -> PyResult<bool> {
    let py = queue.py();
    match queue.get().limit.get(py) {
        Limit::None => Ok(false),
        Limit::At(limit) if kind(queue).is_some() => Ok(storage::len(py, &queue.get().items)? >= limit),
        Limit::At(_) | Limit::Object => {
            let limit = queue.get().shown_maxsize(py)?;
            if limit.bind(py).le(0)? {
                return Ok(false);
            }
            queue.call_method0(pyo3::intern!(py, "qsize"))?.ge(limit)
        }
    }
}

/// `self.put_nowait(item)`.
#[inline]
pub(super) fn put_now<'py>(queue: &Bound<'py, Queue>, item: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = queue.py();
    if kind(queue).is_none() {
        return queue.call_method1(pyo3::intern!(py, "put_nowait"), (item,));
    }
    own_put_now(queue, item)?;
    Ok(py.None().into_bound(py))
}

/// `Queue.put_nowait`.
pub(super) fn own_put_now<'py>(queue: &Bound<'py, Queue>, item: Bound<'py, PyAny>) -> PyResult<()> {
    let py = queue.py();
    let this = queue.get();
    if this.exchange.with(py, |exchange| exchange.is_shut_down) {
        return Err(shut_down(py));
    }
    if is_full(queue)? {
        return Err(raised(&imports::queue_full(py)?.call0()?));
    }
    match kind(queue) {
        Some(kind) => storage::put(&this.items, kind, item)?,
        None => queue.call_method1(pyo3::intern!(py, "_put"), (item,)).map(drop)?,
    }
    if let Some(finished) = this.finished(py) {
        finished.get().clear(py);
    }
    parked::ask(py, &this.exchange, |exchange| exchange.line(Side::Get))?;
    let mut spent = Vec::new();
    let next = this.exchange.with(py, |exchange| exchange.note_put(&mut spent));
    wake(py, next)
}

/// `self.get_nowait()`.
#[inline]
pub(super) fn get_now<'py>(queue: &Bound<'py, Queue>) -> PyResult<Bound<'py, PyAny>> {
    match kind(queue) {
        Some(_) => own_get_now(queue),
        None => queue.call_method0(pyo3::intern!(queue.py(), "get_nowait")),
    }
}

/// `Queue.get_nowait`.
pub(super) fn own_get_now<'py>(queue: &Bound<'py, Queue>) -> PyResult<Bound<'py, PyAny>> {
    let py = queue.py();
    let this = queue.get();
    if is_empty(queue)? {
        if this.exchange.with(py, |exchange| exchange.is_shut_down) {
            return Err(shut_down(py));
        }
        return Err(raised(&imports::queue_empty(py)?.call0()?));
    }
    let item = take(queue)?;
    wake_next(queue, Side::Put)?;
    Ok(item)
}

/// `self._get()`.
fn take<'py>(queue: &Bound<'py, Queue>) -> PyResult<Bound<'py, PyAny>> {
    let py = queue.py();
    match kind(queue) {
        Some(kind) => storage::get(py, &queue.get().items, kind),
        None => queue.call_method0(pyo3::intern!(py, "_get")),
    }
}

/// `_wakeup_next` of one of the queue's own lines.
pub(super) fn wake_next(queue: &Bound<'_, Queue>, side: Side) -> PyResult<()> {
    let py = queue.py();
    let exchange = &queue.get().exchange;
    if exchange.with(py, |exchange| exchange.line(side).is_empty()) {
        return Ok(());
    }
    parked::ask(py, exchange, |exchange| exchange.line(side))?;
    let mut spent = Vec::new();
    let next = exchange.with(py, |exchange| exchange.wake_next(side, &mut spent));
    wake(py, next)
}

fn wake(py: Python<'_>, chosen: Option<Parked>) -> PyResult<()> {
    chosen.map_or(Ok(()), |parked| parked.wake(py, py.None().into_bound(py)))
}

/// `_wakeup_next` of anything that has `popleft`.
pub(super) fn wake_next_of(waiters: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = waiters.py();
    while waiters.is_truthy()? {
        let waiter = Parked::new(&waiters.call_method0(pyo3::intern!(py, "popleft"))?);
        if waiter.standing_now(py)? == Standing::Waiting {
            return wake(py, Some(waiter));
        }
    }
    Ok(())
}

/// `Queue.task_done`.
pub(super) fn task_done(queue: &Bound<'_, Queue>) -> PyResult<()> {
    let py = queue.py();
    match queue.get().exchange.with(py, Exchange::task_done) {
        Done::TooOften => Err(PyValueError::new_err("task_done() called too many times")),
        Done::More => Ok(()),
        Done::All => all_finished(queue),
    }
}

/// `self._finished.set()`.
fn all_finished(queue: &Bound<'_, Queue>) -> PyResult<()> {
    queue.get().finished(queue.py()).map_or(Ok(()), |finished| Event::set(&finished))
}

/// `Queue.shutdown`.
pub(super) fn shut_down_now(queue: &Bound<'_, Queue>, immediate: bool) -> PyResult<()> {
    let py = queue.py();
    let exchange = &queue.get().exchange;
    exchange.with(py, |exchange| exchange.is_shut_down = true);
    if immediate {
        while !is_empty(queue)? {
            drop(take(queue)?);
            exchange.with(py, Exchange::note_discarded);
        }
        if exchange.with(py, |exchange| exchange.unfinished) == 0 {
            all_finished(queue)?;
        }
    }
    let dismissed = exchange.with(py, Exchange::dismiss);
    dismissed.into_iter().try_for_each(|parked| {
        // One before may have changed it.
        if parked.standing_now(py)? == Standing::Waiting { wake(py, Some(parked)) } else { Ok(()) }
    })
}

/// What asyncio would do with a `maxsize`.
pub(super) fn limit_of(maxsize: &Bound<'_, PyAny>) -> Limit {
    if let Ok(number) = maxsize.extract::<i64>() {
        return usize::try_from(number).ok().filter(|limit| *limit > 0).map_or(Limit::None, Limit::At);
    }
    Limit::Object
}
