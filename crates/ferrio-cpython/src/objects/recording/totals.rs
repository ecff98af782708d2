//! What is counted of all tasks and jobs while inspection is on.

use ferrio_engine::Durations;

/// Counts since recording began.
#[derive(Clone, Default)]
pub struct Totals {
    /// Tasks that were created.
    pub created: u64,
    /// Tasks that are done.
    pub done: u64,
    /// Tasks that were destroyed before they were done.
    pub destroyed_pending: u64,
    /// How long jobs waited for a thread.
    pub job_waits: Durations,
}
