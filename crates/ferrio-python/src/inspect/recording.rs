//! What is recorded while inspection is on, for `ferrio.inspect`.

use ferrio_cpython::objects::recording;
use pyo3::prelude::*;

/// The creator's address, its innermost frames as code and line, and the instant.
type Creation<'py> = (Option<usize>, Vec<(Bound<'py, PyAny>, u32)>, f64);

/// Begins to record, or ends it and forgets everything.
#[pyfunction]
#[pyo3(name = "_record")]
pub(crate) fn record(py: Python<'_>, on: bool) {
    recording::switch(py, on);
}

/// How a task was created; None if that was not recorded.
#[pyfunction]
#[pyo3(name = "_creation_of")]
pub(crate) fn creation_of<'py>(task: &Bound<'py, PyAny>) -> Option<Creation<'py>> {
    let py = task.py();
    let creation = recording::creation_of(py, task.as_ptr().addr())?;
    let frames = creation.frames.iter().map(|place| place.code_and_line(py)).collect();
    Some((creation.by, frames, creation.at))
}

/// The addresses of the tasks that hold a lock, and since when, as far as that was recorded.
#[pyfunction]
#[pyo3(name = "_holders_of")]
pub(crate) fn holders_of(lock: &Bound<'_, PyAny>) -> Vec<(usize, f64)> {
    let holders = recording::holders_of(lock);
    holders.into_iter().map(|holder| (holder.task, holder.since)).collect()
}
