//! Who has pushed the items of a ready queue: first in, first out, in groups of items that one has pushed.
//!
//! Invariant: there are no places, or a power of two of them, by which numbers of places are taken; `count` of them are in
//! use, from `first` on.

use super::times::Waker;

/// How many groups there is room for from the beginning.
const GROUPS: usize = 64;

/// Who has pushed an item, and when that was seen.
#[derive(Clone, Copy, Default)]
pub(super) struct Push {
    pub(super) by: Waker,
    pub(super) at: u64,
}

/// Items that stand side by side in the queue, pushed by the same.
#[derive(Clone, Copy, Default)]
struct Group {
    items: usize,
    push: Push,
}

#[derive(Default)]
pub(super) struct Pushes {
    places: Vec<Group>,
    first: usize,
    count: usize,
}

impl Pushes {
    /// Makes room. False if there is no memory for it.
    pub(super) fn reserve(&mut self) -> bool {
        !self.places.is_empty() || self.grow()
    }

    #[cold]
    fn grow(&mut self) -> bool {
        let capacity = (self.places.len() * 2).max(GROUPS);
        if self.places.try_reserve_exact(capacity - self.places.len()).is_err() {
            return false;
        }
        if !self.places.is_empty() {
            let first = self.first & (self.places.len() - 1);
            self.places.rotate_left(first);
        }
        self.first = 0;
        self.places.resize(capacity, Group::default());
        true
    }

    #[inline]
    fn place(&mut self, number: usize) -> Option<&mut Group> {
        let place = self.first.wrapping_add(number) & self.places.len().wrapping_sub(1);
        self.places.get_mut(place)
    }

    /// Adds `items`, at least one. Without memory, what pushed the last ones has pushed these too; false if there are
    /// none.
    #[inline]
    pub(super) fn add(&mut self, items: usize, push: Push) -> bool {
        if self.count == self.places.len() && !self.grow() {
            return self.add_to_last(items);
        }
        let count = self.count;
        if let Some(place) = self.place(count) {
            *place = Group { items, push };
            self.count = count + 1;
        }
        true
    }

    #[cold]
    fn add_to_last(&mut self, items: usize) -> bool {
        let Some(last) = self.count.checked_sub(1) else { return false };
        if let Some(place) = self.place(last) {
            place.items += items;
        }
        true
    }

    /// Takes the first item: who has pushed it. None if there is none.
    #[inline]
    pub(super) fn take(&mut self) -> Option<Push> {
        if self.count == 0 {
            return None;
        }
        let group = self.place(0)?;
        let push = group.push;
        if group.items > 1 {
            group.items -= 1;
        } else {
            self.first = self.first.wrapping_add(1);
            self.count -= 1;
        }
        Some(push)
    }

    pub(super) fn clear(&mut self) {
        self.count = 0;
    }

    /// Who has pushed each item.
    pub(super) fn iter(&self) -> impl Iterator<Item = Push> {
        let mask = self.places.len().wrapping_sub(1);
        let groups = (0..self.count).filter_map(move |number| self.places.get(self.first.wrapping_add(number) & mask));
        groups.flat_map(|group| std::iter::repeat_n(group.push, group.items))
    }
}
