//! `asyncio.Semaphore` and `asyncio.BoundedSemaphore`.

use std::ffi::CStr;

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::exact_type::ExactType;
use ferrio_cpython::capi::memory::Text;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::async_with;
use ferrio_cpython::objects::coroutine::{self, Body, Visitor};
use ferrio_cpython::objects::native_methods::{self, Method};
use ferrio_cpython::objects::recording::holders::{self, Sharing};
use ferrio_cpython::objects::recording::is_on;
use ferrio_cpython::objects::recording::waits::{self, Primitive};
use ferrio_cpython::objects::waiter::{self, FutureWaiter};
use ferrio_engine::{SemaphoreState, Ticket, WaiterState};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use super::loop_bound::{Binding, bound_to_loop};
use super::optional_argument::Argument;
use super::wait_queue::{self, WaitQueue, has_wait_queue};
use super::wait_slot::WaitSlot;
use super::{async_context, boolean, described, is_cancellation, waiters_suffix};
use crate::common::numbers::{equal_integer, plain_integer};
use crate::compat::locks::behavior;

/// A number of permits for tasks: first come, first served.
#[pyclass(frozen, subclass, weakref, dict, module = "ferrio")]
pub(crate) struct Semaphore {
    state: GilCell<SemaphoreState<FutureWaiter>>,
    /// The value as the caller passed it, if it is not a plain integer, and the engine's number for it.
    given: GilCell<Option<(Py<PyAny>, i64)>>,
    binding: Binding,
}

impl Semaphore {
    /// Returns a permit and wakes the longest waiter.
    fn release(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let state = &slf.get().state;
        waiter::query_states(py, state, waiters)?;
        if is_on() {
            holders::note_released(slf.as_any(), Sharing::Shared);
        }
        let next = state.with(py, |state| {
            state.release();
            state.choose().map(|next| next.clone_ref(py))
        });
        next.map_or(Ok(()), |next| next.wake(py, boolean(py, true)))
    }

    /// Wakes the longest waiter if a permit is free, and says whether it did.
    fn wake_next_if_free(&self, py: Python<'_>) -> PyResult<bool> {
        waiter::query_states(py, &self.state, waiters)?;
        match self.state.with(py, |state| state.choose_if_free().map(|next| next.clone_ref(py))) {
            Some(next) => next.wake(py, boolean(py, true)).map(|()| true),
            None => Ok(false),
        }
    }
}

/// The engine's number for a value that never reaches zero by being decremented.
const WITHOUT_END: i64 = i64::MAX / 2;

/// The class, for recognising unpatched instances.
pub(super) static CLASS: ExactType = ExactType::new();
static BOUNDED_CLASS: ExactType = ExactType::new();

bound_to_loop!(Semaphore);
has_wait_queue!(Semaphore, SemaphoreState);

