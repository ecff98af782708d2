//! The bodies of `Condition.wait` and `Condition.wait_for`.
//!
//! A waiter releases the lock, waits for a notification, and acquires the lock again in every case, even if it is
//! cancelled repeatedly; the last cancellation is raised then. Since 3.13 a waiter that fails notifies another one,
//! because it may itself have been notified.

use ferrio_cpython::capi::memory::out_of_memory;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::raise::raised;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Awaiting, Body, Visitor};
use ferrio_cpython::objects::recording::waits::{self, Primitive};
use ferrio_cpython::objects::waiter::FutureWaiter;
use ferrio_engine::Ticket;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::condition::{self, Condition};
use super::lock::{Acquire, Lock};
use super::{boolean, is_cancellation};
use crate::common::imports;
use crate::compat::locks::behavior;

/// The body of `__aenter__` with ferrio's own lock.
pub(super) struct Enter(Acquire);

impl Enter {
    pub(super) fn new(lock: &Bound<'_, Lock>) -> Self {
        Self(Acquire::new(lock))
    }
}

impl Body for Enter {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        if self.0.try_acquire(py)? {
            return Ok(Step::Returned(py.None().into_bound(py)));
        }
        Ok(match self.0.resume(py, input)? {
            Step::Returned(_) => Step::Returned(py.None().into_bound(py)),
            step @ Step::Yielded(_) => step,
        })
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        self.0.traverse(visitor);
    }
}

/// Acquires the condition's lock, natively or by the condition's `acquire`.
pub(super) enum AcquireLock {
    Native(Acquire),
    Foreign(Awaiting),
}

impl AcquireLock {
    pub(super) fn new(condition: &Bound<'_, Condition>) -> PyResult<Self> {
        if let Some(lock) = Condition::native(condition) {
            return Ok(Self::Native(Acquire::new(&lock)));
        }
        let acquiring = condition.call_method0(pyo3::intern!(condition.py(), "acquire"))?;
        Ok(Self::Foreign(Awaiting::new(&acquiring)?))
    }

    pub(super) fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        match self {
            Self::Native(acquire) if acquire.try_acquire(py)? => Ok(Step::Returned(boolean(py, true))),
            Self::Native(acquire) => acquire.resume(py, input),
            Self::Foreign(awaiting) => awaiting.resume(py, input),
        }
    }

    pub(super) fn traverse(&self, visitor: &Visitor<'_>) {
        match self {
            Self::Native(acquire) => acquire.traverse(visitor),
            Self::Foreign(awaiting) => awaiting.traverse(visitor),
        }
    }
}

/// The body of `Condition.wait`.
pub(super) struct Wait {
    condition: OwnedRef<Condition>,
    stage: Stage,
}

enum Stage {
    Begun,
    /// Waits for a notification.
    FutureWaiter(Awaiting, Ticket),
    /// Waits for the lock.
    Locking(AcquireLock, Leaving),
}

/// How a wait will end.
#[derive(Default)]
struct Leaving {
    /// The error that ended the wait for a notification.
    error: Option<OwnedRef>,
    /// The last cancellation during the wait for the lock.
    cancellation: Option<OwnedRef>,
}

fn exception(py: Python<'_>, error: PyErr) -> OwnedRef {
    error.into_value(py).into_bound(py).into()
}

impl Wait {
    pub(super) fn new(condition: &Bound<'_, Condition>) -> Self {
        Self { condition: OwnedRef::of(condition), stage: Stage::Begun }
    }

    /// Checks the lock, releases it and joins the wait queue.
    fn begin<'py>(&mut self, py: Python<'py>) -> PyResult<Step<'py>> {
        let condition = self.condition.bind(py).clone();
        if !Condition::is_locked(&condition)? {
            return Err(ferrio_cpython::error::<PyRuntimeError>("cannot wait on un-acquired lock"));
        }
        let new_waiter = || condition.get().binding.new_waiter(&condition);
        let future = if behavior(py)?.condition_passes_on {
            let future = new_waiter()?;
            Condition::give_up_lock(&condition)?;
            future
        } else {
            Condition::give_up_lock(&condition)?;
            match new_waiter() {
                Ok(future) => future,
                Err(error) => return self.lock_again(py, Some(error)),
            }
        };
        let awaiting = Awaiting::new(&future)?;
        let waiter = FutureWaiter::new(&future);
        let Some(ticket) = condition.get().waiters.with(py, |waiters| waiters.push(waiter)) else {
            return self.lock_again(py, Some(out_of_memory(py)));
        };
        self.stage = Stage::FutureWaiter(awaiting, ticket);
        self.resume(py, Ok(py.None().into_bound(py)))
    }

    /// Starts to acquire the lock again; `error` is the error that the wait ended with.
    fn lock_again<'py>(&mut self, py: Python<'py>, error: Option<PyErr>) -> PyResult<Step<'py>> {
        let leaving = Leaving { error: error.map(|error| exception(py, error)), cancellation: None };
        match AcquireLock::new(self.condition.bind(py)) {
            Ok(lockup) => {
                self.stage = Stage::Locking(lockup, leaving);
                self.resume(py, Ok(py.None().into_bound(py)))
            }
            Err(error) => Err(self.fail(py, error)),
        }
    }

    /// Returns `error` to raise; since 3.13 it notifies another waiter first.
    fn fail(&self, py: Python<'_>, error: PyErr) -> PyErr {
        let passes_on = behavior(py).is_ok_and(|behavior| behavior.condition_passes_on);
        if passes_on && let Err(other) = self.condition.bind(py).get().notify_some(py, 1) {
            return other;
        }
        error
    }

    /// Ends the wait, with the lock acquired.
    fn finish<'py>(&mut self, py: Python<'py>) -> PyResult<Step<'py>> {
        let Stage::Locking(_, leaving) = &mut self.stage else {
            return Ok(Step::Returned(boolean(py, true)));
        };
        let Leaving { error, cancellation } = std::mem::take(leaving);
        let error = match (cancellation, error) {
            (Some(cancellation), _) if behavior(py)?.condition_passes_on => cancellation.into_bound(py),
            // A new exception, as in asyncio.
            (Some(_), _) => imports::cancelled_error(py)?.call0()?,
            (None, Some(error)) => error.into_bound(py),
            (None, None) => return Ok(Step::Returned(boolean(py, true))),
        };
        Err(self.fail(py, raised(&error)))
    }
}

