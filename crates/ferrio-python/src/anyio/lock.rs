//! `Lock.acquire`, `acquire_nowait` and `release`, on the attributes of anyio's own lock.

use std::ffi::CStr;

use ferrio_cpython::capi::exact_type::ExactType;
use ferrio_cpython::capi::slot::Slot;
use ferrio_cpython::objects::coroutine;
use ferrio_cpython::objects::native_methods::Method;
use ferrio_cpython::objects::waiter::FutureWaiter;
use ferrio_engine::WaiterState;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::acquiring::{Acquirable, Acquire, Returns};
use super::originals::{self, Kept, Methods, nothing};
use super::scopes_of_tasks::running_task;

/// anyio's class.
pub(super) static CLASS: ExactType = ExactType::new();

/// Its `acquire`, replaced.
pub(super) static ACQUIRE: Kept = Kept::new();

static OWNER: Slot = Slot::new("_owner_task");
static WAITERS: Slot = Slot::new("_waiters");
static TAKES_AT_ONCE: Slot = Slot::new("_fast_acquire");

pub(super) fn replace(methods: &Methods<'_, '_>) -> PyResult<()> {
    [&OWNER, &WAITERS, &TAKES_AT_ONCE].into_iter().try_for_each(|slot| slot.find(methods.class()))?;
    methods.replace_and_keep::<0, AcquireMethod>(&ACQUIRE)?;
    methods.replace::<0, AcquireNowaitMethod>()?;
    methods.replace::<0, ReleaseMethod>()
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
        coroutine::spawn(slf.py(), Self::TEXT, Acquire::<Lock>::new(slf, Returns::None))
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
        if Lock::is_free(slf)? {
            OWNER.set(slf, task)?;
            return Ok(py.None());
        }
        if OWNER.get(slf)?.is(&task) {
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
    if !OWNER.get(lock)?.is(task) {
        return Err(ferrio_cpython::error::<PyRuntimeError>("The current task is not holding this lock"));
    }
    let waiters = WAITERS.get(lock)?;
    while waiters.len()? > 0 {
        let (next, future) =
            waiters.call_method0(pyo3::intern!(py, "popleft"))?.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
        let waiter = FutureWaiter::new(&future);
        // Whoever was cancelled before its turn came has not left yet.
        if waiter.state_now(py)? != WaiterState::Cancelled {
            OWNER.set(lock, next)?;
            return waiter.wake(py, nothing(py));
        }
    }
    OWNER.set(lock, nothing(py))
}

/// anyio's lock.
pub(super) struct Lock;

impl Acquirable for Lock {
    const CLASS: &'static ExactType = &CLASS;
    const ACQUIRE: &'static str = AcquireMethod::TEXT;
    const WAITERS: &'static Slot = &WAITERS;
    const TAKES_AT_ONCE: &'static Slot = &TAKES_AT_ONCE;

    fn is_free(lock: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(OWNER.get(lock)?.is_none() && WAITERS.get(lock)?.len()? == 0)
    }

    fn take(lock: &Bound<'_, PyAny>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        OWNER.set(lock, task.clone())
    }

    fn check_waiting(lock: &Bound<'_, PyAny>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        if OWNER.get(lock)?.is(task) { Err(already_held()) } else { Ok(()) }
    }

    fn entry<'py>(task: Bound<'py, PyAny>, future: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = task.py();
        Ok((task, future).into_pyobject(py)?.into_any())
    }

    fn future<'py>(entry: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        entry.get_item(1)
    }
}
