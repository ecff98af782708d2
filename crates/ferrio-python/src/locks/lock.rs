//! `asyncio.Lock`.

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
use ferrio_engine::{LockState, Released};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use super::loop_bound::{Binding, bound_to_loop};
use super::wait_queue::{self, WaitQueue, has_wait_queue};
use super::wait_slot::WaitSlot;
use super::{async_context, boolean, described, is_cancellation, waiters_suffix};

/// A mutual exclusion lock for tasks: first come, first served.
#[pyclass(frozen, subclass, weakref, dict, module = "ferrio")]
#[derive(Default)]
pub(crate) struct Lock {
    state: GilCell<LockState<FutureWaiter>>,
    binding: Binding,
}

/// The class, for recognising unpatched instances.
pub(super) static CLASS: ExactType = ExactType::new();

impl Lock {
    /// A new lock.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn unheld(py: Python<'_>) -> PyResult<Bound<'_, Self>> {
        let lock = Bound::new(py, Self::default())?;
        waits::note_made(lock.as_any());
        Ok(lock)
    }

    /// Releases the lock and wakes the longest waiter.
    pub(super) fn release(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let state = &slf.get().state;
        waiter::query_states(py, state, waiters)?;
        if is_on() {
            holders::note_released(slf.as_any(), Sharing::Exclusive);
        }
        let next = state.with(py, |state| match state.release() {
            Released::NotHeld => None,
            Released::Free(next) => Some(next.map(|next| next.clone_ref(py))),
        });
        match next {
            None => Err(ferrio_cpython::error::<PyRuntimeError>("Lock is not acquired.")),
            Some(None) => Ok(()),
            Some(Some(next)) => next.wake(py, boolean(py, true)),
        }
    }

    /// Whether the lock is locked.
    #[inline]
    pub(super) fn is_held(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.locked)
    }
}

bound_to_loop!(Lock);
has_wait_queue!(Lock, LockState);

#[pymethods]
impl Lock {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords), text_signature = "()")]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Self {
        Self::default()
    }

    fn __init__(slf: &Bound<'_, Self>) {
        let before = slf.get().state.with(slf.py(), std::mem::take);
        drop(before);
        if is_on() {
            holders::note_made(slf.as_any());
            waits::note_made(slf.as_any());
        }
    }

    /// Return True if lock is acquired.
    fn locked(&self, py: Python<'_>) -> bool {
        self.is_held(py)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text> {
        let (locked, count) = slf.get().state.with(slf.py(), |state| (state.locked, state.waiters.len()));
        let status = if locked { "locked" } else { "unlocked" };
        described(slf, &format!("{status}{}", waiters_suffix(count)))
    }

    #[getter(_locked)]
    fn shown_locked(&self, py: Python<'_>) -> bool {
        self.locked(py)
    }

    #[setter(_locked)]
    fn set_locked(&self, py: Python<'_>, locked: bool) {
        self.state.with(py, |state| state.locked = locked);
    }

    #[getter(_waiters)]
    fn shown_waiters(slf: &Bound<'_, Self>) -> Option<WaitQueue> {
        wait_queue::view_if_used(slf, access)
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
    native_methods::add::<0, AcquireMethod>(py)?;
    native_methods::add::<0, ReleaseMethod>(py)?;
    async_with::add::<Lock>(py, enter, exit)
}

struct AcquireMethod;

impl Method<0> for AcquireMethod {
    type Class = Lock;
    const NAME: &'static CStr = c"acquire";
    const TEXT: &'static str = "Lock.acquire";
    const DOC: &'static CStr =
        c"acquire($self)\n--\n\nAcquire a lock: wait until it is unlocked, then set it to locked and return True.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, Lock>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        coroutine::spawn(slf.py(), "Lock.acquire", LockBody { acquire: Acquire::new(slf), entering: false })
    }
}

struct ReleaseMethod;

impl Method<0> for ReleaseMethod {
    type Class = Lock;
    const NAME: &'static CStr = c"release";
    const TEXT: &'static str = "Lock.release";
    const DOC: &'static CStr = c"release($self)\n--\n\nRelease a lock. Whoever waits longest goes on with it.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, Lock>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        Lock::release(slf)?;
        Ok(slf.py().None())
    }
}

