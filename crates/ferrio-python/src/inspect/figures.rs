//! What loops and tasks count, for `ferrio.inspect.metrics()`.

use ferrio_cpython::objects::task;
use pyo3::prelude::*;

use crate::event_loop::Loop;

/// A loop, and how many of its tasks run, are ready and wait.
type Counts<'py> = (Bound<'py, PyAny>, usize, usize, usize);

/// The pending tasks of ferrio, and from 3.14 on asyncio's own as well, of all loops and threads.
#[pyfunction]
#[pyo3(name = "_listed_tasks")]
pub(crate) fn listed_tasks(py: Python<'_>) -> Vec<Bound<'_, PyAny>> {
    task::listed_anywhere(py)
}

/// The innermost frames of the threads of this interpreter, by the numbers of the threads.
#[pyfunction]
#[pyo3(name = "_thread_frames")]
pub(crate) fn thread_frames(py: Python<'_>) -> Vec<(u64, Bound<'_, PyAny>)> {
    ferrio_cpython::capi::thread_frames::of_this_interpreter(py)
}

/// How many tasks of ferrio's each loop has: running, ready and waiting ones.
#[pyfunction]
#[pyo3(name = "_count_tasks")]
pub(crate) fn count_tasks(py: Python<'_>) -> Vec<Counts<'_>> {
    let counts = task::counts(py);
    counts.into_iter().map(|count| (count.owner, count.running, count.ready, count.waiting)).collect()
}

/// For how many nanoseconds a loop ran, how many of them it slept, how often, and how many descriptors it watches.
#[pyfunction]
#[pyo3(name = "_activity_of")]
pub(crate) fn activity_of(owner: &Bound<'_, Loop>) -> (u64, u64, u64, usize) {
    let io = &owner.get().io;
    let times = io.activity.times();
    let watched = io.registrations.with(owner.py(), |registrations| registrations.count());
    (times.ran, times.asleep, times.sleeps, watched)
}
