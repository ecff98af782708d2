//! `Runnable`: the tagged value of the ready queue.
//!
//! A public `call_soon` queues a handle; what ferrio itself schedules (a transport that became readable, say) goes in
//! as an object and a function, with no handle, context or bound method. A task's step and a Rust future's poll are
//! to become further tags.

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::handle::HandleRef;

/// Something to run in a turn.
pub enum Runnable {
    /// A callback that a user scheduled.
    Handle(HandleRef),
    /// Work of ferrio's own.
    Native(Native),
}

/// A function of ours, the object it works on and a word for it.
pub struct Native {
    target: Py<PyAny>,
    action: Action,
    word: u32,
}

/// Works on an object of the type that its maker knows. An error that comes out stops the loop, so only SystemExit and
/// KeyboardInterrupt may.
pub type Action = fn(&Bound<'_, PyAny>, u32) -> PyResult<()>;

impl Runnable {
    /// Work of ferrio's own: `action(target, word)`.
    pub fn native<T>(target: Bound<'_, T>, action: Action, word: u32) -> Self {
        Self::Native(Native { target: target.into_any().unbind(), action, word })
    }

    #[inline]
    pub(crate) fn run(&self, py: Python<'_>) -> PyResult<()> {
        match self {
            Self::Handle(handle) => handle.run(py),
            Self::Native(native) => (native.action)(native.target.bind(py), native.word),
        }
    }

    /// What it works on, for messages.
    pub(crate) fn target<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        match self {
            Self::Handle(handle) => handle.bind(py),
            Self::Native(native) => native.target.bind(py).clone(),
        }
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Handle(handle) => handle.traverse(visit),
            Self::Native(native) => visit.call(&native.target),
        }
    }
}
