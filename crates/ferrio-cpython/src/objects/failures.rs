//! Futures and tasks that have failed while inspection is on: if nobody asks for the exception, it is lost.
//!
//! Weak references only, so that nothing lives longer because of them. The list is bounded: when it is full, those that
//! are gone are dropped, then the oldest.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use ferrio_sys::clock::monotonic;
use pyo3::prelude::*;
use pyo3::types::PyWeakrefReference;

use crate::capi::gil_cell::GilCell;

/// How many are kept.
const MOST: usize = 1000;

/// Whether failures are noted. Relaxed throughout: the GIL orders all accesses.
static ON: AtomicBool = AtomicBool::new(false);

static FAILED: GilCell<VecDeque<Failed>> = GilCell::new(VecDeque::new());

struct Failed {
    future: Py<PyWeakrefReference>,
    at: u64,
}

/// Begins to note failures, or ends it and forgets them.
pub fn switch(py: Python<'_>, on: bool) {
    ON.store(on, Ordering::Relaxed);
    let entries = FAILED.with(py, std::mem::take);
    drop(entries);
}

/// Notes that a future has failed. Without memory for that it is not noted.
#[inline]
pub(super) fn note(future: &Bound<'_, PyAny>) {
    if ON.load(Ordering::Relaxed) {
        add(future);
    }
}

#[cold]
fn add(future: &Bound<'_, PyAny>) {
    let py = future.py();
    let Ok(reference) = PyWeakrefReference::new(future) else { return };
    let entry = Failed { future: reference.unbind(), at: monotonic() };
    let dropped = FAILED.with(py, |failed| {
        if failed.try_reserve(1).is_err() {
            return Some(entry);
        }
        failed.push_back(entry);
        None
    });
    drop(dropped);
    if FAILED.with(py, |failed| failed.len() > MOST) {
        let mut kept = FAILED.with(py, std::mem::take);
        kept.retain(|each| each.future.bind(py).upgrade().is_some());
        // A quarter of the places is free afterwards: the next entries cost nothing.
        kept.drain(..kept.len().saturating_sub(MOST * 3 / 4));
        let came_meanwhile = FAILED.with(py, |failed| std::mem::replace(failed, kept));
        drop(came_meanwhile);
    }
}

/// Those that are still there, and when they failed, in nanoseconds of the monotonic clock.
pub fn all(py: Python<'_>) -> Vec<(Bound<'_, PyAny>, u64)> {
    let entries: Vec<_> =
        FAILED.with(py, |failed| failed.iter().map(|each| (each.future.clone_ref(py), each.at)).collect());
    entries.into_iter().filter_map(|(future, at)| Some((future.bind(py).upgrade()?, at))).collect()
}