#[pymethods]
impl Semaphore {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords), text_signature = "(value=1)")]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Self {
        Self { state: GilCell::new(SemaphoreState::new(1)), given: GilCell::default(), binding: Binding::default() }
    }

    #[pyo3(signature = (value=Argument(None)))]
    fn __init__<'py>(slf: &Bound<'py, Self>, value: Argument<'py>) -> PyResult<()> {
        let (this, py) = (slf.get(), slf.py());
        if let Some(value) = &value.0
            && value.lt(0)?
        {
            return Err(ferrio_cpython::error::<PyValueError>("Semaphore initial value must be >= 0"));
        }
        let before = this.state.with(py, |state| std::mem::replace(state, SemaphoreState::new(1)));
        drop((before, this.given.with(py, Option::take)));
        waits::note_made(slf.as_any());
        value.0.map_or(Ok(()), |value| this.set_value(&value))
    }

    /// Returns True if semaphore cannot be acquired immediately.
    fn locked(&self, py: Python<'_>) -> PyResult<bool> {
        waiter::query_states(py, &self.state, waiters)?;
        Ok(self.state.with(py, |state| state.is_locked()))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text> {
        let py = slf.py();
        let count = slf.get().state.with(py, |state| state.waiters.len());
        let status = if slf.call_method0(pyo3::intern!(py, "locked"))?.is_truthy()? {
            "locked".to_owned()
        } else {
            format!("unlocked, value:{}", slf.get().shown_value(py)?.bind(py))
        };
        described(slf, &format!("{status}{}", waiters_suffix(count)))
    }

    #[getter(_value)]
    fn shown_value(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let number = self.state.with(py, |state| state.value);
        let given = self.given.with(py, |given| given.as_ref().map(|(value, start)| (value.clone_ref(py), *start)));
        match given {
            None => Ok(number.into_pyobject(py)?.into_any().unbind()),
            Some((value, start)) if number == start => Ok(value),
            Some((value, start)) => Ok(value.bind(py).add(number.saturating_sub(start))?.unbind()),
        }
    }

    /// A number that is no integer never gets to zero, or is infinite: such a semaphore has no limit.
    #[setter(_value)]
    fn set_value(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = value.py();
        let (number, given) = if let Some(number) = plain_integer(value) {
            (number, None)
        } else {
            let number = equal_integer(value).unwrap_or(WITHOUT_END);
            (number, Some((value.clone().unbind(), number)))
        };
        self.state.with(py, |state| state.value = number);
        let before = self.given.with(py, |place| std::mem::replace(place, given));
        drop(before);
        Ok(())
    }

    #[getter(_waiters)]
    fn shown_waiters(slf: &Bound<'_, Self>) -> Option<WaitQueue> {
        wait_queue::view_if_used(slf, access)
    }

    /// Wake up the first waiter that isn't done, and say whether there was one.
    #[pyo3(name = "_wake_up_next")]
    fn wake_next(&self, py: Python<'_>) -> PyResult<bool> {
        waiter::query_states(py, &self.state, waiters)?;
        match self.state.with(py, |state| state.choose().map(|next| next.clone_ref(py))) {
            Some(next) => next.wake(py, boolean(py, true)).map(|()| true),
            None => Ok(false),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.binding.traverse(&visit)?;
        let given = self.given.traverse(&visit, |given| given.iter().try_for_each(|(value, _)| visit.call(value)));
        given.transpose()?;
        self.state.traverse(&visit, |state| wait_queue::traverse(&state.waiters, &visit)).transpose().map(drop)
    }

    fn __clear__(&self, py: Python<'_>) {
        let waiters = self.state.with(py, |state| state.waiters.take_all());
        drop((waiters, self.given.with(py, Option::take)));
        self.binding.set(py, None);
    }
}

/// A semaphore whose value never goes above the initial one.
#[pyclass(frozen, subclass, extends = Semaphore, module = "ferrio")]
pub(crate) struct BoundedSemaphore {
    bound: GilCell<i64>,
    /// The bound as the caller passed it, if it is not a plain integer.
    given: GilCell<Option<Py<PyAny>>>,
}

impl BoundedSemaphore {
    /// Returns a permit, unless the value is at its bound already.
    fn release(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let base = slf.as_super().get();
        let (value, bound) = (base.state.with(py, |state| state.value), slf.get().bound.get(py));
        let is_full = match slf.get().given.with(py, |given| given.as_ref().map(|given| given.clone_ref(py))) {
            None => value >= bound,
            Some(bound) => base.shown_value(py)?.bind(py).ge(bound)?,
        };
        if is_full {
            return Err(ferrio_cpython::error::<PyValueError>("BoundedSemaphore released too many times"));
        }
        Semaphore::release(slf.as_super())
    }
}

#[pymethods]
impl BoundedSemaphore {
    #[new]
    #[pyo3(signature = (*arguments, **keywords), text_signature = "(value=1)")]
    fn new(arguments: &Bound<'_, PyTuple>, keywords: Option<&Bound<'_, PyDict>>) -> PyClassInitializer<Self> {
        let base = PyClassInitializer::from(Semaphore::new(arguments, keywords));
        base.add_subclass(Self { bound: GilCell::new(1), given: GilCell::default() })
    }

    #[pyo3(signature = (value=Argument(None)))]
    fn __init__<'py>(slf: &Bound<'py, Self>, value: Argument<'py>) -> PyResult<()> {
        let base = slf.as_super().get();
        Semaphore::__init__(slf.as_super(), value)?;
        if is_on() {
            holders::note_made(slf.as_any());
        }
        slf.get().set_bound(base.shown_value(slf.py())?.bind(slf.py()));
        Ok(())
    }

    #[getter(_bound_value)]
    fn shown_bound(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.given.with(py, |given| given.as_ref().map(|given| given.clone_ref(py))) {
            Some(given) => Ok(given),
            None => Ok(self.bound.get(py).into_pyobject(py)?.into_any().unbind()),
        }
    }

    #[setter(_bound_value)]
    fn set_bound(&self, bound: &Bound<'_, PyAny>) {
        let py = bound.py();
        let number = plain_integer(bound);
        self.bound.set(py, number.unwrap_or(0));
        let given = if number.is_none() { Some(bound.clone().unbind()) } else { None };
        let before = self.given.with(py, |place| std::mem::replace(place, given));
        drop(before);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.given.traverse(&visit, |given| visit.call(given)).transpose().map(drop)
    }

    fn __clear__(&self, py: Python<'_>) {
        let before = self.given.with(py, Option::take);
        drop(before);
    }
}

