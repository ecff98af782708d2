//! A histogram of a loop's delay: how long an event that comes at some instant has to wait until the loop looks for it.
//!
//! The watcher asks at each of its looks, and the loop answers when it looks for events: so a sample costs the loop
//! nothing but a clock's reading, and there are as many as the watcher looks.

use std::sync::atomic::{AtomicU64, Ordering};

/// The upper bounds of the buckets in milliseconds; one more bucket has what is longer.
pub const BOUNDS: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];

const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;

/// The histogram. Relaxed throughout: its numbers are read for a display.
#[derive(Debug, Default)]
pub struct Delays {
    counts: [AtomicU64; BOUNDS.len() + 1],
    sum: AtomicU64,
    longest: AtomicU64,
}

impl Delays {
    /// Counts a delay in nanoseconds.
    pub(super) fn record(&self, delay: u64) {
        let bucket = BOUNDS.partition_point(|bound| bound * NANOSECONDS_PER_MILLISECOND < delay);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(delay, Ordering::Relaxed);
        self.longest.fetch_max(delay, Ordering::Relaxed);
    }

    /// How many delays each bucket has, their sum, and the longest, in nanoseconds.
    #[must_use]
    pub fn read(&self) -> (Vec<u64>, u64, u64) {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        (counts, self.sum.load(Ordering::Relaxed), self.longest.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_counts_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        let delays = Delays::default();
        for milliseconds in [0, 1, 3, 5000, 5001] {
            delays.record(milliseconds * NANOSECONDS_PER_MILLISECOND);
        }
        let (counts, sum, longest) = delays.read();
        assert_eq!(counts, [2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!((sum, longest), (10_005 * NANOSECONDS_PER_MILLISECOND, 5001 * NANOSECONDS_PER_MILLISECOND));
    }
}
