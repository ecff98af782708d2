//! `AsyncIOBackend.current_time`.

use pyo3::prelude::*;

use super::backend;

/// The time of the running loop.
#[pyfunction]
pub(crate) fn current_time(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    match backend::our_loop(py)? {
        Some(ours) => ours.call_method0(pyo3::intern!(py, "time")),
        None => backend::method(py, "current_time")?.call0(),
    }
}
