//! Calls from object to object that Python's data decides on: as deep as the interpreter lets its own go, then
//! `RecursionError`, and never past the end of the stack.

use std::ffi::CStr;

use pyo3::ffi;
use pyo3::prelude::*;

/// Runs `body` one level deeper; `what` ends the sentence of the error.
///
/// # Errors
/// `RecursionError`, and those of `body`.
#[inline]
pub(crate) fn deeper<R>(py: Python<'_>, what: &CStr, body: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    // SAFETY: the GIL is held, as the token says.
    if unsafe { ffi::Py_EnterRecursiveCall(what.as_ptr()) } != 0 {
        return Err(PyErr::fetch(py));
    }
    let outcome = body();
    // SAFETY: the level that was entered above.
    unsafe { ffi::Py_LeaveRecursiveCall() };
    outcome
}
