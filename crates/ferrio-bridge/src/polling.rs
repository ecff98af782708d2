//! What the poll in progress on this thread tells the awaits inside it, and what they tell it.
//!
//! A future that waits in one `await_py` alone needs no waker: its coroutine yields what the awaited object yielded, so
//! the task waits for that itself, cancels it itself, and raises in it what is thrown in.

use std::cell::{Cell, RefCell};
use std::task::Waker;

use pyo3::prelude::*;
use pyo3::types::PyIterator;

/// The state of one poll of a coroutine's future.
pub(crate) struct Polling {
    /// The address of the coroutine's own waker: behind any other one, a combinator polls again only what was woken.
    waker: usize,
    /// The await whose object was yielded to the task, and which is resumed now.
    resumed: Option<u64>,
    /// An exception that is thrown into that await.
    thrown: Option<PyErr>,
    offered: Option<Offer>,
}

/// An await in which the task may wait directly.
pub(crate) struct Offer {
    pub(crate) number: u64,
    /// What drives the awaited code.
    pub(crate) iterator: Py<PyIterator>,
    /// What that yielded.
    pub(crate) yielded: Py<PyAny>,
}

/// How an await goes on.
pub(crate) enum Resumption {
    /// The task waited for what it yielded, which is done.
    Send,
    /// An exception is thrown in.
    Throw(PyErr),
    /// Another event woke the task.
    Unknown,
}

/// How many polls may lie inside one another: a level takes a few kilobytes of the thread's stack.
const DEEPEST: u32 = 400;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static POLLING: RefCell<Option<Polling>> = const { RefCell::new(None) };
}

impl Polling {
    pub(crate) fn new(waker: &Waker, resumed: Option<u64>, thrown: Option<PyErr>) -> Self {
        Self { waker: waker.data().addr(), resumed, thrown, offered: None }
    }

    /// Runs `poll` inside this state and returns it after that. Polls nest: Python code that is called from one may
    /// resume another coroutine.
    pub(crate) fn during<R>(self, poll: impl FnOnce() -> R) -> (R, Self) {
        let outer = POLLING.replace(Some(self));
        DEPTH.set(DEPTH.get() + 1);
        let result = poll();
        DEPTH.set(DEPTH.get() - 1);
        let own = POLLING.replace(outer).expect("each poll restores what it replaced");
        (result, own)
    }

    /// What is left of the exception that was to be thrown in: no await took it.
    pub(crate) fn take_thrown(&mut self) -> Option<PyErr> {
        self.thrown.take()
    }

    pub(crate) fn take_offered(&mut self) -> Option<Offer> {
        self.offered.take()
    }
}

/// Whether another poll inside those in progress might overflow the stack.
pub(crate) fn is_too_deep() -> bool {
    DEPTH.get() >= DEEPEST
}

/// How the await `number` goes on in the poll in progress.
pub(crate) fn resumption_of(number: u64) -> Resumption {
    POLLING.with_borrow_mut(|polling| match polling {
        Some(polling) if polling.resumed == Some(number) => {
            polling.resumed = None;
            polling.thrown.take().map_or(Resumption::Send, Resumption::Throw)
        }
        _ => Resumption::Unknown,
    })
}

/// Offers the poll in progress that its task waits for what an await yielded itself. False if that cannot be.
pub(crate) fn offer(waker: &Waker, offer: impl FnOnce() -> Offer) -> bool {
    POLLING.with_borrow_mut(|polling| match polling {
        Some(polling) if polling.offered.is_none() && polling.waker == waker.data().addr() => {
            polling.offered = Some(offer());
            true
        }
        _ => false,
    })
}
