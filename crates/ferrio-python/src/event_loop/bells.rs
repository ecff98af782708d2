//! Bells: how threads of other extensions, which do not hold the GIL, have a loop call something.
//!
//! The loop owns the callbacks and drops them when it closes.

use std::sync::Arc;

use ferrio_cpython::objects::bridge::Bell;
use ferrio_cpython::{GilCell, GilFlag, HandleRef, LoopBase, Runnable};
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

/// The bells of one loop.
#[derive(Default)]
pub(crate) struct Bells {
    /// Whether there are any.
    any: GilFlag,
    list: GilCell<Vec<(Arc<Bell>, HandleRef)>>,
}

impl Bells {
    /// Adds a bell, and what the loop calls when it is rung.
    pub(crate) fn hang(&self, py: Python<'_>, bell: &Arc<Bell>, handle: HandleRef) {
        self.list.with(py, |list| list.push((Arc::clone(bell), handle)));
        self.any.set(true);
    }

    /// Whether one is rung, asked after the loop has begun to wait.
    pub(crate) fn is_any_rung(&self, py: Python<'_>) -> bool {
        self.any.get() && self.list.with(py, |list| list.iter().any(|(bell, _)| bell.is_rung()))
    }

    /// Queues the callbacks of the bells that were rung.
    ///
    /// # Errors
    /// `MemoryError`; then the rings are still to be answered.
    pub(crate) fn answer(&self, py: Python<'_>, base: &LoopBase) -> PyResult<()> {
        if !self.any.get() {
            return Ok(());
        }
        base.reserve(py, self.list.with(py, |list| list.len()))?;
        self.list.with(py, |list| {
            for (_, handle) in list.iter().filter(|(bell, _)| bell.take()) {
                base.push_reserved(py, Runnable::Handle(handle.clone_ref(py)));
            }
        });
        Ok(())
    }

    /// Drops the callbacks.
    pub(crate) fn clear(&self, py: Python<'_>) {
        self.any.set(false);
        let list = self.list.with(py, std::mem::take);
        for (bell, handle) in list {
            drop(bell);
            drop(handle);
        }
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let visited = self.list.traverse(visit, |list| list.iter().try_for_each(|(_, handle)| handle.traverse(visit)));
        visited.transpose().map(drop)
    }
}
