//! A queue's logic without its items: the waiting putters and getters, the count of unfinished items, whether it is
//! shut down.
//!
//! The rules are those of `asyncio.Queue`. An item wakes one getter, a free place one putter; a wake-up guarantees
//! nothing: the woken waiter checks again, and waits again if another was faster. Invariant: once every waiter that was
//! returned to be woken has run, no getter waits while there are items, and no putter while there is a free place. That
//! is why a waiter that was woken and gives up wakes the next one.

use crate::waiters::{Ticket, Waiter, WaiterState, Waiters};

/// Both wait queues of a queue.
#[derive(Debug)]
pub struct QueueState<W> {
    /// The waiters for an item.
    pub getters: Waiters<W>,
    /// The waiters for a free place.
    pub putters: Waiters<W>,
    /// Items put and not reported as done. Programs change it from outside.
    pub unfinished: i64,
    /// No further items are accepted.
    pub is_shut_down: bool,
}

/// The operation that a waiter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Waits for an item.
    Get,
    /// Waits for a free place.
    Put,
}

/// The result of reporting an item as done.
#[must_use = "those who wait for the end have to be told"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Nothing: all items were reported before.
    TooOften,
    /// Other items are unfinished.
    More,
    /// It was the last one.
    All,
}

impl<W: Waiter> QueueState<W> {
    /// The wait queue of `side`.
    pub const fn wait_queue(&mut self, side: Side) -> &mut Waiters<W> {
        match side {
            Side::Get => &mut self.getters,
            Side::Put => &mut self.putters,
        }
    }

    /// Records that an item was put; [`QueueState::wake_next`] returns the getter to wake.
    pub const fn note_put(&mut self) {
        self.unfinished = self.unfinished.saturating_add(1);
    }

    /// The waiter to wake at `side`, because an item or a place is there for it. Cancelled ones before it leave the
    /// wait queue into `spent`.
    #[must_use = "the waiter has to be woken"]
    pub fn wake_next(&mut self, side: Side, spent: &mut Vec<W>) -> Option<W> {
        self.wait_queue(side).pop_waiting(spent)
    }

    /// A waiter that is in the given state gives up: returns the waiter to wake in its place, if it was not cancelled
    /// and `available` says that an item or a place is there. The removed one goes into `spent`.
    #[must_use = "the waiter has to be woken"]
    pub fn give_up(
        &mut self,
        side: Side,
        ticket: Ticket,
        waiter_state: WaiterState,
        available: bool,
        spent: &mut Vec<W>,
    ) -> Option<W> {
        spent.extend(self.wait_queue(side).remove(ticket));
        if available && waiter_state != WaiterState::Cancelled { self.wake_next(side, spent) } else { None }
    }

    /// Records that an item was processed.
    pub const fn task_done(&mut self) -> Done {
        if self.unfinished <= 0 {
            return Done::TooOften;
        }
        self.unfinished -= 1;
        if self.unfinished == 0 { Done::All } else { Done::More }
    }

    /// Records that a shutdown discarded an item, which will not be reported as done.
    pub fn note_discarded(&mut self) {
        self.unfinished = if self.unfinished > 0 { self.unfinished - 1 } else { self.unfinished };
    }

    /// Removes all waiters from both wait queues, getters first: those still waiting are to be woken and will check
    /// again.
    #[must_use = "the waiters have to be woken"]
    pub fn dismiss(&mut self) -> Vec<W> {
        let mut all = self.getters.take_all();
        all.extend(self.putters.take_all());
        all
    }
}

impl<W> Default for QueueState<W> {
    fn default() -> Self {
        Self { getters: Waiters::new(), putters: Waiters::new(), unfinished: 0, is_shut_down: false }
    }
}
