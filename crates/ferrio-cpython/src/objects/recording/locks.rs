//! The table of who holds which lock.
//!
//! It is keyed by the lock's address, and holds no reference; a new lock at an address replaces the entry of the old one
//! as soon as it is taken.

use std::collections::HashMap;

use super::creation::Place;
use super::number::Number;
use super::table::Table;
use ferrio_engine::AddressHasher;

/// How many locks have their place of creation kept; at one more, all places are forgotten.
const MOST_MADE: usize = 4096;

/// From this number of locks on, those of tasks that are gone are looked for.
const PURGE_FROM: usize = 1024;

/// Whether a lock has one holder or, as a semaphore, several.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// One holder.
    Exclusive,
    /// Any number of them.
    Shared,
}

/// That a task holds a lock.
#[derive(Clone, Copy)]
pub(super) struct Hold {
    pub(super) task: Number,
    /// In seconds of the monotonic clock.
    pub(super) since: f64,
}

/// By address: where locks were made.
type Places = HashMap<usize, Place, AddressHasher>;

#[derive(Default)]
pub(super) struct Locks {
    holds: HashMap<usize, Vec<Hold>, AddressHasher>,
    made: Places,
    /// How many entries there were after the last purge.
    purged: usize,
}

impl Locks {
    /// The lock at `lock` was taken. Without memory for it, that is not known.
    pub(super) fn taken(&mut self, lock: usize, hold: Hold, sharing: Sharing, tasks: &Table) {
        if self.holds.len() >= PURGE_FROM.max(self.purged * 2) {
            self.purge(tasks);
        }
        if self.holds.try_reserve(1).is_err() {
            return;
        }
        let holds = self.holds.entry(lock).or_default();
        if sharing == Sharing::Exclusive {
            holds.clear();
        }
        if holds.try_reserve(1).is_ok() {
            holds.push(hold);
        }
    }

    /// The lock at `lock` was made here; returns what is to be dropped outside of all borrows. Without memory for it, that
    /// is not known.
    pub(super) fn made(&mut self, lock: usize, place: Place) -> (Places, Option<Place>) {
        let full = self.made.len() >= MOST_MADE;
        let before = if full { std::mem::take(&mut self.made) } else { Places::default() };
        let replaced = if self.made.try_reserve(1).is_ok() { self.made.insert(lock, place) } else { Some(place) };
        (before, replaced)
    }

    /// Where the lock at `lock` was made.
    pub(super) fn place(&self, lock: usize) -> Option<&Place> {
        self.made.get(&lock)
    }

    /// `by`, if that is known, has released the lock at `lock`.
    pub(super) fn released(&mut self, lock: usize, by: Option<Number>, sharing: Sharing) {
        let Some(holds) = self.holds.get_mut(&lock) else { return };
        // Code that holds no permit may return one: then it is the oldest.
        let own = holds.iter().position(|hold| Some(hold.task) == by).unwrap_or(0);
        if sharing == Sharing::Shared && holds.len() > 1 {
            holds.remove(own);
        } else {
            self.holds.remove(&lock);
        }
    }

    /// Who holds the lock at `lock`.
    pub(super) fn of(&self, lock: usize) -> &[Hold] {
        self.holds.get(&lock).map_or(&[], Vec::as_slice)
    }

    fn purge(&mut self, tasks: &Table) {
        self.holds.retain(|_, holds| {
            holds.retain(|hold| tasks.address(hold.task).is_some());
            !holds.is_empty()
        });
        self.purged = self.holds.len();
    }
}
