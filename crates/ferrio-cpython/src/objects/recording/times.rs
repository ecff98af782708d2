//! How long each task ran, how long it was ready without running, and who woke it.
//!
//! The times are kept beside a task's creation. Instants and durations are nanoseconds of the monotonic clock.

use ferrio_engine::FlightRecord;

use super::number::Number;

/// What makes a task ready to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waker {
    /// The number of a task, or one of `FlightRecord`'s constants.
    pub(super) code: u64,
    place: u32,
}

impl Default for Waker {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

impl Waker {
    /// A callback of the loop: a timer's, a transport's or the program's.
    pub const CALLBACK: Self = Self { code: FlightRecord::BY_CALLBACK, place: 0 };
    /// Code that runs in no callback of the loop: before it runs, or in another thread.
    pub const OUTSIDE: Self = Self { code: FlightRecord::BY_OUTSIDE, place: 0 };
    /// It was not seen.
    pub const UNKNOWN: Self = Self { code: FlightRecord::BY_UNKNOWN, place: 0 };

    /// A task.
    #[inline]
    pub(super) fn of(task: Number) -> Self {
        Self { code: task.serial, place: task.place }
    }

    pub(super) fn task(self) -> Number {
        Number { place: self.place, serial: self.code }
    }
}

/// The times of one task. In another order the compiler adds two durations at a time, which takes twice as many
/// instructions (`switch_100`).
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Times {
    /// How often it ran.
    pub polls: u64,
    /// How often it became ready.
    pub wakeups: u64,
    /// How long it ran at most.
    pub longest: u64,
    /// How long it ran, together.
    pub total: u64,
    /// Who woke it last.
    pub woken_by: Waker,
    /// How long it was ready without running.
    pub scheduled: u64,
}

impl Times {
    /// It has become ready.
    #[inline]
    pub(super) fn woken(&mut self, by: Waker) {
        self.wakeups += 1;
        self.woken_by = by;
    }

    /// It has run.
    #[inline]
    pub(super) fn ran(&mut self, took: u64) {
        self.polls += 1;
        self.total += took;
        self.longest = self.longest.max(took);
    }
}
