//! Imports modules.

use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// The module of that name, imported if it is not yet. Not by `__import__` as `PyO3` does: asyncio's modules are imported
/// with the interpreter's own builtins, whatever those of the code that calls have in its place, or lack.
///
/// # Errors
/// What importing raises.
pub fn module<'py, N>(py: Python<'py>, name: N) -> PyResult<Bound<'py, PyModule>>
where
    N: IntoPyObject<'py, Target = PyString>,
{
    let name = name.into_bound_py_any(py)?;
    let [globals, locals, names] = [std::ptr::null_mut(); 3];
    // SAFETY: a string, alive during the call; null stands for what is not given.
    let package = unsafe { ffi::PyImport_ImportModuleLevelObject(name.as_ptr(), globals, locals, names, 0) };
    // SAFETY: a new reference or null with an exception set.
    drop(unsafe { Bound::from_owned_ptr_or_err(py, package) }?);
    // SAFETY: a string, alive during the call.
    let module = unsafe { ffi::PyImport_GetModule(name.as_ptr()) };
    // SAFETY: a new reference, or null with or without an exception set.
    match unsafe { Bound::from_owned_ptr_or_opt(py, module) } {
        Some(module) => Ok(module.cast_into()?),
        None => Err(PyErr::take(py).unwrap_or_else(|| PyImportError::new_err("the module is gone"))),
    }
}
