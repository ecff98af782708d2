//! Raises an exception object that exists already, as `raise` does: the exception that is being handled becomes its
//! context. `PyErr::from_value` leaves the context alone, which is right only for an exception that was raised before
//! and is passed on.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::PyBaseException;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::{PyErrArguments, PyTypeInfo};

use crate::capi::memory;
use crate::capi::trampoline::attached;

/// A new exception of class `E`, made at once.
///
/// `PyO3`'s own `new_err` makes the exception when it is first read, and detaches from the interpreter to do so. That
/// panics while the interpreter finalizes, when a coroutine that is still suspended gets its `GeneratorExit`.
#[cold]
#[must_use]
pub fn error<E: PyTypeInfo>(arguments: impl PyErrArguments) -> PyErr {
    attached(|py| {
        let make = || {
            let arguments = arguments.arguments(py);
            let class = E::type_object_raw(py);
            // SAFETY: a live class of exceptions and a live object.
            unsafe { ffi::PyErr_SetObject(class.cast(), arguments.as_ptr()) };
            PyErr::fetch(py)
        };
        // Only a lack of memory makes the arguments panic.
        catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|_| memory::out_of_memory(py))
    })
}

/// `error` with its exception made. `PyO3` makes one when it is first read, and attaches again for that, which fails
/// while the interpreter finalizes: code that finalizers reach calls this before it reads an error.
#[cold]
#[must_use]
pub fn normalized(py: Python<'_>, error: PyErr) -> PyErr {
    error.restore(py);
    PyErr::fetch(py)
}

/// Calls `act` as an `except` clause for `error` would: `sys.exc_info()` returns it, and exceptions raised meanwhile
/// have it as their context.
pub fn handling<R>(py: Python<'_>, error: &PyErr, act: impl FnOnce() -> R) -> R {
    let error = error.clone_ref(py).into_value(py);
    let before = handled(py);
    // SAFETY: a live exception, which is counted by the callee.
    unsafe { ffi::PyErr_SetHandledException(error.as_ptr()) };
    let outcome = act();
    let before = before.map_or(std::ptr::null_mut(), |before| before.as_ptr());
    // SAFETY: what the same function gave, still referenced; null means that nothing is handled.
    unsafe { ffi::PyErr_SetHandledException(before) };
    outcome
}

/// The exception that the innermost `except` clause or `with` block is handling now.
#[inline]
#[must_use]
pub fn handled(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    // SAFETY: a thread that has the GIL.
    let exception = unsafe { ffi::PyErr_GetHandledException() };
    // SAFETY: a new reference, or null.
    unsafe { Bound::from_owned_ptr_or_opt(py, exception) }
}

/// `exception`, raised here; a class is called, and an object that is not an exception becomes a `TypeError`, as with
/// `raise`.
#[cold]
#[must_use]
pub fn raised(exception: &Bound<'_, PyAny>) -> PyErr {
    let py = exception.py();
    if !exception.is_instance_of::<PyBaseException>() {
        return PyErr::from_value(exception.clone());
    }
    // SAFETY: a live object; the type is alive as long as it.
    unsafe { ffi::PyErr_SetObject(exception.get_type_ptr().cast(), exception.as_ptr()) };
    PyErr::fetch(py)
}
