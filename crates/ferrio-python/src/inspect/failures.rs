//! Futures and tasks that have failed, for the lints.

use ferrio_cpython::objects::failures;
use pyo3::prelude::*;

/// Those that have failed while inspection was on and are still there, and when, in nanoseconds of the monotonic clock.
#[pyfunction]
#[pyo3(name = "_failed_futures")]
pub(crate) fn failed_futures(py: Python<'_>) -> Vec<(Bound<'_, PyAny>, u64)> {
    failures::all(py)
}

/// Begins to note them, or ends it and forgets them.
#[pyfunction]
#[pyo3(name = "_note_failures")]
pub(crate) fn note_failures(py: Python<'_>, on: bool) {
    failures::switch(py, on);
}
