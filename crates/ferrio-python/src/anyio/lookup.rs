//! `get_async_backend`, which each of anyio's functions calls first.

use pyo3::prelude::*;

use super::backend;

/// The backend class by name, or for the code that runs: on a ferrio loop that is known without asking.
#[pyfunction]
#[pyo3(name = "_anyio_get_async_backend", signature = (asynclib_name=None))]
pub(crate) fn get_async_backend<'py>(
    py: Python<'py>,
    asynclib_name: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    if asynclib_name.is_none() && backend::is_asyncio_alone(py)? && backend::our_loop(py)?.is_some() {
        return backend::class(py, |classes| &classes.backend).map(|class| class.into_bound(py));
    }
    backend::method(py, "get_async_backend")?.call1((asynclib_name,))
}
