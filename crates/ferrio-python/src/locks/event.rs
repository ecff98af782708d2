//! `asyncio.Event`.

use std::ffi::CStr;

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::memory::Text;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{self, Body, Visitor};
use ferrio_cpython::objects::native_methods::{self, Method};
use ferrio_cpython::objects::recording::waits::{self, Primitive};
use ferrio_cpython::objects::waiter::{self, FutureWaiter};
use ferrio_engine::EventState;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use super::loop_bound::{Binding, bound_to_loop};
use super::wait_queue::{self, WaitQueue, has_wait_queue};
use super::wait_slot::WaitSlot;
use super::{boolean, described, waiters_suffix, wake_all};

/// A flag that tasks wait for.
#[pyclass(frozen, subclass, weakref, dict, module = "ferrio")]
#[derive(Default)]
pub(crate) struct Event {
    state: GilCell<EventState<FutureWaiter>>,
    binding: Binding,
}

impl Event {
    /// Creates an event that is set, for a queue without unfinished items.
    pub(crate) fn new_set(py: Python<'_>) -> PyResult<Bound<'_, Self>> {
        let event = Self::default();
        event.state.with(py, |state| state.is_set = true);
        let event = Bound::new(py, event)?;
        waits::note_made(event.as_any());
        Ok(event)
    }

    /// Sets the flag and wakes all waiters.
    pub(crate) fn set(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let state = &slf.get().state;
        waiter::query_states(py, state, waiters)?;
        wake_all(py, state.with(py, |state| state.set().map(|chosen| chosen.clone_ref(py)).collect()), true)
    }

    /// Whether the flag is set.
    #[inline]
    pub(crate) fn is_set(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.is_set)
    }

    /// Whether it is as it was made: not set, without waiters, bound to no loop.
    pub(crate) fn is_untouched(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| !state.is_set && !state.waiters.was_used()) && self.binding.shown(py).is_none()
    }

    /// The body of `wait`.
    pub(crate) fn waiting(slf: &Bound<'_, Self>) -> Wait {
        Wait { event: OwnedRef::of(slf), waiting: None }
    }
}

bound_to_loop!(Event);
has_wait_queue!(Event, EventState);

#[pymethods]
impl Event {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords), text_signature = "()")]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Self {
        Self::default()
    }

    fn __init__(slf: &Bound<'_, Self>) {
        let before = slf.get().state.with(slf.py(), std::mem::take);
        drop(before);
        waits::note_made(slf.as_any());
    }

    /// Reset the internal flag to false: whoever calls `wait()` from now on waits.
    pub(crate) fn clear(&self, py: Python<'_>) {
        self.state.with(py, |state| state.is_set = false);
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text> {
        let (is_set, count) = slf.get().state.with(slf.py(), |state| (state.is_set, state.waiters.len()));
        let status = if is_set { "set" } else { "unset" };
        described(slf, &format!("{status}{}", waiters_suffix(count)))
    }

    #[getter(_value)]
    fn shown_value(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.is_set)
    }

    #[setter(_value)]
    fn set_value(&self, py: Python<'_>, value: bool) {
        self.state.with(py, |state| state.is_set = value);
    }

    #[getter(_waiters)]
    fn shown_waiters(slf: &Bound<'_, Self>) -> WaitQueue {
        wait_queue::view(slf, access)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.binding.traverse(&visit)?;
        self.state.traverse(&visit, |state| wait_queue::traverse(&state.waiters, &visit)).transpose().map(drop)
    }

    fn __clear__(&self, py: Python<'_>) {
        let waiters = self.state.with(py, |state| state.waiters.take_all());
        drop(waiters);
        self.binding.set(py, None);
    }
}

/// Adds the methods that need no `PyO3` wrapper.
pub(super) fn add_methods(py: Python<'_>) -> PyResult<()> {
    native_methods::add::<0, WaitMethod>(py)?;
    native_methods::add::<0, SetMethod>(py)?;
    native_methods::add::<0, IsSet>(py)
}

struct WaitMethod;

impl Method<0> for WaitMethod {
    type Class = Event;
    const NAME: &'static CStr = c"wait";
    const TEXT: &'static str = "Event.wait";
    const DOC: &'static CStr = c"wait($self)\n--\n\nWait until the internal flag is true, then return True.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, Event>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        coroutine::spawn(slf.py(), "Event.wait", Event::waiting(slf))
    }
}

struct SetMethod;

impl Method<0> for SetMethod {
    type Class = Event;
    const NAME: &'static CStr = c"set";
    const TEXT: &'static str = "Event.set";
    const DOC: &'static CStr = c"set($self)\n--\n\nSet the internal flag to true: all tasks that wait for it go on.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, Event>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        Event::set(slf)?;
        Ok(slf.py().None())
    }
}

struct IsSet;

impl Method<0> for IsSet {
    type Class = Event;
    const NAME: &'static CStr = c"is_set";
    const TEXT: &'static str = "Event.is_set";
    const DOC: &'static CStr = c"is_set($self)\n--\n\nReturn True if and only if the internal flag is true.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, Event>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        Ok(boolean(py, slf.get().is_set(py)).unbind())
    }
}

/// The wait for an event.
pub(crate) struct Wait {
    event: OwnedRef<Event>,
    waiting: Option<WaitSlot>,
}

impl Wait {
    /// What it waits for.
    pub(crate) fn event<'a, 'py>(&'a self, py: Python<'py>) -> &'a Bound<'py, Event> {
        self.event.bind(py)
    }
}

impl Body for Wait {
    const OWNS_PY: bool = false;

    fn try_complete<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let is_set = self.event.bind(py).get().state.with(py, |state| state.is_set);
        Ok(is_set.then(|| boolean(py, true)))
    }

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let event = self.event.bind(py);
        let state = &event.get().state;
        let park = |waiter| state.with(py, |state| state.waiters.push(waiter));
        let slot = match &mut self.waiting {
            Some(slot) => slot,
            place @ None => {
                if state.with(py, |state| state.is_set) {
                    return Ok(Step::Returned(boolean(py, true)));
                }
                place.insert(WaitSlot::new(event, &event.get().binding, park)?)
            }
        };
        let ticket = slot.ticket;
        let outcome = slot.resume(py, input);
        if let Ok(Step::Yielded(_)) = outcome {
            return outcome;
        }
        let waiter = state.with(py, |state| state.waiters.remove(ticket));
        waits::note_ended(event.as_any(), Primitive::Event, waiter.as_ref().map(FutureWaiter::since));
        drop(waiter);
        outcome.map(|_| Step::Returned(boolean(py, true)))
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.event);
        self.waiting.iter().for_each(|slot| slot.traverse(visitor));
    }
}
