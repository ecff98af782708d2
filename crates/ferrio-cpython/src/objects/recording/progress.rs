//! The timeline of one loop: what it knows, the steps that are to be noted, and how the next callback is.
//!
//! Invariant: the log has steps only that have ended one after the other, with nothing in between; `Timeline::with` notes
//! them before anything else is done with the state.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use pyo3::prelude::*;

use super::log::{Log, Step};
use super::state::State;
use crate::capi::gil_cell::GilCell;

/// The timeline of one loop.
pub(crate) struct Timeline {
    /// The loop's address.
    pub(super) owner: usize,
    pub(super) progress: Progress,
    /// When the poll that lasts began; 0 for none. Relaxed: the GIL orders all accesses.
    polling_since: AtomicU64,
    pub(super) log: GilCell<Log>,
    /// Use `with`.
    pub(super) state: GilCell<State>,
}

impl Timeline {
    pub(super) fn new(owner: usize) -> Self {
        let progress = Progress(AtomicUsize::new(Progress::OTHER));
        let polling_since = AtomicU64::new(0);
        Self { owner, progress, polling_since, log: GilCell::default(), state: GilCell::default() }
    }

    /// When the poll that lasts began; 0 for none.
    #[inline]
    pub(super) fn polling_since(&self) -> u64 {
        self.polling_since.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn set_polling_since(&self, instant: u64) {
        self.polling_since.store(instant, Ordering::Relaxed);
    }

    /// Begins anew; what was to be noted is not. Returns what was known, to be dropped outside of all borrows.
    pub(super) fn replace(&self, py: Python<'_>, state: State) -> State {
        self.log.with(py, Log::reset);
        self.set_polling_since(0);
        self.state.with(py, |before| std::mem::replace(before, state))
    }

    /// Notes a step that has ended later. False if it is to be noted now.
    #[inline(always)] // `switch_100`
    pub(super) fn note_later(&self, py: Python<'_>, step: &Step) -> bool {
        self.log.with_inlined(py, |log| log.add(step))
    }

    /// Whether its loop runs.
    pub(super) fn has_thread(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.thread != 0)
    }
}

/// How a callback that begins or ends is to be noted. Relaxed is enough: the GIL orders all accesses.
pub(super) struct Progress(AtomicUsize);

impl Progress {
    /// A callback runs around which no other one does, and which runs none.
    const RUNS: usize = usize::MAX;
    /// All that is neither this nor foreseen.
    const OTHER: usize = usize::MAX - 1;

    #[inline]
    pub(super) fn runs(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::RUNS
    }

    #[inline]
    pub(super) fn set_running(&self) {
        self.0.store(Self::RUNS, Ordering::Relaxed);
    }

    pub(super) fn set_other(&self) {
        self.0.store(Self::OTHER, Ordering::Relaxed);
    }

    /// A callback has ended; so many are ready. The next one has nothing to note when it begins, if nothing else happens
    /// before: it begins when the last one has ended, which has pushed the last of them.
    #[inline]
    pub(super) fn foresee(&self, ready: usize) {
        self.0.store(ready, Ordering::Relaxed);
    }

    /// Whether that is so for one that begins and leaves `others` ready.
    #[inline]
    pub(super) fn is_foreseen(&self, others: usize) -> bool {
        self.0.load(Ordering::Relaxed) == others + 1
    }
}
