//! `get_async_backend`, which each of anyio's functions calls first.
//!
//! sniffio, where it is installed, knows the library in use: by a name set for the thread, by one set in the context, or
//! else by the task that runs. On a ferrio loop that is found out here without Python code; anyio's own function serves
//! all else.

use ferrio_cpython::{LoopBase, current_task};
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::backend;

/// The backend class by name, or for the code that runs: on a ferrio loop that is known without asking.
#[pyfunction]
#[pyo3(name = "_anyio_get_async_backend", signature = (asynclib_name=None))]
pub(crate) fn get_async_backend<'py>(
    py: Python<'py>,
    asynclib_name: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    if asynclib_name.is_none()
        && let Some(owner) = backend::our_loop(py)?
        && is_asyncio_in_use(&owner)?
    {
        return backend::class(py, |classes| &classes.backend).map(|class| class.into_bound(py));
    }
    backend::method(py, "get_async_backend")?.call1((asynclib_name,))
}

/// Whether asyncio is the library in use on the running loop: sniffio can tell of another one that runs inside it.
fn is_asyncio_in_use(owner: &Bound<'_, LoopBase>) -> PyResult<bool> {
    let py = owner.py();
    let Some(sniffio) = backend::sniffio(py)? else {
        return Ok(true);
    };
    let of_thread = sniffio.getattr(pyo3::intern!(py, "thread_local"))?.getattr(pyo3::intern!(py, "name"))?;
    let name = if of_thread.is_none() {
        sniffio.getattr(pyo3::intern!(py, "current_async_library_cvar"))?.call_method0(pyo3::intern!(py, "get"))?
    } else {
        of_thread
    };
    match name.cast::<PyString>() {
        Ok(name) => Ok(name == "asyncio"),
        Err(_) => Ok(name.is_none() && current_task(owner.as_any())?.is_some()),
    }
}
