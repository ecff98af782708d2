//! The methods of `CapacityLimiter` that acquire and release, on the attributes of anyio's own limiter.

use std::ffi::CStr;

use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::objects::coroutine;
use ferrio_cpython::objects::native_methods::Method;
use pyo3::prelude::*;

use super::async_with::{EnterLimiter, ExitLimiter};
use super::limiter_acquire::Acquire;
use super::limiter_tokens::{ACQUIRE, CLASS, find_slots, lend_now, take_back};
use super::originals::{self, Methods};
use super::scopes_of_tasks::running_task;

pub(super) fn replace(methods: &Methods<'_, '_>) -> PyResult<()> {
    find_slots(methods)?;
    methods.replace_and_keep::<0, AcquireMethod>(&ACQUIRE)?;
    methods.replace::<0, EnterLimiter>()?;
    methods.replace::<3, ExitLimiter>()?;
    methods.replace::<1, AcquireOnBehalfOf>()?;
    methods.replace::<0, AcquireNowait>()?;
    methods.replace::<1, AcquireOnBehalfOfNowait>()?;
    methods.replace::<0, Release>()?;
    methods.replace::<1, ReleaseOnBehalfOf>()
}

struct AcquireMethod;

impl Method<0> for AcquireMethod {
    type Class = PyAny;
    const NAME: &'static CStr = c"acquire";
    const TEXT: &'static str = "CapacityLimiter.acquire";
    const DOC: &'static CStr = c"acquire($self)\n--\n\nAcquire a token for the current task.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, PyAny>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        coroutine::spawn(slf.py(), Self::TEXT, Acquire::new(slf, None))
    }
}

struct AcquireOnBehalfOf;

impl Method<1> for AcquireOnBehalfOf {
    type Class = PyAny;
    const NAME: &'static CStr = c"acquire_on_behalf_of";
    const TEXT: &'static str = "CapacityLimiter.acquire_on_behalf_of";
    const DOC: &'static CStr = c"acquire_on_behalf_of($self, borrower)\n--\n\nAcquire a token for a borrower.";
    const ARGUMENTS: [&'static str; 1] = ["borrower"];

    fn call<'py>(slf: &Bound<'py, PyAny>, [borrower]: [Bound<'py, PyAny>; 1]) -> PyResult<Py<PyAny>> {
        coroutine::spawn(slf.py(), Self::TEXT, Acquire::new(slf, Some(OwnedRef::from(borrower))))
    }
}

struct AcquireNowait;

impl Method<0> for AcquireNowait {
    type Class = PyAny;
    const NAME: &'static CStr = c"acquire_nowait";
    const TEXT: &'static str = "CapacityLimiter.acquire_nowait";
    const DOC: &'static CStr = c"acquire_nowait($self)\n--\n\nAcquire a token for the current task without waiting.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, PyAny>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        match running_task(slf.py())?.filter(|_| CLASS.is_exact(slf)) {
            Some((_, task)) => acquire_nowait(slf, &task),
            None => originals::original(slf, Self::TEXT, &[]).map(Bound::unbind),
        }
    }
}

struct AcquireOnBehalfOfNowait;

impl Method<1> for AcquireOnBehalfOfNowait {
    type Class = PyAny;
    const NAME: &'static CStr = c"acquire_on_behalf_of_nowait";
    const TEXT: &'static str = "CapacityLimiter.acquire_on_behalf_of_nowait";
    const DOC: &'static CStr =
        c"acquire_on_behalf_of_nowait($self, borrower)\n--\n\nAcquire a token for a borrower without waiting.";
    const ARGUMENTS: [&'static str; 1] = ["borrower"];

    fn call<'py>(slf: &Bound<'py, PyAny>, [borrower]: [Bound<'py, PyAny>; 1]) -> PyResult<Py<PyAny>> {
        acquire_nowait(slf, &borrower)
    }
}

fn acquire_nowait(limiter: &Bound<'_, PyAny>, borrower: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    if lend_now(limiter, borrower)? {
        Ok(limiter.py().None())
    } else {
        Err(originals::anyio_error(limiter.py(), "WouldBlock"))
    }
}

struct Release;

impl Method<0> for Release {
    type Class = PyAny;
    const NAME: &'static CStr = c"release";
    const TEXT: &'static str = "CapacityLimiter.release";
    const DOC: &'static CStr = c"release($self)\n--\n\nRelease the token held by the current task.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, PyAny>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        match running_task(slf.py())?.filter(|_| CLASS.is_exact(slf)) {
            Some((_, task)) => take_back(slf, &task).map(|()| slf.py().None()),
            None => originals::original(slf, Self::TEXT, &[]).map(Bound::unbind),
        }
    }
}

struct ReleaseOnBehalfOf;

impl Method<1> for ReleaseOnBehalfOf {
    type Class = PyAny;
    const NAME: &'static CStr = c"release_on_behalf_of";
    const TEXT: &'static str = "CapacityLimiter.release_on_behalf_of";
    const DOC: &'static CStr = c"release_on_behalf_of($self, borrower)\n--\n\nRelease a borrower's token.";
    const ARGUMENTS: [&'static str; 1] = ["borrower"];

    fn call<'py>(slf: &Bound<'py, PyAny>, [borrower]: [Bound<'py, PyAny>; 1]) -> PyResult<Py<PyAny>> {
        take_back(slf, &borrower).map(|()| slf.py().None())
    }
}
