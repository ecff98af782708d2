//! Jobs of ferrio's worker threads, for snapshots.

use ferrio_cpython::objects::waiter::FutureWaiter;
use pyo3::prelude::*;

use crate::threads::job::Job;
use crate::threads::running;

/// A job, the loop that waits for it, the loop's future, its function, when it was handed over, when it began, both in
/// nanoseconds or 0, and the thread that runs it.
type Known<'py> =
    (Bound<'py, PyAny>, Bound<'py, PyAny>, Option<Bound<'py, PyAny>>, Bound<'py, PyAny>, u64, u64, Option<u64>);

/// The jobs that workers run, as far as it was recorded.
#[pyfunction]
#[pyo3(name = "_running_jobs")]
pub(crate) fn running_jobs(py: Python<'_>) -> Vec<Known<'_>> {
    let known = running::all(py).into_iter();
    let known = known.filter_map(|(job, function, thread, since)| {
        Some(described(job.cast_exact::<Job>().ok()?, function, since, Some(thread)))
    });
    known.collect()
}

/// A job that waits for a worker; None if it does not, or is none of ferrio's.
#[pyfunction]
#[pyo3(name = "_waiting_job")]
pub(crate) fn waiting_job<'py>(item: &Bound<'py, PyAny>) -> Option<Known<'py>> {
    let job = item.cast_exact::<Job>().ok()?;
    Some(described(job, job.get().function(job.py())?, 0, None))
}

/// In a child made by `fork`: forgets the jobs that the parent's threads run.
#[pyfunction]
#[pyo3(name = "_forget_running_jobs")]
pub(crate) fn forget_running_jobs(py: Python<'_>) {
    running::forget(py);
}

fn described<'py>(job: &Bound<'py, Job>, function: Bound<'py, PyAny>, since: u64, thread: Option<u64>) -> Known<'py> {
    let py = job.py();
    let owner = job.get().owner(py).clone().into_any();
    let future = job.get().with_future(py, |future: &FutureWaiter| future.future(py));
    (job.clone().into_any(), owner, future, function, job.get().queued_at(), since, thread)
}
