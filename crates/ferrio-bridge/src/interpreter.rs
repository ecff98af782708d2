//! The bridge works in one interpreter of a process.
//!
//! What it keeps, and what `PyO3` keeps of an extension's classes, belongs to the process: objects of an interpreter that
//! is gone would be used in another.

use ferrio_capsule::is_main_interpreter;
use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;

/// Refuses other interpreters than the process's main one. Every function of this crate does; a module that calls this
/// before it adds anything makes the import fail there.
///
/// ```no_run
/// use pyo3::prelude::*;
///
/// #[pymodule]
/// fn extension(module: &Bound<'_, PyModule>) -> PyResult<()> {
///     ferrio_bridge::check_interpreter(module.py())?;
///     module.add("answer", 42)
/// }
/// ```
///
/// # Errors
/// `ImportError` in a sub-interpreter.
pub fn check_interpreter(py: Python<'_>) -> PyResult<()> {
    if is_main_interpreter(py) { Ok(()) } else { Err(refusal()) }
}

#[cold]
fn refusal() -> PyErr {
    PyImportError::new_err("extensions that use ferrio-bridge work in the main interpreter only")
}
