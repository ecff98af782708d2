//! The place of one waiter in a wait queue.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ferrio_engine::{Ticket, Waiter, WaiterState};

use crate::runtime::waking::wake;

/// Whether a waiter was chosen, and whom to wake then.
#[derive(Debug)]
pub(crate) struct WaitSlot {
    waiter_state: Cell<WaiterState>,
    /// Present while it waits.
    waker: RefCell<Option<Waker>>,
}

/// A slot that is in a wait queue.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) ticket: Ticket,
    pub(crate) slot: Rc<WaitSlot>,
}

impl WaitSlot {
    pub(crate) fn new(context: &Context<'_>) -> Rc<Self> {
        let waker = RefCell::new(Some(context.waker().clone()));
        Rc::new(Self { waiter_state: Cell::new(WaiterState::Waiting), waker })
    }

    /// Chooses the waiter, and wakes it. Nothing may be borrowed: a foreign waker may run anything.
    pub(crate) fn choose(&self) {
        self.end(WaiterState::Chosen);
    }

    /// Wakes the waiter without what it waits for.
    pub(crate) fn refuse(&self) {
        self.end(WaiterState::Cancelled);
    }

    /// Ready once the waiter was chosen or refused.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<WaiterState> {
        let waiter_state = self.waiter_state.get();
        if waiter_state != WaiterState::Waiting {
            return Poll::Ready(waiter_state);
        }
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            let before = waker.replace(context.waker().clone());
            drop(waker);
            drop(before);
        }
        Poll::Pending
    }

    fn end(&self, outcome: WaiterState) {
        self.waiter_state.set(outcome);
        let waker = self.waker.take();
        if let Some(waker) = waker {
            wake(waker);
        }
    }
}

impl Waiter for WaitSlot {
    fn waiter_state(&self) -> WaiterState {
        self.waiter_state.get()
    }
}

/// The ticket of a waiter that was just parked.
pub(crate) fn parked_ticket(ticket: Option<Ticket>) -> Ticket {
    // Rust's collections abort when memory runs out; the engine's report it.
    ticket.expect("there is memory for a waiter")
}
