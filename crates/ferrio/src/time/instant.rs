//! Instants on a runtime's clock.

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

use ferrio_sys::clock;

use crate::runtime::current;

/// An instant on the clock of the runtime that runs on this thread; only differences have a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    nanoseconds: u64,
}

/// The current instant: of the runtime that runs on this thread, which may be virtual, else of the monotonic clock.
///
/// ```
/// use std::time::Duration;
/// use ferrio::time;
///
/// ferrio::run(async {
///     let begin = time::now();
///     ferrio::sleep(Duration::from_millis(1)).await;
///     assert!(time::now() - begin >= Duration::from_millis(1));
/// })?;
/// # Ok::<(), ferrio::RunError>(())
/// ```
#[must_use]
pub fn now() -> Instant {
    Instant { nanoseconds: current::with(|local| local.now()).unwrap_or_else(clock::monotonic) }
}

impl Instant {
    pub(super) const fn nanoseconds(self) -> u64 {
        self.nanoseconds
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// The instant that comes later by `length`, or the last one there is.
    fn add(self, length: Duration) -> Self {
        let length = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        Self { nanoseconds: self.nanoseconds.saturating_add(length) }
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, length: Duration) {
        *self = *self + length;
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// The time from `earlier` to this instant; zero if it is not earlier.
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanoseconds.saturating_sub(earlier.nanoseconds))
    }
}
