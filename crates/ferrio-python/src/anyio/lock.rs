//! `Lock.acquire`, `acquire_nowait` and `release`, on the attributes of anyio's own lock.

use std::ffi::CStr;

use ferrio_cpython::LoopBase;
use ferrio_cpython::capi::exact_type::ExactType;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::raise::handling;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{self, Awaiting, Body, Visitor};
use ferrio_cpython::objects::create_task;
use ferrio_cpython::objects::native_methods::Method;
use ferrio_cpython::objects::waiter::FutureWaiter;
use ferrio_engine::WaiterState;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use super::originals::{self, Methods, nothing};
use super::scopes_of_tasks::{ShieldedTurn, is_cancelled, running_task};
use crate::locks::is_cancellation;

/// anyio's class.
pub(super) static CLASS: ExactType = ExactType::new();

pub(super) fn replace(methods: &Methods<'_, '_>) -> PyResult<()> {
    methods.replace::<0, AcquireMethod>()?;
    methods.replace::<0, AcquireNowaitMethod>()?;
    methods.replace::<0, ReleaseMethod>()
}

/// Whether a lock is free and no task waits for it.
fn is_free(lock: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = lock.py();
    Ok(lock.getattr(pyo3::intern!(py, "_owner_task"))?.is_none()
        && lock.getattr(pyo3::intern!(py, "_waiters"))?.len()? == 0)
}

#[cold]
fn already_held() -> PyErr {
    ferrio_cpython::error::<PyRuntimeError>("Attempted to acquire an already held Lock")
}

struct AcquireMethod;

impl Method<0> for AcquireMethod {
    type Class = PyAny;
    const NAME: &'static CStr = c"acquire";
    const TEXT: &'static str = "Lock.acquire";
    const DOC: &'static CStr = c"acquire($self)\n--\n\nAcquire the lock.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, PyAny>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        coroutine::spawn(slf.py(), Self::TEXT, Acquire { lock: OwnedRef::of(slf), stage: Stage::New })
    }
}

struct AcquireNowaitMethod;

impl Method<0> for AcquireNowaitMethod {
    type Class = PyAny;
    const NAME: &'static CStr = c"acquire_nowait";
    const TEXT: &'static str = "Lock.acquire_nowait";
    const DOC: &'static CStr = c"acquire_nowait($self)\n--\n\nAcquire the lock, without blocking.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, PyAny>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let Some((_, task)) = running_task(py)?.filter(|_| CLASS.is_exact(slf)) else {
            return originals::original(slf, Self::TEXT, &[]).map(Bound::unbind);
        };
        if is_free(slf)? {
            slf.setattr(pyo3::intern!(py, "_owner_task"), task)?;
            return Ok(py.None());
        }
        if slf.getattr(pyo3::intern!(py, "_owner_task"))?.is(&task) {
            return Err(already_held());
        }
        Err(originals::anyio_error(py, "WouldBlock"))
    }
}

struct ReleaseMethod;

impl Method<0> for ReleaseMethod {
    type Class = PyAny;
    const NAME: &'static CStr = c"release";
    const TEXT: &'static str = "Lock.release";
    const DOC: &'static CStr = c"release($self)\n--\n\nRelease the lock.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, PyAny>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        match running_task(slf.py())?.filter(|_| CLASS.is_exact(slf)) {
            Some((_, task)) => release(slf, &task).map(|()| slf.py().None()),
            None => originals::original(slf, Self::TEXT, &[]).map(Bound::unbind),
        }
    }
}

/// Passes the lock, which `task` has to hold, to the task that has waited longest.
fn release(lock: &Bound<'_, PyAny>, task: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = lock.py();
    let owner = pyo3::intern!(py, "_owner_task");
    if !lock.getattr(owner)?.is(task) {
        return Err(ferrio_cpython::error::<PyRuntimeError>("The current task is not holding this lock"));
    }
    let waiters = lock.getattr(pyo3::intern!(py, "_waiters"))?;
    while waiters.len()? > 0 {
        let (next, future) =
            waiters.call_method0(pyo3::intern!(py, "popleft"))?.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
        let waiter = FutureWaiter::new(&future);
        // Whoever was cancelled before its turn came has not left yet.
        if waiter.state_now(py)? != WaiterState::Cancelled {
            lock.setattr(owner, next)?;
            return waiter.wake(py, nothing(py));
        }
    }
    lock.setattr(owner, py.None())
}

/// The body of `acquire`.
struct Acquire {
    lock: OwnedRef,
    stage: Stage,
}

