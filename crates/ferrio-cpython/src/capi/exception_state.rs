//! Runs code as an `except` or `finally` block does: with an exception that is being handled.
//!
//! Exceptions raised meanwhile get that exception as their context, and `sys.exception()` returns it. Invariant:
//! afterwards the exception that was being handled before is restored.

use pyo3::ffi;
use pyo3::prelude::*;

/// Runs `block` while `error` is being handled.
pub fn while_handling<R>(py: Python<'_>, error: &PyErr, block: impl FnOnce() -> R) -> R {
    // SAFETY: attached by token; a new reference or null.
    let before = unsafe { ffi::PyErr_GetHandledException() };
    // SAFETY: as stated above.
    let before = Restore(unsafe { Bound::from_owned_ptr_or_opt(py, before) });
    // SAFETY: an exception; the call takes its own reference.
    unsafe { ffi::PyErr_SetHandledException(error.value(py).as_ptr()) };
    let outcome = block();
    drop(before);
    outcome
}

/// Restores the exception that was being handled, also after a panic.
struct Restore<'py>(Option<Bound<'py, PyAny>>);

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        let exception = self.0.as_ref().map_or(std::ptr::null_mut(), Bound::as_ptr);
        // SAFETY: null or an exception; the call takes its own reference. Attached, because the token outlives this.
        unsafe { ffi::PyErr_SetHandledException(exception) };
    }
}
