//! `Bell`: how threads without the GIL tell a loop that there is something for it to fetch.
//!
//! A thread leaves its message where the loop will look, and then rings. The loop asks `is_rung` after it has begun to
//! wait (`SleepState::spin`) and does not sleep if it is. Invariant: after a ring that no `take` has answered, the loop
//! is awake, or its waker was written to. Swaps of the sleep state, by either side, order the ring with the look: with
//! plain loads and stores each side could miss what the other one has written.
//!
//! Loom tests this file (`tests/bell.rs`).

use crate::sleep_state::SleepState;
use crate::sync::{Arc, AtomicBool, Ordering};

/// What ends the wait of a loop that sleeps.
pub trait Wake {
    /// Ends the wait, or the next one. Any thread may call it.
    fn end_wait(&self);
}

/// A bell of one loop. It may outlive the loop.
#[derive(Debug)]
pub struct Bell<W> {
    is_rung: AtomicBool,
    sleep_state: Arc<SleepState>,
    waker: W,
}

impl<W: Wake> Bell<W> {
    /// A bell of the loop that waits as `sleep_state` says, and is woken by `waker`.
    #[must_use]
    pub fn new(sleep_state: Arc<SleepState>, waker: W) -> Self {
        Self { is_rung: AtomicBool::new(false), sleep_state, waker }
    }

    /// Rings, from any thread. Rings that come before the loop answers are one.
    pub fn ring(&self) {
        if self.is_rung.swap(true, Ordering::AcqRel) {
            return;
        }
        if self.sleep_state.wake_unseen() {
            self.waker.end_wait();
        }
    }

    /// Whether it is rung, asked by the loop after it has begun to wait.
    #[must_use]
    pub fn is_rung(&self) -> bool {
        self.is_rung.load(Ordering::Acquire)
    }

    /// Answers a ring: true if there was one since the last answer.
    #[must_use]
    pub fn take(&self) -> bool {
        self.is_rung.load(Ordering::Acquire) && self.is_rung.swap(false, Ordering::AcqRel)
    }
}
