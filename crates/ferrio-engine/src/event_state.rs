//! An event's logic: a flag and those who wait for it.
//!
//! Invariant: when all that [`EventState::set`] gives were woken, nobody waits that was parked before. Clearing the flag
//! takes nothing back: whoever was woken goes on.

use crate::waiters::{Waiter, Waiters};

/// An event.
#[derive(Debug)]
pub struct EventState<W> {
    /// Whether it is set.
    pub is_set: bool,
    /// Those who wait for it.
    pub waiters: Waiters<W>,
}

impl<W: Waiter> EventState<W> {
    /// Sets the flag: gives all who wait, if it was not set.
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
