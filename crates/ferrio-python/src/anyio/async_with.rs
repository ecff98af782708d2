//! `__aenter__` and `__aexit__` of locks, semaphores and limiters, which acquire and release.

use std::ffi::CStr;

use ferrio_cpython::capi::exact_type::ExactType;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{self, Body, Visitor};
use ferrio_cpython::objects::native_methods::Method;
use pyo3::prelude::*;

use super::acquiring::{Acquire, Returns};
use super::originals::{self, Kept, Methods, nothing};
use super::{limiter_acquire, limiter_tokens, lock, semaphore};

/// Replaces `__aenter__` and `__aexit__` of the class that anyio's lock inherits them from.
pub(super) fn replace_of_lock(methods: &Methods<'_, '_>) -> PyResult<()> {
    methods.replace::<0, EnterLock>()?;
    methods.replace::<3, ExitLock>()
}

/// Replaces `__aenter__` and `__aexit__` of the class that anyio's semaphore inherits them from.
pub(super) fn replace_of_semaphore(methods: &Methods<'_, '_>) -> PyResult<()> {
    methods.replace::<0, EnterSemaphore>()?;
    methods.replace::<3, ExitSemaphore>()
}

/// Whether an object's `acquire` is the replacement.
#[inline]
fn is_served(object: &Bound<'_, PyAny>, class: &ExactType, acquire: &Kept) -> PyResult<bool> {
    // Its objects have no attributes of their own.
    Ok(class.is_exact(object) && acquire.is(&object.get_type().getattr(pyo3::intern!(object.py(), "acquire"))?))
}

macro_rules! enter {
    ($name:ident, $text:literal, $doc:literal, $class:expr, $acquire:expr, $body:expr) => {
        pub(super) struct $name;

        impl Method<0> for $name {
            type Class = PyAny;
            const NAME: &'static CStr = c"__aenter__";
            const TEXT: &'static str = $text;
            const DOC: &'static CStr = $doc;
            const ARGUMENTS: [&'static str; 0] = [];

            fn call<'py>(slf: &Bound<'py, PyAny>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
                if is_served(slf, $class, $acquire)? {
                    return coroutine::spawn(slf.py(), Self::TEXT, $body(slf));
                }
                originals::original(slf, Self::TEXT, &[]).map(Bound::unbind)
            }
        }
    };
}

macro_rules! exit {
    ($name:ident, $text:literal, $class:expr) => {
        pub(super) struct $name;

        impl Method<3> for $name {
            type Class = PyAny;
            const NAME: &'static CStr = c"__aexit__";
            const TEXT: &'static str = $text;
            const DOC: &'static CStr = c"__aexit__($self, exc_type, exc_val, exc_tb)\n--\n\nRelease it.";
            const ARGUMENTS: [&'static str; 3] = ["exc_type", "exc_val", "exc_tb"];

            fn call<'py>(slf: &Bound<'py, PyAny>, exception: [Bound<'py, PyAny>; 3]) -> PyResult<Py<PyAny>> {
                if $class.is_exact(slf) {
                    return coroutine::spawn(slf.py(), Self::TEXT, Release(OwnedRef::of(slf)));
                }
                originals::original(slf, Self::TEXT, &exception.each_ref()).map(Bound::unbind)
            }
        }
    };
}

enter!(
    EnterLock,
    "Lock.__aenter__",
    c"__aenter__($self)\n--\n\nAcquire the lock.",
    &lock::CLASS,
    &lock::ACQUIRE,
    |slf| Acquire::<lock::Lock>::new(slf, Returns::None)
);
exit!(ExitLock, "Lock.__aexit__", lock::CLASS);

enter!(
    EnterSemaphore,
    "Semaphore.__aenter__",
    c"__aenter__($self)\n--\n\nAcquire the semaphore; returns it.",
    &semaphore::CLASS,
    &semaphore::ACQUIRE,
    |slf| Acquire::<semaphore::Semaphore>::new(slf, Returns::Itself)
);
exit!(ExitSemaphore, "Semaphore.__aexit__", semaphore::CLASS);

enter!(
    EnterLimiter,
    "CapacityLimiter.__aenter__",
    c"__aenter__($self)\n--\n\nAcquire a token for the current task.",
    &limiter_tokens::CLASS,
    &limiter_tokens::ACQUIRE,
    |slf| limiter_acquire::Acquire::new(slf, None)
);
exit!(ExitLimiter, "CapacityLimiter.__aexit__", limiter_tokens::CLASS);

/// The body of `__aexit__`.
struct Release(OwnedRef);

impl Body for Release {
    const OWNS_PY: bool = false;

    fn try_complete<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.0.bind(py).call_method0(pyo3::intern!(py, "release"))?;
        Ok(Some(nothing(py)))
    }

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        input?;
        self.0.bind(py).call_method0(pyo3::intern!(py, "release"))?;
        Ok(Step::Returned(nothing(py)))
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.0);
    }
}
