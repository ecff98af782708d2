//! Who waits for a future, for the call graphs of Python 3.14.

use ferrio_cpython::future::like;
use pyo3::prelude::*;

/// Note that a future is awaited by a waiter.
#[pyfunction]
#[pyo3(signature = (fut, waiter, /))]
pub(super) fn future_add_to_awaited_by<'py>(fut: &Bound<'py, PyAny>, waiter: &Bound<'py, PyAny>) -> PyResult<()> {
    like::add_waiter(fut, waiter)
}

/// Note that a future is no longer awaited by a waiter.
#[pyfunction]
#[pyo3(signature = (fut, waiter, /))]
pub(super) fn future_discard_from_awaited_by<'py>(fut: &Bound<'py, PyAny>, waiter: &Bound<'py, PyAny>) -> PyResult<()> {
    like::discard_waiter(fut, waiter)
}
