//! How deep a loop sleeps, and so what it takes to wake it.
//!
//! States: *awake* (nothing to do), *dozing* (looking for events again and again, without the GIL; seeing this value
//! change is enough), *asleep* (in the system call; the waker has to be written to). The loop's thread moves it from
//! awake to dozing and from dozing to asleep; any thread moves it to awake. Swapping decides each race: either the
//! loop's step to asleep fails, or whoever wakes sees that it must write. Acquire and release order what was scheduled
//! before the wake with the loop's next look at its queue; the GIL, taken in between, does so too.

use std::sync::atomic::{AtomicU8, Ordering};

const AWAKE: u8 = 0;
const DOZING: u8 = 1;
const ASLEEP: u8 = 2;

/// The state of one loop's rest.
#[derive(Default)]
pub struct Rest(AtomicU8);

impl Rest {
    /// Begins to rest: to be called with the GIL held and nothing ready.
    pub fn doze(&self) {
        self.0.store(DOZING, Ordering::Release);
    }

    /// Whether nobody has called since `doze`.
    pub fn undisturbed(&self) -> bool {
        self.0.load(Ordering::Acquire) != AWAKE
    }

    /// The step to the system call. False if somebody has called already.
    #[must_use]
    pub fn fall_asleep(&self) -> bool {
        self.0.compare_exchange(DOZING, ASLEEP, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Ends the rest. True if another thread ended it before.
    pub fn rise(&self) -> bool {
        self.0.swap(AWAKE, Ordering::AcqRel) == AWAKE
    }

    /// Calls the sleeper. True if the waker has to be written to.
    #[must_use]
    pub(crate) fn wake(&self) -> bool {
        // A loop that runs is called most often: no write to shared memory then.
        self.undisturbed() && self.0.swap(AWAKE, Ordering::AcqRel) == ASLEEP
    }
}
