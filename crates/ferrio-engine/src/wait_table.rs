//! The table of how long tasks have waited for primitives: the longest wait for each, and a histogram for each kind.
//!
//! As locks are, a primitive is known by its address, and nothing holds a reference to it: a new one at that address begins
//! anew. Waits that last are not here: each waiter knows since when it waits.

use std::collections::HashMap;

use crate::address_hash::AddressHasher;
use crate::flight::Durations;

/// How many primitives have their longest wait kept; at one more, the shorter half is forgotten.
const MOST_PRIMITIVES: usize = 1 << 16;

/// What is waited for. A barrier has a condition inside, and the end of a queue's items is an event.
#[derive(Clone, Copy)]
pub enum Primitive {
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

impl Primitive {
    /// All of them, with their names.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Lock, "lock"),
        (Self::Semaphore, "semaphore"),
        (Self::Condition, "condition"),
        (Self::Event, "event"),
        (Self::Queue, "queue"),
    ];
}

/// How long was waited, for each primitive and each kind of them.
#[derive(Default)]
pub struct WaitTable {
    /// By address, in nanoseconds.
    longest: HashMap<usize, u64, AddressHasher>,
    /// What was forgotten was not longer than this.
    forgotten: Option<u64>,
    durations: [Durations; Primitive::ALL.len()],
}

impl WaitTable {
    /// A wait has ended, after so many nanoseconds.
    pub fn ended(&mut self, primitive: usize, kind: Primitive, took: u64) {
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

    /// A primitive is made at this address.
    pub fn made(&mut self, primitive: usize) {
        self.longest.remove(&primitive);
    }

    /// How long waits have lasted that have ended, for each of `Primitive::ALL`.
    #[must_use]
    pub fn durations(&self) -> &[Durations; Primitive::ALL.len()] {
        &self.durations
    }

    /// The longest wait that has ended, 0 if none has; None if it may have been forgotten.
    #[must_use]
    pub fn longest(&self, primitive: usize) -> Option<u64> {
        let known = self.longest.get(&primitive).copied().unwrap_or(0);
        self.forgotten.is_none_or(|forgotten| known > forgotten).then_some(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_of_each_is_kept() {
        let mut waits = WaitTable::default();
        assert_eq!(waits.longest(1), Some(0));
        for took in [5, 9, 7] {
            waits.ended(1, Primitive::Lock, took);
        }
        waits.ended(2, Primitive::Event, 3);
        assert_eq!((waits.longest(1), waits.longest(2)), (Some(9), Some(3)));
        assert_eq!(waits.durations[Primitive::Lock as usize].read().2, 21);
    }

    #[test]
    fn what_may_have_been_longer_is_not_known() {
        let mut waits = WaitTable::default();
        for primitive in 0..=MOST_PRIMITIVES {
            waits.ended(primitive, Primitive::Lock, primitive as u64);
        }
        assert!(waits.longest.len() <= MOST_PRIMITIVES);
        assert_eq!(waits.longest(MOST_PRIMITIVES), Some(MOST_PRIMITIVES as u64));
        assert_eq!(waits.longest(3), None);
        assert_eq!(waits.longest(usize::MAX), None);
        waits.ended(3, Primitive::Lock, 4);
        assert_eq!(waits.longest(3), None);
        waits.ended(3, Primitive::Lock, MOST_PRIMITIVES as u64);
        assert_eq!(waits.longest(3), Some(MOST_PRIMITIVES as u64));
    }
}
