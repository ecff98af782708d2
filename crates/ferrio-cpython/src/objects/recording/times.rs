//! How long each task ran, how long it was ready without running, and who woke it.
//!
//! The times are kept beside a task's creation. Instants and durations are nanoseconds of the monotonic clock.

use pyo3::prelude::*;

use super::{RECORDS, Records};

/// What makes a task ready to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Waker {
    /// It was not seen.
    #[default]
    Unknown,
    /// Another task, by its address and its number.
    Task(usize, u64),
    /// A callback of the loop: a timer's, a transport's or the program's.
    Callback,
    /// Code that runs in no callback of the loop: before it runs, or in another thread.
    Outside,
}

/// The times of one task.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// How often it ran.
    pub polls: u64,
    /// How long, together.
    pub total: u64,
    /// How long at most.
    pub longest: u64,
    /// How long it was ready without running.
    pub scheduled: u64,
    /// How often it became ready.
    pub wakeups: u64,
    /// Who woke it last.
    pub woken_by: Waker,
    /// Since when it is ready; 0 if it is not, or if that was not seen.
    pub(super) ready_since: u64,
}

/// The times of a task that was created while recording was on. A waker that is gone has the address 0.
pub fn times_of(py: Python<'_>, task: usize) -> Option<Times> {
    RECORDS.with(py, |records| {
        let records = records.as_ref()?;
        let entry = records.tasks.get(&task).filter(|entry| entry.creation.is_some())?;
        let mut times = entry.times;
        if let Waker::Task(address, serial) = times.woken_by
            && records.tasks.get(&address).is_none_or(|waker| waker.serial != serial)
        {
            times.woken_by = Waker::Task(0, serial);
        }
        Some(times)
    })
}

impl Records {
    /// A task has become ready; returns its number.
    pub(super) fn woken(&mut self, task: usize, by: Waker, now: u64) -> u64 {
        let Some(entry) = self.tasks.get_mut(&task) else { return self.serial_of(task) };
        entry.times.wakeups += 1;
        entry.times.woken_by = by;
        entry.times.ready_since = now;
        entry.serial
    }

    /// A task begins to run; returns its number and how long it was ready, if that is known.
    pub(super) fn step_begins(&mut self, task: usize, now: u64) -> (u64, Option<u64>) {
        let Some(entry) = self.tasks.get_mut(&task) else { return (self.serial_of(task), None) };
        let since = std::mem::take(&mut entry.times.ready_since);
        let waited = (since != 0).then(|| now.saturating_sub(since));
        entry.times.scheduled += waited.unwrap_or(0);
        (entry.serial, waited)
    }

    /// A task has run; returns what it runs.
    pub(super) fn step_ends(&mut self, task: usize, took: u64) -> u64 {
        let Some(entry) = self.tasks.get_mut(&task) else { return 0 };
        entry.times.polls += 1;
        entry.times.total += took;
        entry.times.longest = entry.times.longest.max(took);
        entry.label
    }
}
