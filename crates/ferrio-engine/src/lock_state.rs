//! A lock's logic: one holder, and the line of those who want to be next.
//!
//! The rules are those of `asyncio.Lock`. A release wakes the first in line and leaves the lock free until that one
//! comes back; meanwhile nobody barges in, because a newcomer takes a free lock only if all in line have given up.
//! Invariants: there is at most one holder; when nobody is on its way back, a free lock has nobody waiting. The second
//! one is why whoever leaves a free lock's line without the lock wakes the next.

use crate::waiters::{Ticket, Waiter, WaiterState, Waiters};

/// A lock.
#[derive(Debug)]
pub struct LockState<W> {
    /// Whether somebody holds the lock.
    pub locked: bool,
    /// Those who want it.
    pub waiters: Waiters<W>,
}

/// What a release did.
#[must_use = "the first in line has to be woken"]
#[derive(Debug, PartialEq, Eq)]
pub enum Released<'a, W> {
    /// Nothing: nobody holds the lock.
    NotHeld,
    /// The lock is free; if there is somebody, wake it.
    Free(Option<&'a W>),
}

impl<W: Waiter> LockState<W> {
    /// Takes the lock if that passes nobody.
    #[must_use]
    pub fn try_acquire(&mut self) -> bool {
        let free = !self.locked && self.waiters.all_cancelled();
        self.locked |= free;
        free
    }

    /// Gets in line.
    pub fn park(&mut self, waiter: W) -> Option<Ticket> {
        self.waiters.push(waiter)
    }

    /// A chosen waiter comes back and takes the lock.
    #[must_use = "dropping the waiter here is what this method is there to avoid"]
    pub fn take_over(&mut self, ticket: Ticket) -> Option<W> {
        self.locked = true;
        self.waiters.remove(ticket)
    }

    /// The holder gives the lock up.
    pub fn release(&mut self) -> Released<'_, W> {
        if !std::mem::replace(&mut self.locked, false) {
            return Released::NotHeld;
        }
        Released::Free(self.next())
    }

    /// Who has to be woken because a waiter left a free lock's line without the lock.
    #[must_use = "the first in line has to be woken"]
    pub fn pass_on(&self) -> Option<&W> {
        if self.locked { None } else { self.next() }
    }

    /// The first in line, unless it is on its way.
    fn next(&self) -> Option<&W> {
        self.waiters.first().filter(|first| first.waiter_state() == WaiterState::Waiting)
    }
}

impl<W> Default for LockState<W> {
    fn default() -> Self {
        Self { locked: false, waiters: Waiters::new() }
    }
}
