//! What ferrio's loops offer to ferrio-bridge, which other extensions contain, beside asyncio's public names.
//!
//! An extension is built apart from this one, perhaps by another compiler, so they share Python objects only. The first
//! number of the version changes with what the functions take and do, the second with new ones.

use ferrio_cpython::objects::bridge;
use pyo3::prelude::*;

pub(crate) const VERSION: (u32, u32) = (1, 0);

/// A future of the loop that a coroutine may yield to its task.
#[pyfunction]
#[pyo3(name = "_bridge_future")]
pub(crate) fn future<'py>(event_loop: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    bridge::blocking_future(event_loop)
}

/// Completes such a future, unless it is done.
#[pyfunction]
#[pyo3(name = "_bridge_complete")]
pub(crate) fn complete(future: &Bound<'_, PyAny>) -> PyResult<()> {
    bridge::complete(future)
}
