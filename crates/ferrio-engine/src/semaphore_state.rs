//! A semaphore's logic: a number of permits and a wait queue.
//!
//! The rules are those of `asyncio.Semaphore`. A chosen waiter has its permit from the moment it is chosen, so `value`
//! counts the permits that no holder or chosen waiter has. Invariants: permits are neither made nor lost by waiting,
//! choosing and cancelling; once every waiter that [`SemaphoreState::choose`] returned is woken, no waiter is left
//! while a permit is free.

use crate::waiters::{Ticket, Waiter, Waiters};

/// A semaphore.
#[derive(Debug)]
pub struct SemaphoreState<W> {
    /// The permits that are free. Programs change it from outside, below zero too.
    pub value: i64,
    /// The wait queue.
    pub waiters: Waiters<W>,
}

impl<W: Waiter> SemaphoreState<W> {
    /// `value` permits, and no waiters.
    #[must_use]
    pub const fn new(value: i64) -> Self {
        Self { value, waiters: Waiters::new() }
    }

    /// Whether a newcomer has to wait: no permit is free, or others wait already.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.value == 0 || !self.waiters.all_cancelled()
    }

    /// Takes a permit if that overtakes no waiter.
    #[must_use]
    pub fn try_acquire(&mut self) -> bool {
        let free = !self.is_locked();
        if free {
            self.value = self.value.saturating_sub(1);
        }
        free
    }

    /// Appends a waiter to the wait queue.
    pub fn park(&mut self, waiter: W) -> Option<Ticket> {
        self.waiters.push(waiter)
    }

    /// Removes a waiter that resumes from the wait queue.
    #[must_use = "dropping the waiter here is what this method is there to avoid"]
    pub fn leave(&mut self, ticket: Ticket) -> Option<W> {
        self.waiters.remove(ticket)
    }

    /// Returns a permit; [`SemaphoreState::choose`] picks the waiter that gets it.
    pub fn release(&mut self) {
        self.value = self.value.saturating_add(1);
    }

    /// Gives a permit to the first waiter, whether one is free or not: the caller decides.
    #[must_use = "the waiter has to be woken"]
    pub fn choose(&mut self) -> Option<&W> {
        let chosen = self.waiters.waiting().next()?;
        self.value = self.value.saturating_sub(1);
        Some(chosen)
    }

    /// The same, if a permit is free.
    #[must_use = "the waiter has to be woken"]
    pub fn choose_if_free(&mut self) -> Option<&W> {
        if self.value > 0 { self.choose() } else { None }
    }
}
