//! contextvars: copying the current context and calling inside another one.
//!
//! Invariant: every successful enter is followed by exactly one exit, with no pending exception lost in between.

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;

/// A copy of the calling thread's current context, as `contextvars.copy_context()`.
#[inline]
pub fn copy_current(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: attached by token; the result is a new reference or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent()) }
}

/// A copy of `context`, as `context.copy()`.
///
/// # Errors
/// TypeError when it is no context.
#[inline]
pub fn copy<'py>(context: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if !is_context(context) {
        return Err(not_a_context(context));
    }
    // SAFETY: exactly a Context; the result is a new reference or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(context.py(), ffi::PyContext_Copy(context.as_ptr())) }
}

/// Whether `object` is exactly a `contextvars.Context` (the type cannot be subclassed).
#[inline]
pub fn is_context(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the pointer is a live object; the check reads its type only.
    unsafe { ffi::PyContext_CheckExact(object.as_ptr()) != 0 }
}

/// Runs `body` inside `context`, as `Context.run` does. A stand-in that is no real context is refused with the error
/// that `context.run` would give.
///
/// # Errors
/// RuntimeError when the context is entered already; whatever `body` gives.
#[inline]
pub fn run_in<'py, R>(
    py: Python<'py>,
    context: &Bound<'py, PyAny>,
    body: impl FnOnce() -> PyResult<R>,
) -> PyResult<R> {
    if !is_context(context) {
        return Err(not_a_context(context));
    }
    // SAFETY: `context` is exactly a Context.
    if unsafe { ffi::PyContext_Enter(context.as_ptr()) } < 0 {
        return Err(PyErr::fetch(py));
    }
    let outcome = body();
    // SAFETY: it was entered above; no exception is pending, `body` has taken its own into `outcome`.
    if unsafe { ffi::PyContext_Exit(context.as_ptr()) } < 0 {
        let left_behind = PyErr::fetch(py);
        return outcome.and(Err(left_behind));
    }
    outcome
}

#[cold]
fn not_a_context(object: &Bound<'_, PyAny>) -> PyErr {
    match object.getattr("run") {
        Err(missing) => missing,
        Ok(_) => PyRuntimeError::new_err("a contextvars.Context is needed to run a callback"),
    }
}
