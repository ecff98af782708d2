//! `Semaphore.acquire`, `acquire_nowait` and `release`, on the attributes of anyio's own semaphore.

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
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::originals::{self, Methods, nothing};
use super::scopes_of_tasks::{ShieldedTurn, is_cancelled, running_task};
use crate::common::numbers::plain_integer;
use crate::locks::is_cancellation;

/// anyio's class.
pub(super) static CLASS: ExactType = ExactType::new();

pub(super) fn replace(methods: &Methods<'_, '_>) -> PyResult<()> {
    methods.replace::<0, AcquireMethod>()?;
    methods.replace::<0, AcquireNowaitMethod>()?;
    methods.replace::<0, ReleaseMethod>()
}

/// `self._value += change`.
fn add(semaphore: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>, change: i64) -> PyResult<()> {
    let name = pyo3::intern!(semaphore.py(), "_value");
    match plain_integer(value).and_then(|value| value.checked_add(change)) {
        Some(value) => semaphore.setattr(name, value),
        None => semaphore.setattr(name, value.add(change)?),
    }
}

struct AcquireMethod;

impl Method<0> for AcquireMethod {
    type Class = PyAny;
    const NAME: &'static CStr = c"acquire";
    const TEXT: &'static str = "Semaphore.acquire";
    const DOC: &'static CStr = c"acquire($self)\n--\n\nDecrement the semaphore value, blocking if necessary.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, PyAny>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        coroutine::spawn(slf.py(), Self::TEXT, Acquire { semaphore: OwnedRef::of(slf), stage: Stage::New })
    }
}

struct AcquireNowaitMethod;

impl Method<0> for AcquireNowaitMethod {
    type Class = PyAny;
    const NAME: &'static CStr = c"acquire_nowait";
    const TEXT: &'static str = "Semaphore.acquire_nowait";
    const DOC: &'static CStr = c"acquire_nowait($self)\n--\n\nAcquire the underlying lock, without blocking.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, PyAny>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let value = slf.getattr(pyo3::intern!(py, "_value"))?;
        if value.eq(0)? {
            return Err(originals::anyio_error(py, "WouldBlock"));
        }
        add(slf, &value, -1)?;
        Ok(py.None())
    }
}

struct ReleaseMethod;

impl Method<0> for ReleaseMethod {
    type Class = PyAny;
    const NAME: &'static CStr = c"release";
    const TEXT: &'static str = "Semaphore.release";
    const DOC: &'static CStr = c"release($self)\n--\n\nIncrement the semaphore value.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, PyAny>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        release(slf)?;
        Ok(slf.py().None())
    }
}

/// Passes a permit to the task that has waited longest, or puts it back.
fn release(semaphore: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = semaphore.py();
    let value = semaphore.getattr(pyo3::intern!(py, "_value"))?;
    let maximum = semaphore.getattr(pyo3::intern!(py, "_max_value"))?;
    if !maximum.is_none() && value.eq(maximum)? {
        return Err(ferrio_cpython::error::<PyValueError>("semaphore released too many times"));
    }
    let waiters = semaphore.getattr(pyo3::intern!(py, "_waiters"))?;
    while waiters.len()? > 0 {
        let waiter = FutureWaiter::new(&waiters.call_method0(pyo3::intern!(py, "popleft"))?);
        // Whoever was cancelled before its turn came has not left yet.
        if waiter.state_now(py)? != WaiterState::Cancelled {
            return waiter.wake(py, nothing(py));
        }
    }
    add(semaphore, &value, 1)
}

/// The body of `acquire`.
struct Acquire {
    semaphore: OwnedRef,
    stage: Stage,
}

enum Stage {
    New,
    /// Waits for the exception that cancels the task.
    Cancelled,
    /// Has a permit, and lets the other tasks run.
    Turn(ShieldedTurn),
    /// Waits for its future, which is among the waiters.
    Waiting(Awaiting, OwnedRef),
    /// anyio's own method serves.
    Theirs(Awaiting),
}

impl Acquire {
    fn begin<'py>(&mut self, py: Python<'py>) -> PyResult<Step<'py>> {
        let semaphore = self.semaphore.bind(py);
        let Some((owner, task)) = running_task(py)?.filter(|_| CLASS.is_exact(semaphore)) else {
            let (awaiting, step) = originals::await_original(semaphore, AcquireMethod::TEXT, &[])?;
            self.stage = Stage::Theirs(awaiting);
            return Ok(step);
        };
        let value = semaphore.getattr(pyo3::intern!(py, "_value"))?;
        if !value.gt(0)? || semaphore.getattr(pyo3::intern!(py, "_waiters"))?.len()? > 0 {
            return self.park(py, &owner);
        }
        if is_cancelled(&task)? {
            self.stage = Stage::Cancelled;
            return Ok(Step::Yielded(nothing(py)));
        }
        add(semaphore, &value, -1)?;
        if semaphore.getattr(pyo3::intern!(py, "_fast_acquire"))?.is_truthy()? {
            return Ok(Step::Returned(nothing(py)));
        }
        self.stage = Stage::Turn(ShieldedTurn::begin(&task)?);
        Ok(Step::Yielded(nothing(py)))
    }

    fn park<'py>(&mut self, py: Python<'py>, owner: &Bound<'py, LoopBase>) -> PyResult<Step<'py>> {
        let future = create_task::waiter(owner)?;
        let mut awaiting = Awaiting::new(&future)?;
        let waiters = self.semaphore.bind(py).getattr(pyo3::intern!(py, "_waiters"))?;
        waiters.call_method1(pyo3::intern!(py, "append"), (&future,))?;
        let step = awaiting.resume(py, Ok(nothing(py)))?;
        self.stage = Stage::Waiting(awaiting, future.into());
        Ok(step)
    }

    /// Leaves the waiters, or passes the permit on that it got meanwhile.
    fn give_up(semaphore: &Bound<'_, PyAny>, future: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = semaphore.py();
        if FutureWaiter::new(future).state_now(py)? == WaiterState::Cancelled {
            let waiters = semaphore.getattr(pyo3::intern!(py, "_waiters"))?;
            return match waiters.call_method1(pyo3::intern!(py, "remove"), (future,)) {
                Err(error) if !error.is_instance_of::<PyValueError>(py) => Err(error),
                Ok(_) | Err(_) => Ok(()),
            };
        }
        semaphore.call_method0(pyo3::intern!(py, "release")).map(drop)
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
            Stage::Cancelled => input.map(|_| Step::Yielded(nothing(py))),
            Stage::Turn(turn) => {
                let turn = std::mem::replace(turn, ShieldedTurn::Bare);
                if let Err(error) = turn.end(py, input) {
                    if is_cancellation(py, &error)? {
                        let semaphore = self.semaphore.bind(py);
                        handling(py, &error, || semaphore.call_method0(pyo3::intern!(py, "release")))?;
                    }
                    return Err(error);
                }
                Ok(Step::Returned(nothing(py)))
            }
            Stage::Waiting(awaiting, future) => match awaiting.resume(py, input) {
                Err(error) => {
                    if is_cancellation(py, &error)? {
                        handling(py, &error, || Self::give_up(self.semaphore.bind(py), future.bind(py)))?;
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
        visitor.show_owned(&self.semaphore);
        match &self.stage {
            Stage::New | Stage::Cancelled => {}
            Stage::Turn(turn) => turn.traverse(visitor),
            Stage::Waiting(awaiting, future) => {
                awaiting.traverse(visitor);
                visitor.show_owned(future);
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
