//! The timers of a loop: arming, cancelling, what is due.

use ferrio_engine::{Deadline, Timers};
use pyo3::prelude::*;

use super::LoopBase;
use crate::capi::memory;
use crate::objects::handle::HandleRef;
use crate::objects::runnable::Runnable;

impl LoopBase {
    /// Schedules a timer.
    ///
    /// # Errors
    /// `MemoryError`; then it is not scheduled.
    #[inline]
    pub(crate) fn arm(&self, py: Python<'_>, handle: HandleRef) -> PyResult<()> {
        if !self.timers.with(py, Timers::try_reserve) {
            return Err(memory::out_of_memory(py));
        }
        let deadline = handle.deadline();
        handle.update(py, |body| body.scheduled = true);
        self.timers.with(py, |timers| timers.arm(deadline, handle));
        Ok(())
    }

    /// Called when a timer handle is cancelled while scheduled.
    pub(crate) fn timer_cancelled(&self, py: Python<'_>) {
        let mut removed = Vec::new();
        self.timers.with(py, |timers| timers.note_cancelled(&mut removed));
        retire(py, removed);
    }

    /// Whether there are timers, or what they left behind, for `next_deadline` to look at.
    #[inline]
    pub fn has_timers(&self, py: Python<'_>) -> bool {
        !self.timers.with(py, |timers| timers.is_empty()) || self.shared_context.is_known(py)
    }

    /// When the next timer is due; drops cancelled ones.
    pub fn next_deadline(&self, py: Python<'_>) -> Option<Deadline> {
        let mut removed = Vec::new();
        let next = self.timers.with(py, |timers| timers.next_deadline(&mut removed));
        retire(py, removed);
        self.shared_context.forget_if_unused(py);
        next
    }

    /// How many callbacks are ready, and how many timers are armed and not cancelled.
    pub fn count_scheduled(&self, py: Python<'_>) -> (usize, usize) {
        (self.queue.with(py, |queue| queue.len()), self.timers.with(py, |timers| timers.live()))
    }

    /// The timers that are soonest due, at most `most` of them and in their order, with the instants; and how many others
    /// there are. Cancelled ones do not count.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn soonest_timers(&self, py: Python<'_>, most: usize) -> PyResult<(Vec<(f64, HandleRef)>, usize)> {
        let found = self.timers.with(py, |timers| {
            let mut armed = Vec::new();
            armed.try_reserve_exact(timers.len()).ok()?;
            armed.extend(timers.armed_up_to(Deadline::NEVER));
            let others = armed.len().saturating_sub(most);
            if others > 0 {
                armed.select_nth_unstable_by_key(most, |(deadline, sequence, _)| (*deadline, *sequence));
                armed.truncate(most);
            }
            armed.sort_unstable_by_key(|(deadline, sequence, _)| (*deadline, *sequence));
            let mut soonest = Vec::new();
            soonest.try_reserve_exact(armed.len()).ok()?;
            soonest.extend(armed.iter().map(|(deadline, _, handle)| (deadline.0, handle.clone_ref(py))));
            Some((soonest, others))
        });
        found.ok_or_else(|| memory::out_of_memory(py))
    }

    /// Moves all timers due at `now` to the ready queue, earliest first.
    ///
    /// # Errors
    /// `MemoryError`; timers that were not moved are still armed.
    pub fn collect_due(&self, py: Python<'_>, now: Deadline) -> PyResult<()> {
        while self.timers.with(py, |timers| timers.is_due(now)) {
            self.reserve(py, 1)?;
            let Some(handle) = self.timers.with(py, |timers| timers.pop_due(now)) else { break };
            handle.update(py, |body| body.scheduled = false);
            if handle.body().cancelled {
                handle.leave_loop(py);
            } else {
                self.push_reserved(py, Runnable::Handle(handle));
            }
        }
        Ok(())
    }
}

/// Releases handles that left the timers.
pub(super) fn retire(py: Python<'_>, handles: Vec<HandleRef>) {
    for handle in handles {
        handle.update(py, |body| body.scheduled = false);
        handle.leave_loop(py);
    }
}
