//! `SleepState`: how a loop waits for events, and so what another thread does to wake it.
//!
//! States: *awake* (no wake-up is needed), *spinning* (polls for events repeatedly without the GIL; a change of this
//! value ends the spin), *asleep* (in the system call; a write to the waker ends it). The loop's thread moves it from
//! awake to spinning and from spinning to asleep; any thread moves it to awake. An atomic swap decides each race:
//! either the loop's step to asleep fails, or the waking thread sees that it must write. Acquire and release order the
//! work scheduled before the wake with the loop's next look at its queue; the GIL, taken in between, does so too.
//!
//! Loom tests this file (`tests/bell.rs`).

use crate::sync::{AtomicU8, Ordering};

const AWAKE: u8 = 0;
const SPINNING: u8 = 1;
const ASLEEP: u8 = 2;

/// How one loop waits.
#[derive(Debug)]
pub struct SleepState(AtomicU8);

impl Default for SleepState {
    fn default() -> Self {
        Self(AtomicU8::new(AWAKE))
    }
}

impl SleepState {
    /// Begins to wait. Call it with the GIL held and nothing ready, and look at the bells after it.
    pub fn spin(&self) {
        // Not a store: it acquires what was written before each earlier `wake_unseen`.
        self.0.swap(SPINNING, Ordering::AcqRel);
    }

    /// Whether `wake` was not called since `spin`.
    pub fn is_waiting(&self) -> bool {
        self.0.load(Ordering::Acquire) != AWAKE
    }

    /// Moves on to the system call. False if `wake` was called already.
    #[must_use]
    pub fn fall_asleep(&self) -> bool {
        self.0.compare_exchange(SPINNING, ASLEEP, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Ends the wait. True if another thread ended it before.
    pub fn end_wait(&self) -> bool {
        self.0.swap(AWAKE, Ordering::AcqRel) == AWAKE
    }

    /// `wake` for a thread without the GIL: the loop's next `spin`, if it comes later, sees what was written before this.
    #[must_use]
    pub(crate) fn wake_unseen(&self) -> bool {
        self.0.swap(AWAKE, Ordering::AcqRel) == ASLEEP
    }

    /// Wakes the loop, for a thread that holds the GIL. True if the caller must write to the waker.
    #[must_use]
    pub fn wake(&self) -> bool {
        // Most calls find the loop running: they write no shared memory.
        self.is_waiting() && self.0.swap(AWAKE, Ordering::AcqRel) == ASLEEP
    }
}
