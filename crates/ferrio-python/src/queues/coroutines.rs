//! The bodies of `get`, `put` and `join`.

use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::raise::handling;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Awaiting, Body, Visitor};
use ferrio_cpython::objects::recording::waits::{self, Primitive};
use ferrio_cpython::objects::waiter::{self, FutureWaiter};
use ferrio_engine::{Side, Ticket};
use pyo3::prelude::*;

use super::queue::Queue;
use super::{operations, shut_down};
use crate::locks::event::{Event, Wait};

/// A waiting task's entry in one of a queue's two wait queues.
struct WaitSlot {
    awaiting: Awaiting,
    ticket: Ticket,
    waiter: FutureWaiter,
}

impl WaitSlot {
    /// Joins the wait queue.
    fn new(queue: &Bound<'_, Queue>, side: Side) -> PyResult<Self> {
        let py = queue.py();
        let future = queue.get().binding.new_waiter(queue)?;
        let awaiting = Awaiting::new(&future)?;
        let waiter = FutureWaiter::new(&future);
        let second = waiter.clone_ref(py);
        let ticket = queue.get().state.with(py, |state| state.exchange.wait_queue(side).push(second));
        let ticket = ticket.ok_or_else(|| ferrio_cpython::capi::memory::out_of_memory(py))?;
        Ok(Self { awaiting, ticket, waiter })
    }

    /// Leaves the wait queue because of an error, and passes a wake-up already received on to the next waiter.
    fn give_up(&self, queue: &Bound<'_, Queue>, side: Side) -> PyResult<()> {
        let py = queue.py();
        let waiter_state = self.waiter.cancel(py)?;
        let state = &queue.get().state;
        let own = state.with(py, |state| state.exchange.wait_queue(side).remove(self.ticket));
        drop(own);
        let available = !is_blocked(queue, side)?;
        waiter::query_states(py, state, |state| state.exchange.wait_queue(side))?;
        let mut spent = Vec::new();
        let next =
            state.with(py, |state| state.exchange.give_up(side, self.ticket, waiter_state, available, &mut spent));
        next.map_or(Ok(()), |next| next.wake(py, py.None().into_bound(py)))
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        self.awaiting.traverse(visitor);
        self.waiter.show(visitor);
    }
}

/// Whether `get` (empty) or `put` (full) would block.
#[inline]
fn is_blocked(queue: &Bound<'_, Queue>, side: Side) -> PyResult<bool> {
    match side {
        Side::Get => operations::is_empty(queue),
        Side::Put => operations::is_full(queue),
    }
}

/// Waits until `get` or `put` would not block: returns the yielded object, or None when the wait is over.
fn wait<'py>(
    queue: &Bound<'py, Queue>,
    side: Side,
    waiting: &mut Option<WaitSlot>,
    mut input: PyResult<Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = queue.py();
    loop {
        if let Some(slot) = waiting {
            let outcome = slot.awaiting.resume(py, input);
            if let Ok(Step::Yielded(yielded)) = outcome {
                return Ok(Some(yielded));
            }
            waits::note_ended(queue.as_any(), Primitive::Queue, Some(slot.waiter.since()));
            match outcome {
                Ok(_) => *waiting = None,
                Err(error) => {
                    handling(py, &error, || slot.give_up(queue, side))?;
                    return Err(error);
                }
            }
        }
        if !is_blocked(queue, side)? {
            return Ok(None);
        }
        let is_shut_down = queue.get().state.with(py, |state| state.exchange.is_shut_down);
        if is_shut_down && (side == Side::Put || operations::is_empty(queue)?) {
            return Err(shut_down(py));
        }
        *waiting = Some(WaitSlot::new(queue, side)?);
        input = Ok(py.None().into_bound(py));
    }
}

/// The body of `Queue.get`.
pub(super) struct Get {
    queue: OwnedRef<Queue>,
    waiting: Option<WaitSlot>,
}

impl Get {
    pub(super) fn new(queue: &Bound<'_, Queue>) -> Self {
        Self { queue: OwnedRef::of(queue), waiting: None }
    }
}

impl Body for Get {
    const OWNS_PY: bool = false;

    fn try_complete<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        operations::try_get(self.queue.bind(py))
    }

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let queue = self.queue.bind(py);
        match wait(queue, Side::Get, &mut self.waiting, input)? {
            Some(yielded) => Ok(Step::Yielded(yielded)),
            None => operations::call_get_nowait(queue).map(Step::Returned),
        }
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.queue);
        self.waiting.iter().for_each(|slot| slot.traverse(visitor));
    }
}

/// The body of `Queue.put`.
pub(super) struct Put {
    queue: OwnedRef<Queue>,
    item: OwnedRef,
    waiting: Option<WaitSlot>,
}

impl Put {
    pub(super) fn new(queue: &Bound<'_, Queue>, item: Bound<'_, PyAny>) -> Self {
        Self { queue: OwnedRef::of(queue), item: item.into(), waiting: None }
    }
}

impl Body for Put {
    const OWNS_PY: bool = false;

    fn try_complete<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let is_put = operations::try_put(self.queue.bind(py), self.item.bind(py))?;
        Ok(is_put.then(|| py.None().into_bound(py)))
    }

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let queue = self.queue.bind(py);
        match wait(queue, Side::Put, &mut self.waiting, input)? {
            Some(yielded) => Ok(Step::Yielded(yielded)),
            None => operations::call_put_nowait(queue, self.item.bind(py).clone()).map(Step::Returned),
        }
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.queue);
        visitor.show_owned(&self.item);
        self.waiting.iter().for_each(|slot| slot.traverse(visitor));
    }
}

/// The body of `Queue.join`.
pub(super) struct Join {
    queue: Py<Queue>,
    wait: Option<Wait>,
}

impl Join {
    pub(super) fn new(queue: &Bound<'_, Queue>) -> Self {
        Self { queue: queue.clone().unbind(), wait: None }
    }
}

impl Body for Join {
    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let nothing = || Ok(Step::Returned(py.None().into_bound(py)));
        let wait = match &mut self.wait {
            Some(wait) => wait,
            place @ None => {
                let queue = self.queue.get();
                if queue.state.with(py, |state| state.exchange.unfinished) <= 0 {
                    return nothing();
                }
                let Some(finished) = queue.finished(py) else {
                    return nothing();
                };
                place.insert(Event::waiting(&finished))
            }
        };
        match wait.resume(py, input)? {
            Step::Returned(_) => nothing(),
            step @ Step::Yielded(_) => Ok(step),
        }
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show(&self.queue);
        self.wait.iter().for_each(|wait| wait.traverse(visitor));
    }
}
