//! A lock's logic: one holder, and a wait queue.
//!
//! The rules are those of `asyncio.Lock`. A release wakes the first waiter and leaves the lock free until that waiter
//! runs; a newcomer does not overtake it, because it takes a free lock only if all waiters are cancelled. Invariants:
//! there is at most one holder; when no woken waiter is about to run, a free lock has no waiters. The second one is why
//! a waiter that leaves a free lock's wait queue without the lock wakes the next one.

use crate::waiters::{Ticket, Waiter, WaiterState, Waiters};

/// A lock.
#[derive(Debug)]
pub struct LockState<W> {
    /// Whether the lock is held.
    pub locked: bool,
    /// The wait queue.
    pub waiters: Waiters<W>,
}

/// The result of a release.
#[must_use = "the first in line has to be woken"]
#[derive(Debug, PartialEq, Eq)]
pub enum Released<'a, W> {
    /// Nothing: the lock is not held.
    NotHeld,
    /// The lock is free; wake the waiter, if there is one.
    Free(Option<&'a W>),
}

impl<W: Waiter> LockState<W> {
    /// Takes the lock if that overtakes no waiter.
    #[must_use]
    pub fn try_acquire(&mut self) -> bool {
        let free = !self.locked && self.waiters.all_cancelled();
        self.locked |= free;
        free
    }

    /// Appends a waiter to the wait queue.
    pub fn park(&mut self, waiter: W) -> Option<Ticket> {
        self.waiters.push(waiter)
    }

    /// A woken waiter runs and takes the lock.
    #[must_use = "dropping the waiter here is what this method is there to avoid"]
    pub fn take_over(&mut self, ticket: Ticket) -> Option<W> {
        self.locked = true;
        self.waiters.remove(ticket)
    }

    /// The holder releases the lock.
    pub fn release(&mut self) -> Released<'_, W> {
        if !std::mem::replace(&mut self.locked, false) {
            return Released::NotHeld;
        }
        Released::Free(self.next())
    }

    /// The waiter to wake because another one left a free lock's wait queue without the lock.
    #[must_use = "the first in line has to be woken"]
    pub fn pass_on(&self) -> Option<&W> {
        if self.locked { None } else { self.next() }
    }

    /// The first in the wait queue, unless it was woken already.
    fn next(&self) -> Option<&W> {
        self.waiters.first().filter(|first| first.waiter_state() == WaiterState::Waiting)
    }
}

impl<W> Default for LockState<W> {
    fn default() -> Self {
        Self { locked: false, waiters: Waiters::new() }
    }
}
