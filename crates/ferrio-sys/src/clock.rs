//! The monotonic clock, the same that `time.monotonic()` reads, to the nanosecond.

use rustix::time::{ClockId, clock_gettime};

const NANOSECONDS: u64 = 1_000_000_000;

/// The nanoseconds of the monotonic clock.
#[inline]
#[must_use]
pub fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * NANOSECONDS + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// Nanoseconds as seconds, rounded as the interpreter does it (`_PyTime_AsSecondsDouble`): whole seconds are exact.
#[inline]
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a float is what Python's clocks return")]
pub fn seconds(nanoseconds: u64) -> f64 {
    if nanoseconds.is_multiple_of(NANOSECONDS) {
        return (nanoseconds / NANOSECONDS) as f64;
    }
    nanoseconds as f64 / 1e9
}
