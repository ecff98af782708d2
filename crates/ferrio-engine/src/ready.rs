//! The ready queue: what runs in this turn and the next, first in, first out.
//!
//! Fairness is up to the caller: a turn runs only what was there when it began, that is, it reads [`ReadyQueue::len`]
//! once and pops that many. Items pushed meanwhile wait for the next turn, so that I/O and timers run in between.

use std::collections::VecDeque;

/// Places that [`ReadyQueue::try_reserve`] keeps in reserve, for what must be queued even when memory runs out.
const SPARE: usize = 16;

/// A first in, first out queue of items that are ready to run.
#[derive(Debug)]
pub struct ReadyQueue<T> {
    items: VecDeque<T>,
}

impl<T> ReadyQueue<T> {
    /// An empty queue that has not allocated.
    #[must_use]
    pub const fn new() -> Self {
        Self { items: VecDeque::new() }
    }

    /// An empty queue with room for `capacity` items.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { items: VecDeque::with_capacity(capacity) }
    }

    /// Reserves space for `count` more items; if it returns true, pushing them does not fail.
    #[inline]
    #[must_use]
    pub fn try_reserve(&mut self, count: usize) -> bool {
        self.items.capacity() - self.items.len() > count + SPARE || self.grow(count)
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, count: usize) -> bool {
        self.items.try_reserve(count + SPARE + 1).is_ok()
    }

    /// Appends `item`, or returns it if there is no memory for it; keeps the same reserve as `try_reserve`.
    ///
    /// # Errors
    /// The item.
    #[inline(always)] // benchmark `call_soon_chain`
    pub fn try_push(&mut self, item: T) -> Result<(), T> {
        if !self.try_reserve(1) {
            return Err(item);
        }
        self.items.push_back(item);
        Ok(())
    }

    /// Appends `item`: it runs after all others.
    #[inline]
    pub fn push(&mut self, item: T) {
        self.items.push_back(item);
    }

    /// Puts `item` before all others.
    #[inline]
    pub fn push_front(&mut self, item: T) {
        self.items.push_front(item);
    }

    /// Takes out the item that has waited longest.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        self.items.pop_front()
    }

    /// The item that has `place` items before it.
    #[inline]
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&T> {
        self.items.get(place)
    }

    /// Takes out all items, so that the caller can drop them while nothing borrows the queue.
    #[must_use = "dropping the items here is what this method is there to avoid"]
    pub fn take_all(&mut self) -> VecDeque<T> {
        std::mem::take(&mut self.items)
    }

    /// Takes out the items from `place` on: what was pushed when there were `place` items.
    #[must_use = "dropping the items here is what this method is there to avoid"]
    pub fn take_from(&mut self, place: usize) -> Vec<T> {
        self.items.split_off(place.min(self.items.len())).into()
    }

    /// How many items wait.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether nothing waits.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The waiting items, the next one first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }
}

impl<T> Default for ReadyQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_leave_in_the_order_they_came() {
        let mut queue = ReadyQueue::with_capacity(4);
        queue.push(1);
        queue.push(2);
        queue.push_front(0);
        assert_eq!(queue.len(), 3);
        assert_eq!(queue.iter().copied().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!([queue.pop(), queue.pop(), queue.pop(), queue.pop()], [Some(0), Some(1), Some(2), None]);
    }

    #[test]
    fn a_turn_runs_only_what_was_there_when_it_began() {
        let mut queue = ReadyQueue::new();
        queue.push(1);
        for _ in 0..queue.len() {
            let item = queue.pop().expect("counted");
            queue.push(item + 1);
        }
        assert_eq!(queue.pop(), Some(2));
        assert!(queue.is_empty());
    }

    #[test]
    fn take_from_leaves_the_items_before() {
        let mut queue = ReadyQueue::default();
        (1..=4).for_each(|item| queue.push(item));
        assert_eq!(queue.take_from(1), [2, 3, 4]);
        assert!(queue.take_from(2).is_empty());
        assert_eq!(queue.pop(), Some(1));
    }

    #[test]
    fn take_all_leaves_an_empty_queue() {
        let mut queue = ReadyQueue::default();
        queue.push("a");
        queue.push("b");
        assert_eq!(queue.take_all(), ["a", "b"]);
        assert!(queue.is_empty());
    }
}
