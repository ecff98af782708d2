//! What is counted of all tasks and jobs while inspection is on.

use ferrio_engine::Durations;
use pyo3::prelude::*;

use super::records::{RECORDS, is_on};

/// Counts since recording began.
#[derive(Clone, Default)]
pub struct Totals {
    /// Tasks that were created.
    pub created: u64,
    /// Tasks that are done.
    pub done: u64,
    /// Tasks that were destroyed before they were done.
    pub destroyed_pending: u64,
    /// How long jobs waited for a thread.
    pub job_waits: Durations,
}

/// The counts; None while inspection is off.
pub fn read(py: Python<'_>) -> Option<Totals> {
    RECORDS.with(py, |records| records.as_ref().map(|records| records.totals.clone()))
}

/// A task is destroyed that is not done.
#[cold]
pub(crate) fn note_destroyed_pending(py: Python<'_>) {
    if is_on() {
        change(py, |totals| totals.destroyed_pending += 1);
    }
}

/// A job has waited for a thread, for so many nanoseconds.
pub fn note_job_wait(py: Python<'_>, waited: u64) {
    change(py, |totals| totals.job_waits.record(waited));
}

pub(super) fn change(py: Python<'_>, change: impl FnOnce(&mut Totals)) {
    RECORDS.with(py, |records| {
        if let Some(records) = records {
            change(&mut records.totals);
        }
    });
}
