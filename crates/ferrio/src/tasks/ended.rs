//! Which tasks of a set have ended, in the order they did.
//!
//! Looking at each task of a set after each wake-up would cost the square of their number. Instead each task has a
//! guard, which notes the task's number when the future is dropped, however it ends.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Waker};

use crate::runtime::waking::wake;
use crate::task::{Task, spawn};

/// The numbers of the tasks that have ended and were not looked at.
#[derive(Debug, Default)]
pub(super) struct Ended {
    numbers: RefCell<VecDeque<usize>>,
    waker: RefCell<Option<Waker>>,
}

struct Note {
    ended: Rc<Ended>,
    number: usize,
}

impl Drop for Note {
    fn drop(&mut self) {
        self.ended.numbers.borrow_mut().push_back(self.number);
        let waker = self.ended.waker.take();
        if let Some(waker) = waker {
            wake(waker);
        }
    }
}

impl Ended {
    /// Runs `future` as a task with this number. The outcome is there by the time that who is woken runs.
    pub(super) fn spawn<F: Future + 'static>(self: &Rc<Self>, number: usize, future: F) -> Task<F::Output> {
        let note = Note { ended: Rc::clone(self), number };
        spawn(async move {
            let _note = note;
            future.await
        })
    }

    /// The next task that has ended; None if the waker of `context` is woken for it.
    pub(super) fn next(&self, context: &Context<'_>) -> Option<usize> {
        let number = self.numbers.borrow_mut().pop_front();
        if number.is_none() {
            let before = self.waker.replace(Some(context.waker().clone()));
            drop(before);
        }
        number
    }
}
