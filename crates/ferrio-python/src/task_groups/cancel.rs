//! `TaskGroup.cancel`: ends a group without an error, on every Python.
//!
//! It cancels the tasks, and the parent if that is in the block or waits for the tasks; `__aexit__` then uncancels the
//! parent and suppresses the `CancelledError` that the group caused.

use ferrio_cpython::objects::future::future_like;
use pyo3::prelude::*;

use super::group::{CLASS, TaskGroup};

/// What `cancel` does, depending on the group's state.
enum Course {
    /// Cancels at the entry if that is still to come; otherwise does nothing.
    NotNow,
    Abort,
}

#[pymethods]
impl TaskGroup {
    /// Cancel the task group.
    ///
    /// The tasks that are not yet done and the body of the group are cancelled, and the group's block is left without
    /// `asyncio.CancelledError`. Called before the block is entered, it ends the block at its first await. May be called
    /// repeatedly, and after the block was left.
    fn cancel(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        match this.course(py)? {
            Course::NotNow => return Ok(()),
            Course::Abort => this.state.with(py, |state| state.cancelled = true),
        }
        Self::abort(slf)?;
        let parent = this.parent(py);
        if parent.is_truthy()? && !this.state.with(py, |state| state.parent_cancel_requested) {
            this.state.with(py, |state| state.parent_cancel_requested = true);
            future_like::cancel(&parent)?;
        }
        Ok(())
    }
}

impl TaskGroup {
    /// Calls `self.cancel()`, which a subclass may override.
    pub(super) fn cancel_by_name(slf: &Bound<'_, Self>) -> PyResult<()> {
        if CLASS.is_unpatched(slf) {
            return Self::cancel(slf);
        }
        slf.call_method0(pyo3::intern!(slf.py(), "cancel")).map(drop)
    }

    fn course(&self, py: Python<'_>) -> PyResult<Course> {
        let (entered, exiting, aborting) = self.state.with(py, |state| {
            state.cancel_on_enter |= !state.entered;
            (state.entered, state.exiting, state.aborting)
        });
        let over = aborting || (exiting && !self.has_tasks(py)?);
        Ok(if !entered || over { Course::NotNow } else { Course::Abort })
    }
}
