//! Running code as an `except` or `finally` block does: with an exception that is being handled.
//!
//! What is raised meanwhile gets that exception as its context, and `sys.exception()` shows it. Invariant: what was
//! being handled before is so again afterwards.

use pyo3::ffi;
use pyo3::prelude::*;

/// Runs `block` while `error` is being handled.
pub fn while_handling<R>(py: Python<'_>, error: &PyErr, block: impl FnOnce() -> R) -> R {
    // SAFETY: attached by token; a new reference or null.
    let before = unsafe { ffi::PyErr_GetHandledException() };
    // SAFETY: as said.
    let before = Restore(unsafe { Bound::from_owned_ptr_or_opt(py, before) });
    // SAFETY: an exception; a reference of its own is taken.
    unsafe { ffi::PyErr_SetHandledException(error.value(py).as_ptr()) };
    let outcome = block();
    drop(before);
    outcome
}

/// Puts back what was being handled, also after a panic.
struct Restore<'py>(Option<Bound<'py, PyAny>>);

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        let exception = self.0.as_ref().map_or(std::ptr::null_mut(), Bound::as_ptr);
        // SAFETY: null or an exception; a reference of its own is taken. Attached, for the token outlives this.
        unsafe { ffi::PyErr_SetHandledException(exception) };
    }
}
