//! Waiters: a wait queue of a primitive, first in, first out.
//!
//! A waiter is a token of the caller, and the token has the waiter's state: it may be cancelled at any moment without a
//! call to the primitive, so every decision reads the state again. A waiter stays in the wait queue after it was chosen
//! or cancelled, until it resumes and leaves by its [`Ticket`]; that is how a chosen waiter that was cancelled
//! meanwhile is noticed. Invariant: tickets grow from front to back. The caller wakes a token, outside every borrow and
//! at once.

use std::collections::VecDeque;
use std::rc::Rc;

/// The state of a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaiterState {
    /// Not chosen yet.
    Waiting,
    /// It was woken and will resume.
    Chosen,
    /// It was cancelled and will resume only to leave.
    Cancelled,
}

/// A token that knows its waiter's state.
pub trait Waiter {
    /// The waiter's current state.
    fn waiter_state(&self) -> WaiterState;
}

impl<W: Waiter> Waiter for Rc<W> {
    fn waiter_state(&self) -> WaiterState {
        (**self).waiter_state()
    }
}

/// A place in the wait queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(i64);

/// A wait queue.
#[derive(Debug)]
pub struct Waiters<W> {
    queue: VecDeque<(Ticket, W)>,
    /// The ticket of the next waiter at the back.
    back: i64,
    /// The ticket of the next waiter at the front.
    front: i64,
}

impl<W> Waiters<W> {
    /// An empty wait queue that has not allocated.
    #[must_use]
    pub const fn new() -> Self {
        Self { queue: VecDeque::new(), back: 0, front: -1 }
    }

    /// Parks a waiter behind all others; None if there is no memory for it.
    #[inline(always)] // benchmark `queue_handoff`
    pub fn push(&mut self, waiter: W) -> Option<Ticket> {
        if !self.reserve_one() {
            return None;
        }
        let ticket = Ticket(self.back);
        self.back += 1;
        self.queue.push_back((ticket, waiter));
        Some(ticket)
    }

    /// Parks a waiter before all others; None if there is no memory for it.
    pub fn push_front(&mut self, waiter: W) -> Option<Ticket> {
        if !self.reserve_one() {
            return None;
        }
        let ticket = Ticket(self.front);
        self.front -= 1;
        self.queue.push_front((ticket, waiter));
        Some(ticket)
    }

    /// Reserves space for one more waiter; false if there is no memory.
    #[inline]
    fn reserve_one(&mut self) -> bool {
        self.queue.len() < self.queue.capacity() || self.grow()
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) -> bool {
        self.queue.try_reserve(1).is_ok()
    }

    /// Makes [`Waiters::was_used`] true: uses up a ticket.
    pub const fn mark_used(&mut self) {
        self.back += 1;
    }

    /// Removes a waiter from the wait queue, if it is still there.
    #[must_use = "dropping the waiter here is what this method is there to avoid"]
    pub fn remove(&mut self, ticket: Ticket) -> Option<W> {
        if self.queue.front()?.0 == ticket {
            return self.pop();
        }
        let place = self.queue.binary_search_by_key(&ticket, |(own, _)| *own).ok()?;
        self.queue.remove(place).map(|(_, waiter)| waiter)
    }

    /// Takes out the waiter that has waited longest.
    #[must_use = "dropping the waiter here is what this method is there to avoid"]
    pub fn pop(&mut self) -> Option<W> {
        self.queue.pop_front().map(|(_, waiter)| waiter)
    }

    /// Takes out all waiters, so that the caller can drop them while nothing borrows the wait queue.
    #[must_use = "dropping the waiters here is what this method is there to avoid"]
    pub fn take_all(&mut self) -> Vec<W> {
        std::mem::take(&mut self.queue).into_iter().map(|(_, waiter)| waiter).collect()
    }

    /// The waiter that has waited longest.
    #[must_use]
    pub fn first(&self) -> Option<&W> {
        self.queue.front().map(|(_, waiter)| waiter)
    }

    /// How many waiters there are, chosen and cancelled ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether there are no waiters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether a waiter was ever parked.
    #[must_use]
    pub fn was_used(&self) -> bool {
        self.back != 0 || self.front != -1
    }

    /// All waiters, the one that has waited longest first.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &W> + ExactSizeIterator {
        self.queue.iter().map(|(_, waiter)| waiter)
    }

    /// All waiters with their tickets.
    pub fn entries(&self) -> impl Iterator<Item = (Ticket, &W)> {
        self.queue.iter().map(|(ticket, waiter)| (*ticket, waiter))
    }

    /// All waiters, mutably.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut W> {
        self.queue.iter_mut().map(|(_, waiter)| waiter)
    }
}

impl<W: Waiter> Waiters<W> {
    /// The waiters that were neither chosen nor cancelled.
    pub fn waiting(&self) -> impl Iterator<Item = &W> {
        self.iter().filter(|waiter| waiter.waiter_state() == WaiterState::Waiting)
    }

    /// Whether all are cancelled, or there are none: then a newcomer overtakes no waiter.
    #[must_use]
    pub fn all_cancelled(&self) -> bool {
        self.is_empty() || self.iter().all(|waiter| waiter.waiter_state() == WaiterState::Cancelled)
    }

    /// Takes out the first that still waits. Those before it go into `spent`, for the caller to drop.
    #[must_use = "the waiter has to be woken"]
    pub fn pop_waiting(&mut self, spent: &mut Vec<W>) -> Option<W> {
        while let Some(waiter) = self.pop() {
            if waiter.waiter_state() == WaiterState::Waiting {
                return Some(waiter);
            }
            spent.push(waiter);
        }
        None
    }
}

impl<W> Default for Waiters<W> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Waiter for (u32, WaiterState) {
        fn waiter_state(&self) -> WaiterState {
            self.1
        }
    }

    #[test]
    fn a_waiter_in_the_middle_is_removed_by_its_ticket() {
        let mut waiters = Waiters::new();
        let tickets: Vec<Ticket> = ["b", "c", "d"].into_iter().filter_map(|name| waiters.push(name)).collect();
        let first = waiters.push_front("a");
        assert_eq!(waiters.remove(tickets[1]), Some("c"));
        assert_eq!(waiters.remove(tickets[1]), None);
        assert_eq!(waiters.remove(first.expect("memory")), Some("a"));
        assert_eq!(waiters.iter().copied().collect::<Vec<_>>(), ["b", "d"]);
        assert_eq!(waiters.take_all(), ["b", "d"]);
        assert!(waiters.is_empty() && waiters.was_used());
    }

    #[test]
    fn the_first_waiting_is_taken_and_the_spent_are_returned() {
        let mut waiters = Waiters::new();
        for waiter in [
            (0, WaiterState::Cancelled),
            (1, WaiterState::Chosen),
            (2, WaiterState::Waiting),
            (3, WaiterState::Waiting),
        ] {
            let _ = waiters.push(waiter);
        }
        let mut spent = Vec::new();
        assert_eq!(waiters.pop_waiting(&mut spent).map(|waiter| waiter.0), Some(2));
        assert_eq!(spent.iter().map(|waiter| waiter.0).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(waiters.len(), 1);
        assert!(!waiters.all_cancelled());
    }
}
