//! What is recorded while inspection is on, for `ferrio.inspect`.

use std::collections::HashMap;

use ferrio_cpython::LoopBase;
use ferrio_cpython::capi::memory;
use ferrio_cpython::objects::recording::readings::{self, Waker};
use ferrio_cpython::objects::recording::{self, Plan, holders, labels};
use ferrio_sys::clock;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

/// The creator's address, the code and the line where it was, and the instant.
type Creation<'py> = (Option<usize>, Option<(Bound<'py, PyAny>, u32)>, f64);

/// Begins to record. Each loop's flight recorder keeps `length` records; `asyncio` are the directories of asyncio's own
/// files and of ours, with a separator at their ends; `native_threads` has the system's numbers of threads.
#[pyfunction]
#[pyo3(name = "_record")]
pub(crate) fn record(py: Python<'_>, length: usize, asyncio: Py<PyTuple>, native_threads: HashMap<u64, u32>) {
    let plan = Plan { length, asyncio };
    recording::switch(py, Some(plan), |thread| native_threads.get(&thread).copied().unwrap_or(0));
}

/// Ends recording, and forgets everything.
#[pyfunction]
#[pyo3(name = "_stop_recording")]
pub(crate) fn stop_recording(py: Python<'_>) {
    recording::switch(py, None, |_| 0);
}

/// Who woke a task: "task" with its address or None if it is gone, "callback", "outside" or "unknown".
type WokenBy = (&'static str, Option<usize>);

/// How often a task ran, how long together and at most, how long it was ready, how often it became ready, and who woke
/// it last; None if it was created before recording began. All in nanoseconds.
#[pyfunction]
#[pyo3(name = "_times_of")]
pub(crate) fn times_of(task: &Bound<'_, PyAny>) -> Option<(u64, u64, u64, u64, u64, WokenBy)> {
    let (times, waker) = readings::times_of(task)?;
    let by = match times.woken_by {
        Waker::CALLBACK => ("callback", None),
        Waker::OUTSIDE => ("outside", None),
        Waker::UNKNOWN => ("unknown", None),
        _ => ("task", waker),
    };
    Some((times.polls, times.total, times.longest, times.scheduled, times.wakeups, by))
}

/// A histogram: the bounds of its buckets, the counts, one more than bounds, and the sum, in nanoseconds.
pub(crate) type Histogram = (Vec<u64>, Vec<u64>, u64);

/// How long tasks of a loop ran at a time, how long they were ready before, and how long callbacks ran that are no steps
/// of tasks; None if it was never recorded.
#[pyfunction]
#[pyo3(name = "_task_durations")]
pub(crate) fn task_durations(owner: &Bound<'_, PyAny>) -> Option<[Histogram; 3]> {
    let owner = owner.cast::<LoopBase>().ok()?;
    Some(readings::durations(owner.get(), owner.py())?.map(|each| each.read()))
}

/// How often a loop has asked the system for events while recording was on; None if it was never recorded.
#[pyfunction]
#[pyo3(name = "_system_polls")]
pub(crate) fn system_polls(owner: &Bound<'_, PyAny>) -> Option<u64> {
    readings::system_polls(owner.cast::<LoopBase>().ok()?.get(), owner.py())
}

/// How many tasks were created, are done and were destroyed before they were; and how long jobs waited for a thread.
type Totals = (u64, u64, u64, Histogram);

/// What was counted since recording began; None while it is off.
#[pyfunction]
#[pyo3(name = "_recorded_totals")]
pub(crate) fn recorded_totals(py: Python<'_>) -> Option<Totals> {
    let found = readings::totals(py)?;
    Some((found.created, found.done, found.destroyed_pending, found.job_waits.read()))
}

/// A loop's flight recorder: its address, its thread, the records, how many are lost, what runs, since when it polls.
type Flight<'py> = (usize, u32, Bound<'py, PyBytes>, u64, Option<(u64, u64)>, u64);

/// The flight recorders of the loops, without what ended before `since`.
#[pyfunction]
#[pyo3(name = "_flight")]
pub(crate) fn flight(py: Python<'_>, since: u64) -> PyResult<Vec<Flight<'_>>> {
    let readings = readings::read(py, since).into_iter().map(|each| {
        let records = memory::bytes(py, &each.records)?;
        Ok((each.owner, each.thread, records, each.lost, each.running, each.polling_since))
    });
    readings.collect()
}

/// The jobs, the labels with their texts, the names of finished tasks, and the address, number and label of each task.
type Names<'py> = (Bound<'py, PyBytes>, Vec<(u64, Py<PyString>)>, Vec<(u64, Py<PyAny>)>, Vec<(usize, u64, u64)>);

/// What belongs to the flight recorders of all loops.
#[pyfunction]
#[pyo3(name = "_flight_names")]
pub(crate) fn flight_names(py: Python<'_>, since: u64) -> PyResult<Names<'_>> {
    let jobs = memory::bytes(py, &readings::jobs(py, since))?;
    Ok((jobs, labels::all(py), readings::names(py), readings::numbers(py)))
}

/// In a child made by `fork`: empties the flight recorders.
#[pyfunction]
#[pyo3(name = "_forget_flight")]
pub(crate) fn forget_flight(py: Python<'_>) {
    recording::forget_flight(py);
}

/// How a task was created; None if that was not recorded.
#[pyfunction]
#[pyo3(name = "_creation_of")]
pub(crate) fn creation_of<'py>(task: &Bound<'py, PyAny>) -> Option<Creation<'py>> {
    let creation = readings::creation_of(task)?;
    Some((creation.by, creation.place, clock::seconds(creation.at)))
}

/// Where a lock was made: the code and the line; None if that was not recorded.
#[pyfunction]
#[pyo3(name = "_place_of_lock")]
pub(crate) fn place_of_lock<'py>(lock: &Bound<'py, PyAny>) -> Option<(Bound<'py, PyAny>, u32)> {
    holders::place_of(lock)
}

/// The addresses of the tasks that hold a lock, and since when, as far as that was recorded.
#[pyfunction]
#[pyo3(name = "_holders_of")]
pub(crate) fn holders_of(lock: &Bound<'_, PyAny>) -> Vec<(usize, f64)> {
    let holders = holders::holders_of(lock);
    holders.into_iter().map(|holder| (holder.task, holder.since)).collect()
}
