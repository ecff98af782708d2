//! Since when a task waits, as its waiter knows it.

use ferrio_sys::clock::monotonic;

use super::switch::is_on;

/// The instant at which a wait began, in the six bytes that a waiter has to spare.
///
/// Units of 1024 nanoseconds of the monotonic clock, the lowest byte first; 0 if it was not recorded.
#[derive(Clone, Copy, Default)]
pub struct Since([u8; 6]);

impl Since {
    const UNIT: u32 = 10;

    /// Now; nothing while inspection is off.
    #[inline]
    #[must_use]
    pub fn now() -> Self {
        if is_on() { Self::at(monotonic()) } else { Self::default() }
    }

    #[cold]
    fn at(instant: u64) -> Self {
        let units = (instant >> Self::UNIT).max(1).to_le_bytes();
        let mut since = Self::default();
        since.0.copy_from_slice(&units[..6]);
        since
    }

    /// How long ago that was, in nanoseconds; None if it was not recorded.
    #[must_use]
    pub fn elapsed(self) -> Option<u64> {
        let mut units = [0; 8];
        units[..6].copy_from_slice(&self.0);
        let units = u64::from_le_bytes(units);
        (units != 0).then(|| monotonic().saturating_sub(units << Self::UNIT))
    }
}
