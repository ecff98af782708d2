//! A queue's logic without its items: who waits to put, who waits to get, what is unfinished, whether it is shut down.
//!
//! The rules are those of `asyncio.Queue`. An item makes one getter go and look, a place one putter; being woken
//! promises nothing, so whoever comes back looks again and waits again if another was faster. Invariant: when all that
//! was handed out to be woken has come back, no getter waits while there are items, and no putter while there is room.
//! That is why a waiter that was woken and gives up wakes the next one.

use crate::waiters::{Ticket, Waiter, WaiterState, Waiters};

/// Both lines of a queue.
#[derive(Debug)]
pub struct QueueState<W> {
    /// Those who wait for an item.
    pub getters: Waiters<W>,
    /// Those who wait for room.
    pub putters: Waiters<W>,
    /// Items put and not reported as done. Programs change it from outside.
    pub unfinished: i64,
    /// No further item comes in.
    pub is_shut_down: bool,
}

/// The end of a queue at which somebody waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Waits for an item.
    Get,
    /// Waits for room.
    Put,
}

/// What reporting an item as done did.
#[must_use = "those who wait for the end have to be told"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Nothing: all items were reported before.
    TooOften,
    /// Others are unfinished.
    More,
    /// It was the last one.
    All,
}

impl<W: Waiter> QueueState<W> {
    /// The line at `side`.
    pub const fn wait_queue(&mut self, side: Side) -> &mut Waiters<W> {
        match side {
            Side::Get => &mut self.getters,
            Side::Put => &mut self.putters,
        }
    }

    /// An item was put; [`QueueState::wake_next`] says who is to come and get it.
    pub const fn note_put(&mut self) {
        self.unfinished = self.unfinished.saturating_add(1);
    }

    /// Who is to be woken at `side`, because there is something for it. What left the line with it goes into `spent`.
    #[must_use = "the waiter has to be woken"]
    pub fn wake_next(&mut self, side: Side, spent: &mut Vec<W>) -> Option<W> {
        self.wait_queue(side).pop_waiting(spent)
    }

    /// A waiter gives up, standing as it says, while there is something for it or not: who is to be woken in its place.
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

    /// An item was worked on.
    pub const fn task_done(&mut self) -> Done {
        if self.unfinished <= 0 {
            return Done::TooOften;
        }
        self.unfinished -= 1;
        if self.unfinished == 0 { Done::All } else { Done::More }
    }

    /// An item was thrown away by a shutdown: nobody will report it.
    pub fn note_discarded(&mut self) {
        self.unfinished = if self.unfinished > 0 { self.unfinished - 1 } else { self.unfinished };
    }

    /// All waiters leave both lines, getters first: those that wait are to be woken and will look again.
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
