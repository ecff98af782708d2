//! `Semaphore.acquire`, `acquire_nowait` and `release`, on the attributes of anyio's own semaphore.

use std::ffi::CStr;

use ferrio_cpython::capi::exact_type::ExactType;
use ferrio_cpython::objects::coroutine;
use ferrio_cpython::objects::native_methods::Method;
use ferrio_cpython::objects::waiter::FutureWaiter;
use ferrio_engine::WaiterState;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::acquiring::{Acquirable, Acquire, Returns};
use super::originals::{self, Kept, Methods, nothing};
use crate::common::numbers::plain_integer;

/// anyio's class.
pub(super) static CLASS: ExactType = ExactType::new();

/// Its `acquire`, replaced.
pub(super) static ACQUIRE: Kept = Kept::new();

pub(super) fn replace(methods: &Methods<'_, '_>) -> PyResult<()> {
    methods.replace_and_keep::<0, AcquireMethod>(&ACQUIRE)?;
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
        coroutine::spawn(slf.py(), Self::TEXT, Acquire::<Semaphore>::new(slf, Returns::None))
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

/// anyio's semaphore.
pub(super) struct Semaphore;

impl Acquirable for Semaphore {
    const CLASS: &'static ExactType = &CLASS;
    const ACQUIRE: &'static str = AcquireMethod::TEXT;

    fn is_free(semaphore: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = semaphore.py();
        Ok(semaphore.getattr(pyo3::intern!(py, "_value"))?.gt(0)?
            && semaphore.getattr(pyo3::intern!(py, "_waiters"))?.len()? == 0)
    }

    fn take(semaphore: &Bound<'_, PyAny>, _: &Bound<'_, PyAny>) -> PyResult<()> {
        add(semaphore, &semaphore.getattr(pyo3::intern!(semaphore.py(), "_value"))?, -1)
    }

    fn check_waiting(_: &Bound<'_, PyAny>, _: &Bound<'_, PyAny>) -> PyResult<()> {
        Ok(())
    }

    fn entry<'py>(_: Bound<'py, PyAny>, future: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        Ok(future)
    }

    fn future<'py>(entry: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        Ok(entry.clone())
    }
}
