//! The table of recorded tasks.
//!
//! A task has the place of its entry (`TaskBody::place`), so finding it takes no search; an entry ends with its task.
//! Invariant: an entry belongs to the task at its address if that task has its place. A place from an earlier recording
//! belongs to an entry of another address, or to none.

use super::creation::Creation;
use super::number::Number;
use super::times::Times;

/// What a task tells of itself.
#[derive(Clone, Copy)]
pub(super) struct Whereabouts {
    /// Where its entry is, if it has one.
    pub(super) place: u32,
    pub(super) address: usize,
}

pub(super) struct Entry {
    /// The task's address; 0 if the place is free.
    pub(super) task: usize,
    pub(super) serial: u64,
    /// What it runs; 0 if that is not known.
    pub(super) label: u64,
    pub(super) times: Times,
    /// None for a task that was there before recording began.
    pub(super) creation: Option<Creation>,
}

impl Entry {
    /// An entry of no task.
    pub(super) fn of_nobody() -> Self {
        Self { task: 0, serial: 0, label: 0, times: Times::default(), creation: None }
    }
}

#[derive(Default)]
pub(super) struct Table {
    entries: Vec<Entry>,
    /// The places of entries whose tasks are gone.
    free: Vec<u32>,
    last_serial: u64,
}

impl Table {
    /// The entry of a task, if it has one.
    #[inline]
    pub(super) fn entry(&mut self, task: Whereabouts) -> Option<&mut Entry> {
        self.entries.get_mut(task.place as usize).filter(|entry| entry.task == task.address)
    }

    /// Whether a task has one.
    #[inline]
    pub(super) fn has(&self, task: Whereabouts) -> bool {
        self.entries.get(task.place as usize).is_some_and(|entry| entry.task == task.address)
    }

    /// All entries, by their places.
    #[inline]
    pub(super) fn entries(&mut self) -> &mut [Entry] {
        &mut self.entries
    }

    /// What is at a place.
    #[inline]
    pub(super) fn at(&mut self, place: u32) -> Option<&mut Entry> {
        self.entries.get_mut(place as usize)
    }

    /// The address of a task; None if it is gone.
    pub(super) fn address(&self, number: Number) -> Option<usize> {
        let entry = self.entries.get(number.place as usize)?;
        (entry.serial == number.serial && entry.task != 0).then_some(entry.task)
    }

    /// Gives a task that has none an entry. The task is to be told its place. None if there is no memory for it.
    #[cold]
    pub(super) fn add(&mut self, address: usize, label: u64, creation: Option<Creation>) -> Option<Number> {
        self.free.try_reserve((self.entries.len() + 1).saturating_sub(self.free.len())).ok()?;
        let serial = self.last_serial + 1;
        let entry = Entry { task: address, serial, label, times: Times::default(), creation };
        let free = self.free.pop();
        let place = if let Some(place) = free {
            *self.entries.get_mut(place as usize)? = entry;
            place
        } else {
            let place = u32::try_from(self.entries.len()).ok()?;
            self.entries.try_reserve(1).ok()?;
            self.entries.push(entry);
            place
        };
        self.last_serial = serial;
        Some(Number { place, serial })
    }

    /// A task is gone. Returns what is to be dropped outside of all borrows.
    pub(super) fn remove(&mut self, task: Whereabouts) -> Option<Creation> {
        let entry = self.entry(task)?;
        entry.task = 0;
        let creation = entry.creation.take();
        // There is room: `add` has made it.
        self.free.push(task.place);
        creation
    }

    /// The entries of all tasks that are there.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.task != 0)
    }
}
