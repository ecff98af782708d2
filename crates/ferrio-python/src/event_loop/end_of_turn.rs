//! What objects of ours put off to the end of a turn of the loop.
//!
//! Invariant: the list is empty between turns. A process that a fork made in the midst of a turn leaves what is in it to its
//! parent, and puts off nothing itself.

use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::{GilCell, LoopBase};
use ferrio_sys::fork;
use pyo3::prelude::*;

use crate::event_loop::Loop;

/// What is called for an object when a turn ends.
pub(crate) type EndAction = fn(&Bound<'_, PyAny>) -> PyResult<()>;

/// The objects of a loop for which something is put off.
#[derive(Default)]
pub(crate) struct EndOfTurn(GilCell<State>);

#[derive(Default)]
struct State {
    /// A turn runs.
    open: bool,
    /// The fork generation in which the turn began.
    generation: u32,
    listed: Vec<(OwnedRef<PyAny>, EndAction)>,
    /// Memory for whoever puts off bytes next.
    spare: Vec<u8>,
}

impl EndOfTurn {
    /// A turn begins.
    #[inline]
    pub(crate) fn begin(&self, py: Python<'_>) {
        self.0.with(py, |state| {
            state.open = true;
            state.generation = fork::generation();
        });
    }

    /// Whether something may be put off: a turn runs, and it began in this process.
    #[inline]
    pub(crate) fn is_open(&self, py: Python<'_>) -> bool {
        self.0.with(py, |state| state.open && state.generation == fork::generation())
    }

    /// Whether the turn that runs, or ran last, began in this process.
    #[inline]
    pub(crate) fn is_of_this_process(&self, py: Python<'_>) -> bool {
        self.0.with(py, |state| state.generation == fork::generation())
    }

    /// Puts off `action`.
    #[inline]
    pub(crate) fn add(&self, py: Python<'_>, object: &Bound<'_, PyAny>, action: EndAction) {
        self.0.with(py, |state| state.listed.push((OwnedRef::of(object), action)));
    }

    /// Memory to put bytes into, empty.
    #[inline]
    pub(crate) fn take_memory(&self, py: Python<'_>) -> Vec<u8> {
        self.0.with(py, |state| std::mem::take(&mut state.spare))
    }

    /// Gives memory back, emptied.
    #[inline]
    pub(crate) fn give_back(&self, py: Python<'_>, memory: Vec<u8>) {
        let replaced = self.0.with(py, |state| std::mem::replace(&mut state.spare, memory));
        drop(replaced);
    }
}

/// A turn ends: does what was put off.
#[inline]
pub(crate) fn finish(slf: &Bound<'_, Loop>) -> PyResult<()> {
    let listed = slf.get().io.end_of_turn.0.with(slf.py(), |state| {
        state.open = false;
        std::mem::take(&mut state.listed)
    });
    if listed.is_empty() { Ok(()) } else { run_all(slf, &listed) }
}

fn run_all(slf: &Bound<'_, Loop>, listed: &[(OwnedRef<PyAny>, EndAction)]) -> PyResult<()> {
    // A protocol may be called meanwhile: not as part of the task that ran last.
    let mut outcome = LoopBase::flush_current_task(slf.as_super());
    for (object, action) in listed {
        outcome = outcome.and(action(object.bind(slf.py())));
    }
    outcome
}