impl Body for Wait {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        match &mut self.stage {
            Stage::Begun => {
                input?;
                self.begin(py)
            }
            Stage::FutureWaiter(awaiting, ticket) => {
                let outcome = awaiting.resume(py, input);
                if let Ok(Step::Yielded(_)) = outcome {
                    return outcome;
                }
                let ticket = *ticket;
                let condition = self.condition.bind(py);
                let waiter = condition.get().waiters.with(py, |waiters| waiters.remove(ticket));
                let since = waiter.as_ref().map(FutureWaiter::since);
                waits::note_ended(condition.as_any(), Primitive::Condition, since);
                drop(waiter);
                self.lock_again(py, outcome.err())
            }
            Stage::Locking(lockup, leaving) => match lockup.resume(py, input) {
                Ok(step @ Step::Yielded(_)) => Ok(step),
                Ok(Step::Returned(_)) => self.finish(py),
                Err(error) if is_cancellation(py, &error)? => {
                    leaving.cancellation = Some(exception(py, error));
                    match AcquireLock::new(self.condition.bind(py)) {
                        Ok(fresh) => *lockup = fresh,
                        Err(error) => return Err(self.fail(py, error)),
                    }
                    self.resume(py, Ok(py.None().into_bound(py)))
                }
                Err(error) => Err(self.fail(py, error)),
            },
        }
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.condition);
        match &self.stage {
            Stage::Begun => {}
            Stage::FutureWaiter(awaiting, _) => awaiting.traverse(visitor),
            Stage::Locking(lockup, leaving) => {
                lockup.traverse(visitor);
                leaving.error.iter().chain(&leaving.cancellation).for_each(|error| visitor.show_owned(error));
            }
        }
    }
}

/// The body of `Condition.wait_for`.
pub(super) struct WaitFor {
    condition: OwnedRef<Condition>,
    predicate: OwnedRef,
    waiting: Option<Waiting>,
}

enum Waiting {
    Native(Wait),
    Foreign(Awaiting),
}

impl WaitFor {
    pub(super) fn new(condition: &Bound<'_, Condition>, predicate: &Bound<'_, PyAny>) -> Self {
        Self { condition: OwnedRef::of(condition), predicate: OwnedRef::of(predicate), waiting: None }
    }

    fn wait(&self, py: Python<'_>) -> PyResult<Waiting> {
        let condition = self.condition.bind(py);
        if condition::CLASS.is_unpatched(condition) {
            return Ok(Waiting::Native(Wait::new(condition)));
        }
        let waiting = condition.call_method0(pyo3::intern!(py, "wait"))?;
        Ok(Waiting::Foreign(Awaiting::new(&waiting)?))
    }
}

impl Body for WaitFor {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let mut input = input;
        loop {
            if let Some(waiting) = &mut self.waiting {
                let step = match waiting {
                    Waiting::Native(wait) => wait.resume(py, input)?,
                    Waiting::Foreign(awaiting) => awaiting.resume(py, input)?,
                };
                if let Step::Yielded(_) = step {
                    return Ok(step);
                }
            } else {
                input?;
            }
            let result = self.predicate.bind(py).call0()?;
            if result.is_truthy()? {
                return Ok(Step::Returned(result));
            }
            self.waiting = Some(self.wait(py)?);
            input = Ok(py.None().into_bound(py));
        }
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.condition);
        visitor.show_owned(&self.predicate);
        match &self.waiting {
            None => {}
            Some(Waiting::Native(wait)) => wait.traverse(visitor),
            Some(Waiting::Foreign(awaiting)) => awaiting.traverse(visitor),
        }
    }
}
