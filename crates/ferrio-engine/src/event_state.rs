//! An event's logic: a flag and its waiters.
//!
//! Invariant: once every waiter that [`EventState::set`] returned is woken, no waiter parked before the call is left
//! waiting. Clearing the flag takes nothing back: a woken waiter goes on.

use crate::waiters::{Waiter, Waiters};

/// An event.
#[derive(Debug)]
pub struct EventState<W> {
    /// Whether it is set.
    pub is_set: bool,
    /// The parked waiters.
    pub waiters: Waiters<W>,
}

impl<W: Waiter> EventState<W> {
    /// Sets the flag; returns all waiters, if it was not set.
    #[must_use = "the waiters have to be woken"]
    pub fn set(&mut self) -> impl Iterator<Item = &W> {
        let was_set = std::mem::replace(&mut self.is_set, true);
        self.waiters.waiting().take(if was_set { 0 } else { usize::MAX })
    }
}

impl<W> Default for EventState<W> {
    fn default() -> Self {
        Self { is_set: false, waiters: Waiters::new() }
    }
}
