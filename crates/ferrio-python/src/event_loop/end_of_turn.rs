//! Work that ferrio's objects postpone to the end of the loop's turn.
//!
//! Invariant: the list is empty between turns. If a process forks in the middle of a turn, the child leaves the entries
//! to its parent and postpones nothing itself during that turn.

use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::{GilCell, LoopBase};
use ferrio_sys::fork;
use pyo3::prelude::*;

use crate::event_loop::Loop;

/// The function that is called with an object when the turn ends.
pub(crate) type EndAction = fn(&Bound<'_, PyAny>) -> PyResult<()>;

/// The objects of a loop that have postponed work.
#[derive(Default)]
pub(crate) struct EndOfTurn(GilCell<State>);

#[derive(Default)]
struct State {
    /// Whether a turn is in progress.
    open: bool,
    /// The fork generation in which the turn began.
    generation: u32,
    listed: Vec<(OwnedRef<PyAny>, EndAction)>,
    /// An empty buffer, reused by the next object that postpones a write.
    spare: Vec<u8>,
}

impl EndOfTurn {
    /// Marks the beginning of a turn.
    #[inline]
    pub(crate) fn begin(&self, py: Python<'_>) {
        self.0.with(py, |state| {
            state.open = true;
            state.generation = fork::generation();
        });
    }

    /// Whether work can be postponed: a turn is in progress, and it began in this process.
    #[inline]
    pub(crate) fn is_open(&self, py: Python<'_>) -> bool {
        self.0.with(py, |state| state.open && state.generation == fork::generation())
    }

    /// Whether the current turn, or the last one, began in this process.
    #[inline]
    pub(crate) fn is_of_this_process(&self, py: Python<'_>) -> bool {
        self.0.with(py, |state| state.generation == fork::generation())
    }

    /// Postpones `action` on `object` to the end of the turn.
    #[inline]
    pub(crate) fn add(&self, py: Python<'_>, object: &Bound<'_, PyAny>, action: EndAction) {
        self.0.with(py, |state| state.listed.push((OwnedRef::of(object), action)));
    }

    /// Takes an empty buffer, the spare one if there is one.
    #[inline]
    pub(crate) fn take_memory(&self, py: Python<'_>) -> Vec<u8> {
        self.0.with(py, |state| std::mem::take(&mut state.spare))
    }

    /// Keeps an empty buffer as the spare one.
    #[inline]
    pub(crate) fn give_back(&self, py: Python<'_>, memory: Vec<u8>) {
        let replaced = self.0.with(py, |state| std::mem::replace(&mut state.spare, memory));
        drop(replaced);
    }
}

/// Ends the turn: runs the postponed actions.
#[inline]
pub(crate) fn finish(slf: &Bound<'_, Loop>) -> PyResult<()> {
    let listed = slf.get().io.end_of_turn.0.with(slf.py(), |state| {
        state.open = false;
        std::mem::take(&mut state.listed)
    });
    if listed.is_empty() { Ok(()) } else { run_all(slf, &listed) }
}

fn run_all(slf: &Bound<'_, Loop>, listed: &[(OwnedRef<PyAny>, EndAction)]) -> PyResult<()> {
    // The actions may call protocols, which must not run as part of the last task.
    let mut outcome = LoopBase::flush_current_task(slf.as_super());
    for (object, action) in listed {
        outcome = outcome.and(action(object.bind(slf.py())));
    }
    outcome
}
