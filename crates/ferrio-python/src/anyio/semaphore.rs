//! `Semaphore.acquire`, `acquire_nowait` and `release`, on the attributes of anyio's own semaphore.

use std::ffi::CStr;

use ferrio_cpython::capi::exact_type::ExactType;
use ferrio_cpython::capi::slot::Slot;
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

static VALUE: Slot = Slot::new("_value");
static MAXIMUM: Slot = Slot::new("_max_value");
static WAITERS: Slot = Slot::new("_waiters");
static TAKES_AT_ONCE: Slot = Slot::new("_fast_acquire");

pub(super) fn replace(methods: &Methods<'_, '_>) -> PyResult<()> {
    let slots = [&VALUE, &MAXIMUM, &WAITERS, &TAKES_AT_ONCE];
    slots.into_iter().try_for_each(|slot| slot.find(methods.class()))?;
    methods.replace_and_keep::<0, AcquireMethod>(&ACQUIRE)?;
    methods.replace::<0, AcquireNowaitMethod>()?;
    methods.replace::<0, ReleaseMethod>()
}

/// `self._value += change`.
fn add(semaphore: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>, change: i64) -> PyResult<()> {
    let changed = match plain_integer(value).and_then(|value| value.checked_add(change)) {
        Some(value) => value.into_pyobject(semaphore.py())?.into_any(),
        None => value.add(change)?,
    };
    VALUE.set(semaphore, changed)
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
        let value = VALUE.get(slf)?;
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
    let value = VALUE.get(semaphore)?;
    let maximum = MAXIMUM.get(semaphore)?;
    if !maximum.is_none() && value.eq(maximum)? {
        return Err(ferrio_cpython::error::<PyValueError>("semaphore released too many times"));
    }
    let waiters = WAITERS.get(semaphore)?;
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
    const WAITERS: &'static Slot = &WAITERS;
    const TAKES_AT_ONCE: &'static Slot = &TAKES_AT_ONCE;

    fn is_free(semaphore: &Bound<'_, PyAny>) -> PyResult<bool> {
        let value = VALUE.get(semaphore)?;
        let is_positive = plain_integer(&value).map_or_else(|| value.gt(0), |value| Ok(value > 0))?;
        Ok(is_positive && WAITERS.get(semaphore)?.len()? == 0)
    }

    fn take(semaphore: &Bound<'_, PyAny>, _: &Bound<'_, PyAny>) -> PyResult<()> {
        add(semaphore, &VALUE.get(semaphore)?, -1)
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
