//! What is recorded, of all loops.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use ferrio_engine::{AddressHasher, FlightRing, WaitTable};
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::creation::Codes;
use super::locks::Locks;
use super::progress::Timeline;
use super::switch;
use super::table::Table;
use super::totals::Totals;
use crate::capi::gil_cell::GilCell;

/// From this number of loops on, what is known of those that run no more is dropped.
pub(super) const MOST_LOOPS: usize = 16;

/// How many records of executors' jobs are kept.
pub(super) const MOST_JOBS: usize = 4096;

/// How many names of finished tasks are kept; then they are forgotten together.
pub(super) const MOST_NAMES: usize = 4096;

/// The number of this recording, by which tasks know that their place is one in its table: `NO_NUMBER` if recording is
/// off or numbers have run out. Relaxed throughout: the GIL orders all accesses.
static NUMBER: AtomicU8 = AtomicU8::new(NO_NUMBER);

/// The number of the last recording that had one.
static LAST_NUMBER: AtomicU8 = AtomicU8::new(0);

/// What no task has.
const NO_NUMBER: u8 = u8::MAX;

/// The number of this recording.
#[inline]
pub(super) fn number() -> u8 {
    NUMBER.load(Ordering::Relaxed)
}

/// The number that a task gets which has a place in the table; 0 for none.
pub(super) fn number_for_tasks() -> u8 {
    Some(number()).filter(|number| *number != NO_NUMBER).unwrap_or(0)
}

/// Recording begins or ends.
pub(super) fn set_on(on: bool) {
    switch::turn(on);
    let next = LAST_NUMBER.load(Ordering::Relaxed).saturating_add(1);
    if on && next != NO_NUMBER {
        LAST_NUMBER.store(next, Ordering::Relaxed);
    }
    NUMBER.store(if on { next } else { NO_NUMBER }, Ordering::Relaxed);
}

pub(super) static RECORDS: GilCell<Option<Records>> = GilCell::new(None);

#[derive(Default)]
pub(super) struct Records {
    pub(super) tasks: Table,
    pub(super) codes: Codes,
    pub(super) locks: Locks,
    pub(super) waits: WaitTable,
    pub(super) totals: Totals,
    /// The names of functions, by the address of the text or of what defines the function.
    pub(super) labels: HashMap<usize, Py<PyString>, AddressHasher>,
    /// The names of tasks that are done, if they were given one, by their number.
    pub(super) names: HashMap<u64, Py<PyAny>, AddressHasher>,
    /// The loops that were recorded.
    pub(super) timelines: Vec<Arc<Timeline>>,
    /// The jobs of executors.
    pub(super) jobs: FlightRing,
    pub(super) ring_length: usize,
}

/// Changes the counts, if anything is recorded.
pub(super) fn count(py: Python<'_>, change: impl FnOnce(&mut Totals)) {
    RECORDS.with(py, |records| {
        if let Some(records) = records {
            change(&mut records.totals);
        }
    });
}
