//! A semaphore's logic: a number of permits and the line of those who want one.
//!
//! The rules are those of `asyncio.Semaphore`. A chosen waiter has its permit from the moment it is chosen, so
//! `value` counts those that nobody has or is about to have. Invariants: permits are neither made nor lost by waiting,
//! choosing and cancelling; when all that [`SemaphoreState::choose`] gives were woken, nobody waits while a permit is free.

use crate::waiters::{Ticket, Waiter, Waiters};

/// A semaphore.
#[derive(Debug)]
pub struct SemaphoreState<W> {
    /// The permits that are free. Programs change it from outside, below zero too.
    pub value: i64,
    /// Those who want a permit.
    pub waiters: Waiters<W>,
}

impl<W: Waiter> SemaphoreState<W> {
    /// `value` permits, nobody waiting.
    #[must_use]
    pub const fn new(value: i64) -> Self {
        Self { value, waiters: Waiters::new() }
    }

    /// Whether a newcomer has to wait: no permit is free, or somebody was there before.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.value == 0 || !self.waiters.all_cancelled()
    }

    /// Takes a permit if that passes nobody.
    #[must_use]
    pub fn try_acquire(&mut self) -> bool {
        let free = !self.is_locked();
        if free {
            self.value = self.value.saturating_sub(1);
        }
        free
    }

    /// Gets in line.
    pub fn park(&mut self, waiter: W) -> Option<Ticket> {
        self.waiters.push(waiter)
    }

    /// Whoever comes back leaves the line.
    #[must_use = "dropping the waiter here is what this method is there to avoid"]
    pub fn leave(&mut self, ticket: Ticket) -> Option<W> {
        self.waiters.remove(ticket)
    }

    /// Gives a permit back; [`SemaphoreState::choose`] says who gets it.
    pub fn release(&mut self) {
        self.value = self.value.saturating_add(1);
    }

    /// Gives a permit to the first that waits, whether one is free or not: the caller knows.
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
