//! How long tasks have waited for primitives while inspection was on: the longest wait for each primitive, and a
//! histogram for each kind.
//!
//! As locks are, a primitive is known by its address, and nothing holds a reference to it: a new one at that address begins
//! anew. Waits that last are not here: each waiter knows since when it waits.

use std::collections::HashMap;

use ferrio_engine::Durations;
use ferrio_sys::clock::monotonic;
use pyo3::prelude::*;

use super::address_hash::AddressHasher;
use super::records::{RECORDS, is_on};

/// How many primitives have their longest wait kept; at one more, the shorter half is forgotten.
const MOST_PRIMITIVES: usize = 1 << 16;

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
        let [a, b, c, d, e, f, ..] = (instant >> Self::UNIT).max(1).to_le_bytes();
        Self([a, b, c, d, e, f])
    }

    /// How long ago that was, in nanoseconds; None if it was not recorded.
    #[must_use]
    pub fn elapsed(self) -> Option<u64> {
        let [a, b, c, d, e, f] = self.0;
        let units = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
        (units != 0).then(|| monotonic().saturating_sub(units << Self::UNIT))
    }
}

/// What is waited for. A barrier has a condition inside, and the end of a queue's items is an event.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A lock, to take it.
    Lock,
    /// A semaphore, to take a permit.
    Semaphore,
    /// A condition, to be notified.
    Condition,
    /// An event, to be set.
    Event,
    /// A queue, to get or to put an item.
    Queue,
}

impl Kind {
    /// All of them, with their names.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Lock, "lock"),
        (Self::Semaphore, "semaphore"),
        (Self::Condition, "condition"),
        (Self::Event, "event"),
        (Self::Queue, "queue"),
    ];
}

#[derive(Default)]
pub(super) struct Waits {
    /// By address, in nanoseconds.
    longest: HashMap<usize, u64, AddressHasher>,
    /// What was forgotten was not longer than this.
    forgotten: Option<u64>,
    durations: [Durations; Kind::ALL.len()],
}

impl Waits {
    fn ended(&mut self, primitive: usize, kind: Kind, took: u64) {
        self.durations[kind as usize].record(took);
        if let Some(longest) = self.longest.get_mut(&primitive) {
            *longest = took.max(*longest);
            return;
        }
        if self.longest.len() >= MOST_PRIMITIVES || self.longest.try_reserve(1).is_err() {
            self.forget_shorter();
        }
        if self.longest.len() < self.longest.capacity() {
            self.longest.insert(primitive, took);
        } else {
            self.forgotten = self.forgotten.max(Some(took));
        }
    }

    #[cold]
    fn forget_shorter(&mut self) {
        let count = self.longest.len() as u64;
        let total = self.longest.values().fold(0_u64, |total, longest| total.saturating_add(*longest));
        let Some(mean) = total.checked_div(count) else { return };
        // All of them, if they are equal.
        self.longest.retain(|_, longest| *longest > mean);
        self.forgotten = self.forgotten.max(Some(mean));
    }

    /// The longest wait that has ended, 0 if none has; None if it may have been forgotten.
    fn longest(&self, primitive: usize) -> Option<u64> {
        let known = self.longest.get(&primitive).copied().unwrap_or(0);
        self.forgotten.is_none_or(|forgotten| known > forgotten).then_some(known)
    }
}

/// A wait for a primitive has ended, whether the task got what it waited for or not.
#[inline]
pub fn note_ended(primitive: &Bound<'_, PyAny>, kind: Kind, since: Option<Since>) {
    if is_on() {
        ended(primitive, kind, since);
    }
}

#[cold]
fn ended(primitive: &Bound<'_, PyAny>, kind: Kind, since: Option<Since>) {
    let Some(took) = since.and_then(Since::elapsed) else { return };
    let address = primitive.as_ptr().addr();
    RECORDS.with(primitive.py(), |records| {
        if let Some(records) = records {
            records.waits.ended(address, kind, took);
        }
    });
}

/// A primitive is being made: what was known of one at its address is another one's.
#[inline]
pub fn note_made(primitive: &Bound<'_, PyAny>) {
    if is_on() {
        made(primitive);
    }
}

#[cold]
fn made(primitive: &Bound<'_, PyAny>) {
    let address = primitive.as_ptr().addr();
    RECORDS.with(primitive.py(), |records| {
        if let Some(records) = records {
            records.waits.longest.remove(&address);
        }
    });
}

/// The longest wait for a primitive that has ended while inspection was on, in nanoseconds, 0 if none has; None if that is
/// not known.
pub fn longest(primitive: &Bound<'_, PyAny>) -> Option<u64> {
    let address = primitive.as_ptr().addr();
    RECORDS.with(primitive.py(), |records| records.as_ref()?.waits.longest(address))
}

/// How long waits have lasted that have ended, for each of `Kind::ALL`; None if inspection is off.
pub fn durations(py: Python<'_>) -> Option<[Durations; Kind::ALL.len()]> {
    RECORDS.with(py, |records| records.as_ref().map(|records| records.waits.durations.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_fits_into_six_bytes() {
        assert_eq!(size_of::<Since>(), 6);
        assert!(Since::default().elapsed().is_none());
        let elapsed = Since::at(monotonic()).elapsed().expect("it was recorded");
        assert!(elapsed < 1 << 40, "{elapsed}");
        assert!(Since::at(0).elapsed().is_some());
    }

    #[test]
    fn the_longest_wait_of_each_is_kept() {
        let mut waits = Waits::default();
        assert_eq!(waits.longest(1), Some(0));
        for took in [5, 9, 7] {
            waits.ended(1, Kind::Lock, took);
        }
        waits.ended(2, Kind::Event, 3);
        assert_eq!((waits.longest(1), waits.longest(2)), (Some(9), Some(3)));
        assert_eq!(waits.durations[Kind::Lock as usize].read().2, 21);
    }

    #[test]
    fn what_may_have_been_longer_is_not_known() {
        let mut waits = Waits::default();
        for primitive in 0..=MOST_PRIMITIVES {
            waits.ended(primitive, Kind::Lock, primitive as u64);
        }
        assert!(waits.longest.len() <= MOST_PRIMITIVES);
        assert_eq!(waits.longest(MOST_PRIMITIVES), Some(MOST_PRIMITIVES as u64));
        assert_eq!(waits.longest(3), None);
        assert_eq!(waits.longest(usize::MAX), None);
        waits.ended(3, Kind::Lock, 4);
        assert_eq!(waits.longest(3), None);
        waits.ended(3, Kind::Lock, MOST_PRIMITIVES as u64);
        assert_eq!(waits.longest(3), Some(MOST_PRIMITIVES as u64));
    }
}
