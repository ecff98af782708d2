//! What is recorded, of all loops.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ferrio_engine::FlightRing;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::address_hash::AddressHasher;
use super::creation::Codes;
use super::locks::Locks;
use super::state::Timeline;
use super::table::Table;
use crate::capi::gil_cell::GilCell;

/// From this number of loops on, what is known of those that run no more is dropped.
pub(super) const MOST_LOOPS: usize = 16;

/// How many records of executors' jobs are kept.
pub(super) const MOST_JOBS: usize = 4096;

/// How many names of finished tasks are kept; then they are forgotten together.
pub(super) const MOST_NAMES: usize = 4096;

/// Relaxed throughout: the GIL orders all accesses.
pub(super) static ON: AtomicBool = AtomicBool::new(false);

pub(super) static RECORDS: GilCell<Option<Records>> = GilCell::new(None);

#[derive(Default)]
pub(super) struct Records {
    pub(super) tasks: Table,
    pub(super) codes: Codes,
    pub(super) locks: Locks,
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

/// Whether anything is to be recorded.
#[inline]
#[must_use]
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}
