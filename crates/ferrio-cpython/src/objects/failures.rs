//! Futures and tasks that have failed while inspection records: whose exception nobody has asked for yet is lost.
//!
//! Weak references only, so that nothing lives longer because of them. The list is bounded: when it is full, those that
//! are gone or whose exception was asked for are dropped, then the oldest.

use std::collections::VecDeque;

use ferrio_sys::clock::monotonic;
use pyo3::prelude::*;
use pyo3::types::PyWeakrefReference;

use super::future::FutureRef;
use super::recording;
use crate::capi::gil_cell::GilCell;

/// How many are kept.
const MOST: usize = 1000;

static FAILED: GilCell<VecDeque<Failed>> = GilCell::new(VecDeque::new());

struct Failed {
    future: Py<PyWeakrefReference>,
    at: u64,
}

impl Failed {
    /// The future, unless it is gone or its exception was asked for.
    fn open<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let future = self.future.bind(py).upgrade()?;
        let is_lost = FutureRef::of(&future).is_some_and(|future| future.body().log_traceback);
        is_lost.then_some(future)
    }
}

/// Notes that a future has failed. Without memory for that it is not noted.
#[inline]
pub(super) fn note(future: &FutureRef<'_>) {
    if recording::is_on() {
        add(future);
    }
}

#[cold]
fn add(future: &FutureRef<'_>) {
    let py = future.py();
    let Ok(reference) = PyWeakrefReference::new(future.object()) else { return };
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
        let entries = FAILED.with(py, std::mem::take);
        let mut kept: VecDeque<_> = entries.into_iter().filter(|each| each.open(py).is_some()).collect();
        // A quarter of the places is free afterwards: the next entries cost nothing.
        kept.drain(..kept.len().saturating_sub(MOST * 3 / 4));
        let came_meanwhile = FAILED.with(py, |failed| {
            let came = std::mem::take(failed);
            *failed = kept;
            came
        });
        drop(came_meanwhile);
    }
}

/// Those whose exception nobody has asked for, and when they failed, in nanoseconds of the monotonic clock.
pub fn all(py: Python<'_>) -> Vec<(Bound<'_, PyAny>, u64)> {
    let entries: Vec<_> =
        FAILED.with(py, |failed| failed.iter().map(|each| (each.future.clone_ref(py), each.at)).collect());
    let open = entries.into_iter().filter_map(|(future, at)| {
        let entry = Failed { future, at };
        entry.open(py).map(|future| (future, at))
    });
    open.collect()
}

/// Forgets all of them.
pub fn forget(py: Python<'_>) {
    let entries = FAILED.with(py, std::mem::take);
    drop(entries);
}