fn release_native(object: &Bound<'_, PyAny>) -> PyResult<()> {
    Semaphore::release(object.cast::<Semaphore>()?)
}

fn release_bounded(object: &Bound<'_, PyAny>) -> PyResult<()> {
    BoundedSemaphore::release(object.cast::<BoundedSemaphore>()?)
}

/// Adds the methods that need no `PyO3` wrapper.
pub(super) fn add_methods(py: Python<'_>) -> PyResult<()> {
    CLASS.set(&py.get_type::<Semaphore>());
    BOUNDED_CLASS.set(&py.get_type::<BoundedSemaphore>());
    native_methods::add::<0, AcquireMethod>(py)?;
    native_methods::add::<0, ReleaseMethod>(py)?;
    native_methods::add::<0, BoundedReleaseMethod>(py)?;
    async_with::add::<Semaphore>(py, enter, exit)
}

struct AcquireMethod;

impl Method<0> for AcquireMethod {
    type Class = Semaphore;
    const NAME: &'static CStr = c"acquire";
    const TEXT: &'static str = "Semaphore.acquire";
    const DOC: &'static CStr = c"acquire($self)\n--\n\nAcquire a semaphore: wait until its value is larger than zero, then decrement it and return True.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, Semaphore>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        coroutine::spawn(slf.py(), "Semaphore.acquire", Acquire::new(slf, false))
    }
}

struct ReleaseMethod;

impl Method<0> for ReleaseMethod {
    type Class = Semaphore;
    const NAME: &'static CStr = c"release";
    const TEXT: &'static str = "Semaphore.release";
    const DOC: &'static CStr = c"release($self)\n--\n\nRelease a semaphore, incrementing the internal value by one. Whoever waits longest goes on.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, Semaphore>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        Semaphore::release(slf)?;
        Ok(slf.py().None())
    }
}

struct BoundedReleaseMethod;

impl Method<0> for BoundedReleaseMethod {
    type Class = BoundedSemaphore;
    const NAME: &'static CStr = c"release";
    const TEXT: &'static str = "BoundedSemaphore.release";
    const DOC: &'static CStr =
        c"release($self)\n--\n\nRelease a semaphore; ValueError if that would take its value above the initial one.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, BoundedSemaphore>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        BoundedSemaphore::release(slf)?;
        Ok(slf.py().None())
    }
}

