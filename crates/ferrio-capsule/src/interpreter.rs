//! Which interpreter of the process runs.

use pyo3::ffi;
use pyo3::prelude::*;

/// Whether the code runs in the process's main interpreter.
#[inline]
#[must_use]
pub fn is_main_interpreter(_py: Python<'_>) -> bool {
    // SAFETY: attached, by the token.
    let own = unsafe { ffi::PyInterpreterState_Get() };
    // SAFETY: needs nothing; the main interpreter lives as long as all others.
    let main = unsafe { ffi::PyInterpreterState_Main() };
    own == main
}
