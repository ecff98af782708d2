//! Slice objects.
//!
//! Created by calling the type: `PySlice::new` never releases the integers that it creates, which leaks each one that
//! the interpreter does not cache.

use pyo3::prelude::*;
use pyo3::types::PySlice;

/// `slice(start, stop)`; without `stop` up to the end.
pub(crate) fn slice(py: Python<'_>, start: usize, stop: Option<usize>) -> PyResult<Bound<'_, PyAny>> {
    py.get_type::<PySlice>().call1((start, stop))
}
