//! A deadline that a future waits for.

use std::cell::{Cell, RefCell};
use std::task::Waker;

use ferrio_engine::Cancellable;

use super::waking::wake;

/// One entry of the runtime's timers.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    is_fired: Cell<bool>,
    is_cancelled: Cell<bool>,
    /// Who waits.
    waker: RefCell<Option<Waker>>,
}

impl Timer {
    pub(crate) fn is_fired(&self) -> bool {
        self.is_fired.get()
    }

    /// Has `waker` woken at the deadline.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        let before = self.waker.borrow_mut().replace(waker.clone());
        drop(before);
    }

    pub(crate) fn fire(&self) {
        self.is_fired.set(true);
        let waker = self.waker.take();
        if let Some(waker) = waker {
            wake(waker);
        }
    }

    /// Records that nobody waits any more.
    pub(crate) fn cancel(&self) {
        self.is_cancelled.set(true);
        drop(self.waker.take());
    }
}

impl Cancellable for Timer {
    fn is_cancelled(&self) -> bool {
        self.is_cancelled.get()
    }
}
