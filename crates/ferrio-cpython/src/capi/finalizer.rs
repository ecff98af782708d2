//! Code that runs while an object ends: `__del__`, `tp_clear`, a `Drop` that calls Python.
//!
//! An object may be freed while an exception is on its way: unwinding releases what it passes. Invariant: that exception
//! is set aside meanwhile, and is on its way again afterwards, whatever the code raises, whether or not it panics.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::ffi;
use pyo3::prelude::*;

use crate::capi::trampoline::{attached, restore_panic};
use crate::capi::version::Raised;

/// Runs `body` attached, with no exception on its way. There is no caller to raise to, so a panic is reported.
#[inline]
pub fn finalizing(body: impl FnOnce(Python<'_>)) {
    attached(|py| {
        let _set_aside = SetAside { raised: Raised::take(py), py };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| body(py))) {
            restore_panic(py, payload.as_ref());
            // SAFETY: attached by token, and an exception is set.
            unsafe { ffi::PyErr_WriteUnraisable(std::ptr::null_mut()) };
        }
    });
}

/// Puts the exception back when it is dropped, also after a panic.
struct SetAside<'py> {
    raised: Raised,
    py: Python<'py>,
}

impl Drop for SetAside<'_> {
    #[inline]
    fn drop(&mut self) {
        self.raised.restore(self.py);
    }
}
