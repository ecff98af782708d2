//! Futures and tasks whose exception nobody has asked for, for the lints.

use ferrio_cpython::objects::failures;
use pyo3::prelude::*;

/// Those that have failed since recording began, and when, in nanoseconds of the monotonic clock.
#[pyfunction]
#[pyo3(name = "_failed_futures")]
pub(crate) fn failed_futures(py: Python<'_>) -> Vec<(Bound<'_, PyAny>, u64)> {
    failures::all(py)
}

/// Forgets them.
#[pyfunction]
#[pyo3(name = "_forget_failures")]
pub(crate) fn forget_failures(py: Python<'_>) {
    failures::forget(py);
}
