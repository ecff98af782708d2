//! Slice objects.
//!
//! Made by calling the type: `PySlice::new` never releases the numbers that it makes, which is a leak for each one that
//! the interpreter does not keep anyway.

use pyo3::prelude::*;
use pyo3::types::PySlice;

/// `slice(start, stop)`; without a stop to the end.
pub(crate) fn slice(py: Python<'_>, start: usize, stop: Option<usize>) -> PyResult<Bound<'_, PyAny>> {
    py.get_type::<PySlice>().call1((start, stop))
}
