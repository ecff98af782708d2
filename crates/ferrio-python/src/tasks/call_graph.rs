//! Call graph edges other than `await`, which 3.14 keeps for `asyncio.capture_call_graph()`.
//!
//! Earlier versions keep none, and `current_waiter` is None there.

use ferrio_cpython::current_task;
use ferrio_cpython::objects::future::future_like;
use pyo3::prelude::*;

use crate::common::imports;

/// The task that is running on `owner`, on versions with call graphs.
pub(crate) fn current_waiter<'py>(owner: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if imports::python_version(owner.py()) < (3, 14) { Ok(None) } else { current_task(owner) }
}

/// Note that a future is awaited by a waiter.
#[pyfunction]
#[pyo3(signature = (fut, waiter, /))]
pub(super) fn future_add_to_awaited_by<'py>(fut: &Bound<'py, PyAny>, waiter: &Bound<'py, PyAny>) -> PyResult<()> {
    future_like::add_waiter(fut, waiter)
}

/// Note that a future is no longer awaited by a waiter.
#[pyfunction]
#[pyo3(signature = (fut, waiter, /))]
pub(super) fn future_discard_from_awaited_by<'py>(fut: &Bound<'py, PyAny>, waiter: &Bound<'py, PyAny>) -> PyResult<()> {
    future_like::discard_waiter(fut, waiter)
}