fn enter(object: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    if !CLASS.is_unpatched(object) {
        return async_context::enter(object);
    }
    let body = LockBody { acquire: Acquire::new(object.cast()?), entering: true };
    coroutine::spawn(object.py(), "_ContextManagerMixin.__aenter__", body)
}

fn exit(object: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    async_context::exit(
        object,
        if CLASS.is_unpatched(object) { release_native } else { async_context::release_by_name },
    )
}

fn release_native(object: &Bound<'_, PyAny>) -> PyResult<()> {
    Lock::release(object.cast()?)
}

/// Acquires a lock, as a part of a coroutine's body.
pub(super) struct Acquire {
    lock: OwnedRef<Lock>,
    waiting: Option<WaitSlot>,
}

impl Acquire {
    pub(super) fn new(lock: &Bound<'_, Lock>) -> Self {
        Self { lock: OwnedRef::of(lock), waiting: None }
    }

    /// Acquires the lock without waiting, if it is free and no task waits for it.
    #[inline]
    pub(super) fn try_acquire(&self, py: Python<'_>) -> PyResult<bool> {
        if self.waiting.is_some() {
            return Ok(false);
        }
        let state = &self.lock.bind(py).get().state;
        waiter::query_states(py, state, waiters)?;
        let is_taken = state.with(py, LockState::try_acquire);
        if is_taken && is_on() {
            holders::note_taken(self.lock.bind(py).as_any(), Sharing::Exclusive);
        }
        Ok(is_taken)
    }

    /// As `Body::resume`, after `try_acquire` has failed; returns True with the lock acquired.
    pub(super) fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let lock = self.lock.bind(py);
        let state = &lock.get().state;
        let park = |waiter| state.with(py, |state| state.park(waiter));
        let slot = match &mut self.waiting {
            Some(slot) => slot,
            place @ None => place.insert(WaitSlot::new(lock, &lock.get().binding, park)?),
        };
        let ticket = slot.ticket;
        let error = match slot.resume(py, input) {
            Ok(step @ Step::Yielded(_)) => return Ok(step),
            Ok(Step::Returned(_)) => {
                let waiter = state.with(py, |state| state.take_over(ticket));
                waits::note_ended(lock.as_any(), Primitive::Lock, waiter.as_ref().map(FutureWaiter::since));
                drop(waiter);
                if is_on() {
                    holders::note_taken(lock.as_any(), Sharing::Exclusive);
                }
                return Ok(Step::Returned(boolean(py, true)));
            }
            Err(error) => error,
        };
        let waiter = state.with(py, |state| state.waiters.remove(ticket));
        waits::note_ended(lock.as_any(), Primitive::Lock, waiter.as_ref().map(FutureWaiter::since));
        drop(waiter);
        if is_cancellation(py, &error)? {
            waiter::query_states(py, state, waiters)?;
            let next = state.with(py, |state| state.pass_on().map(|next| next.clone_ref(py)));
            if let Some(next) = next {
                next.wake(py, boolean(py, true))?;
            }
        }
        Err(error)
    }

    pub(super) fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.lock);
        self.waiting.iter().for_each(|slot| slot.traverse(visitor));
    }
}

struct LockBody {
    acquire: Acquire,
    /// Whether it is for `async with`, whose result is None.
    entering: bool,
}

impl Body for LockBody {
    const OWNS_PY: bool = false;

    fn try_complete<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let is_taken = self.acquire.try_acquire(py)?;
        Ok(is_taken.then(|| if self.entering { py.None().into_bound(py) } else { boolean(py, true) }))
    }

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let returned = |entering: bool| if entering { py.None().into_bound(py) } else { boolean(py, true) };
        if self.acquire.try_acquire(py)? {
            return Ok(Step::Returned(returned(self.entering)));
        }
        match self.acquire.resume(py, input)? {
            Step::Returned(_) => Ok(Step::Returned(returned(self.entering))),
            step @ Step::Yielded(_) => Ok(step),
        }
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        self.acquire.traverse(visitor);
    }
}
