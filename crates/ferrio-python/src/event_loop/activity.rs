//! How long a loop has run and how long of that it slept, for `ferrio.inspect.metrics()`.
//!
//! Noted where the loop reads the clock in any case: a turn that does not sleep pays nothing. Instants are readings of
//! `ferrio_sys::clock::monotonic`. Invariant: `asleep` and `ran` have what is over; what goes on is told by the instant
//! at which it began, which is zero otherwise.

use std::sync::atomic::{AtomicU64, Ordering};

use ferrio_sys::clock::monotonic;

/// The times of one loop, in nanoseconds. Relaxed throughout: the GIL orders all accesses.
#[derive(Default)]
pub(crate) struct Activity {
    ran: AtomicU64,
    runs_since: AtomicU64,
    asleep: AtomicU64,
    sleeps_since: AtomicU64,
    sleeps: AtomicU64,
}

/// What they are at one moment.
pub(crate) struct Times {
    /// While the loop ran, asleep or not.
    pub(crate) ran: u64,
    /// While it waited for the system with nothing to do.
    pub(crate) asleep: u64,
    /// How many times it went to sleep.
    pub(crate) sleeps: u64,
}

fn add(place: &AtomicU64, more: u64) {
    place.store(place.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

impl Activity {
    pub(crate) fn begin_run(&self) {
        self.runs_since.store(monotonic(), Ordering::Relaxed);
    }

    /// Ends a run, if one has begun.
    pub(crate) fn end_run(&self) {
        let since = self.runs_since.swap(0, Ordering::Relaxed);
        if since != 0 {
            add(&self.ran, monotonic().saturating_sub(since));
        }
    }

    pub(crate) fn begin_sleep(&self, now: u64) {
        self.sleeps_since.store(now, Ordering::Relaxed);
    }

    /// The sleep that began took so many nanoseconds.
    pub(crate) fn end_sleep(&self, nanoseconds: u64) {
        self.sleeps_since.store(0, Ordering::Relaxed);
        add(&self.asleep, nanoseconds);
        add(&self.sleeps, 1);
    }

    pub(crate) fn times(&self) -> Times {
        let now = monotonic();
        let so_far = |since: &AtomicU64| match since.load(Ordering::Relaxed) {
            0 => 0,
            since => now.saturating_sub(since),
        };
        Times {
            ran: self.ran.load(Ordering::Relaxed) + so_far(&self.runs_since),
            asleep: self.asleep.load(Ordering::Relaxed) + so_far(&self.sleeps_since),
            sleeps: self.sleeps.load(Ordering::Relaxed),
        }
    }
}
