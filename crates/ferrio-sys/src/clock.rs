//! The monotonic clock that `time.monotonic()` reads, to the nanosecond.
//!
//! On macOS it is not quite the same: the interpreter's clock stands still while the machine sleeps, and this one goes
//! on.

use rustix::time::{ClockId, clock_gettime};

const NANOSECONDS: u64 = 1_000_000_000;

/// The nanoseconds of the monotonic clock.
#[inline]
#[must_use]
pub fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // The nanoseconds are from 0 to 999,999,999.
    now.tv_sec.cast_unsigned() * NANOSECONDS + now.tv_nsec.cast_unsigned()
}

/// Nanoseconds as seconds, rounded as the interpreter does (`_PyTime_AsSecondsDouble`): whole seconds are exact.
#[inline]
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a float is what Python's clocks return")]
pub fn seconds(nanoseconds: u64) -> f64 {
    if nanoseconds.is_multiple_of(NANOSECONDS) {
        return (nanoseconds / NANOSECONDS) as f64;
    }
    nanoseconds as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_does_not_go_back() {
        let first = monotonic();
        assert!(first > 0);
        assert!(monotonic() >= first);
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "exactness is the claim")]
    fn seconds_are_rounded_as_the_interpreter_does_it() {
        assert_eq!(seconds(0), 0.0);
        assert_eq!(seconds(1), 1e-9);
        assert_eq!(seconds(1_500_000_000), 1.5);
        // Too large for a float of nanoseconds to be exact, but not for one of seconds.
        assert_eq!(seconds(9_007_199_255 * NANOSECONDS), 9_007_199_255.0);
        assert_eq!(seconds(123_456_789_012_345_679), 123_456_789.012_345_68);
    }
}