fn enter(object: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    if !CLASS.is_unpatched(object) && !BOUNDED_CLASS.is_unpatched(object) {
        return async_context::enter(object);
    }
    coroutine::spawn(object.py(), "_ContextManagerMixin.__aenter__", Acquire::new(object.cast()?, true))
}

fn exit(object: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let release = if CLASS.is_unpatched(object) {
        release_native
    } else if BOUNDED_CLASS.is_unpatched(object) {
        release_bounded
    } else {
        async_context::release_by_name
    };
    async_context::exit(object, release)
}

/// Acquires a permit.
struct Acquire {
    semaphore: OwnedRef<Semaphore>,
    waiting: Option<WaitSlot>,
    /// Whether it is for `async with`, whose result is None.
    entering: bool,
}

impl Acquire {
    fn new(semaphore: &Bound<'_, Semaphore>, entering: bool) -> Self {
        Self { semaphore: OwnedRef::of(semaphore), waiting: None, entering }
    }

    #[inline]
    fn note_taken(&self, py: Python<'_>) {
        if is_on() {
            holders::note_taken(self.semaphore.bind(py).as_any(), Sharing::Shared);
        }
    }

    fn result<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        if self.entering { py.None().into_bound(py) } else { boolean(py, true) }
    }
}

/// Leaves the wait queue; a permit that the failed waiter had received goes to other waiters.
fn come_back(semaphore: &Bound<'_, Semaphore>, ticket: Ticket, error: Option<&PyErr>) -> PyResult<()> {
    let py = semaphore.py();
    let state = &semaphore.get().state;
    let waiter = state.with(py, |state| state.leave(ticket));
    waits::note_ended(semaphore.as_any(), Primitive::Semaphore, waiter.as_ref().map(FutureWaiter::since));
    let is_cancelled = error.is_some_and(|error| is_cancellation(py, error).unwrap_or(false));
    let refills = behavior(py)?.semaphore_refills;
    let mut is_returned = false;
    if is_cancelled && let Some(waiter) = &waiter {
        let waiter_state = waiter.state_now(py)?;
        // Before 3.13 a waiter into which the error was thrown counts as chosen.
        is_returned = waiter_state == WaiterState::Chosen || !refills && waiter_state == WaiterState::Waiting;
    }
    drop(waiter);
    if is_returned {
        state.with(py, SemaphoreState::release);
    }
    if refills {
        while semaphore.get().wake_next_if_free(py)? {}
    } else if is_returned {
        semaphore.get().wake_next(py)?;
    } else if error.is_none() {
        // A waiter that was cancelled itself wakes nobody, whatever is free.
        semaphore.get().wake_next_if_free(py)?;
    }
    Ok(())
}

impl Body for Acquire {
    const OWNS_PY: bool = false;

    fn try_complete<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let state = &self.semaphore.bind(py).get().state;
        waiter::query_states(py, state, waiters)?;
        let is_taken = state.with(py, SemaphoreState::try_acquire);
        if is_taken {
            self.note_taken(py);
        }
        Ok(is_taken.then(|| self.result(py)))
    }

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let semaphore = self.semaphore.bind(py);
        let state = &semaphore.get().state;
        let park = |waiter| state.with(py, |state| state.park(waiter));
        let slot = match &mut self.waiting {
            Some(slot) => slot,
            place @ None => {
                waiter::query_states(py, state, waiters)?;
                if state.with(py, SemaphoreState::try_acquire) {
                    self.note_taken(py);
                    return Ok(Step::Returned(self.result(py)));
                }
                place.insert(WaitSlot::new(semaphore, &semaphore.get().binding, park)?)
            }
        };
        let ticket = slot.ticket;
        let outcome = slot.resume(py, input);
        if let Ok(Step::Yielded(_)) = outcome {
            return outcome;
        }
        come_back(semaphore, ticket, outcome.as_ref().err())?;
        if outcome.is_ok() {
            self.note_taken(py);
        }
        outcome.map(|_| Step::Returned(self.result(py)))
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.semaphore);
        self.waiting.iter().for_each(|slot| slot.traverse(visitor));
    }
}