enum Stage {
    New,
    /// Waits for the exception that cancels the task.
    Cancelled,
    /// Holds the lock, and lets the other tasks run.
    Turn(ShieldedTurn),
    /// Waits for its future; with its entry among the waiters.
    Waiting(Awaiting, OwnedRef),
    /// anyio's own method serves.
    Theirs(Awaiting),
}

impl Acquire {
    fn begin<'py>(&mut self, py: Python<'py>) -> PyResult<Step<'py>> {
        let lock = self.lock.bind(py);
        let Some((owner, task)) = running_task(py)?.filter(|_| CLASS.is_exact(lock)) else {
            let (awaiting, step) = originals::await_original(lock, AcquireMethod::TEXT, &[])?;
            self.stage = Stage::Theirs(awaiting);
            return Ok(step);
        };
        if !is_free(lock)? {
            return self.park(py, &owner, task);
        }
        if is_cancelled(&task)? {
            self.stage = Stage::Cancelled;
            return Ok(Step::Yielded(nothing(py)));
        }
        lock.setattr(pyo3::intern!(py, "_owner_task"), &task)?;
        if lock.getattr(pyo3::intern!(py, "_fast_acquire"))?.is_truthy()? {
            return Ok(Step::Returned(nothing(py)));
        }
        self.stage = Stage::Turn(ShieldedTurn::begin(&task)?);
        Ok(Step::Yielded(nothing(py)))
    }

    fn park<'py>(
        &mut self,
        py: Python<'py>,
        owner: &Bound<'py, LoopBase>,
        task: Bound<'py, PyAny>,
    ) -> PyResult<Step<'py>> {
        let lock = self.lock.bind(py);
        if lock.getattr(pyo3::intern!(py, "_owner_task"))?.is(&task) {
            return Err(already_held());
        }
        let future = create_task::waiter(owner)?;
        let mut awaiting = Awaiting::new(&future)?;
        let entry = (task, future).into_pyobject(py)?.into_any();
        lock.getattr(pyo3::intern!(py, "_waiters"))?.call_method1(pyo3::intern!(py, "append"), (&entry,))?;
        let step = awaiting.resume(py, Ok(nothing(py)))?;
        self.stage = Stage::Waiting(awaiting, entry.into());
        Ok(step)
    }

    /// Leaves the waiters, or passes the lock on that it got meanwhile.
    fn give_up(lock: &Bound<'_, PyAny>, entry: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = lock.py();
        let future = entry.get_item(1)?;
        if FutureWaiter::new(&future).state_now(py)? == WaiterState::Cancelled {
            let waiters = lock.getattr(pyo3::intern!(py, "_waiters"))?;
            return match waiters.call_method1(pyo3::intern!(py, "remove"), (entry,)) {
                Err(error) if !error.is_instance_of::<PyValueError>(py) => Err(error),
                Ok(_) | Err(_) => Ok(()),
            };
        }
        lock.call_method0(pyo3::intern!(py, "release")).map(drop)
    }
}

impl Body for Acquire {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        match &mut self.stage {
            Stage::New => {
                input?;
                self.begin(py)
            }
            Stage::Cancelled => {
                input?;
                Ok(Step::Yielded(nothing(py)))
            }
            Stage::Turn(turn) => {
                let turn = std::mem::replace(turn, ShieldedTurn::Bare);
                if let Err(error) = turn.end(py, input) {
                    if is_cancellation(py, &error)? {
                        let lock = self.lock.bind(py);
                        handling(py, &error, || lock.call_method0(pyo3::intern!(py, "release")))?;
                    }
                    return Err(error);
                }
                Ok(Step::Returned(nothing(py)))
            }
            Stage::Waiting(awaiting, entry) => match awaiting.resume(py, input) {
                Err(error) => {
                    if is_cancellation(py, &error)? {
                        handling(py, &error, || Self::give_up(self.lock.bind(py), entry.bind(py)))?;
                    }
                    Err(error)
                }
                Ok(Step::Returned(_)) => Ok(Step::Returned(nothing(py))),
                Ok(step @ Step::Yielded(_)) => Ok(step),
            },
            Stage::Theirs(awaiting) => awaiting.resume(py, input),
        }
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.lock);
        match &self.stage {
            Stage::New | Stage::Cancelled => {}
            Stage::Turn(turn) => turn.traverse(visitor),
            Stage::Waiting(awaiting, entry) => {
                awaiting.traverse(visitor);
                visitor.show_owned(entry);
            }
            Stage::Theirs(awaiting) => awaiting.traverse(visitor),
        }
    }

    fn awaiting(&self) -> Option<&Awaiting> {
        match &self.stage {
            Stage::Waiting(awaiting, _) | Stage::Theirs(awaiting) => Some(awaiting),
            Stage::New | Stage::Cancelled | Stage::Turn(_) => None,
        }
    }
}
