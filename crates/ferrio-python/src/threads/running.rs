//! The jobs that workers run now, while inspection records: which, since when, in which thread.
//!
//! An entry lives as long as the call that it is for. Off, nothing is listed; a job that began before is not either.

use ferrio_cpython::{GilCell, thread_identifier};
use ferrio_sys::clock::monotonic;
use pyo3::prelude::*;

static RUNNING: GilCell<Vec<Running>> = GilCell::new(Vec::new());

/// A call that is being made.
struct Running {
    job: Py<PyAny>,
    function: Py<PyAny>,
    /// The thread, as Python numbers it.
    thread: u64,
    since: u64,
}

/// What is known of a job that runs: the job, its function, the thread and the instant at which it began.
pub(crate) type Known<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, u64, u64);

/// Lists a job that begins. Without memory for that it is not listed.
pub(crate) fn begin(job: &Bound<'_, PyAny>, function: &Bound<'_, PyAny>) {
    let entry = Running {
        job: job.clone().unbind(),
        function: function.clone().unbind(),
        thread: thread_identifier(job.py()),
        since: monotonic(),
    };
    let refused = RUNNING.with(job.py(), |running| {
        if running.try_reserve(1).is_err() {
            return Some(entry);
        }
        running.push(entry);
        None
    });
    drop(refused);
}

/// Takes a job off the list.
pub(crate) fn end(job: &Bound<'_, PyAny>) {
    let entry = RUNNING.with(job.py(), |running| {
        let place = running.iter().position(|each| each.job.is(job))?;
        Some(running.swap_remove(place))
    });
    drop(entry);
}

/// The jobs that run.
pub(crate) fn all(py: Python<'_>) -> Vec<Known<'_>> {
    RUNNING.with(py, |running| {
        let known =
            |each: &Running| (each.job.bind(py).clone(), each.function.bind(py).clone(), each.thread, each.since);
        running.iter().map(known).collect()
    })
}

/// In a child made by `fork`: the parent's threads are not here.
pub(crate) fn forget(py: Python<'_>) {
    let entries = RUNNING.with(py, std::mem::take);
    drop(entries);
}
