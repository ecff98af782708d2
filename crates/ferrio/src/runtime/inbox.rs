//! The inbox: what other threads want the runtime's thread to do, and whether they have to wake it.
//!
//! Invariants: an item that is pushed is taken; a thread that finds the runtime asleep, and only the first that does, is
//! told to wake it. Whether the runtime sleeps is decided under the same mutex under which items are pushed, so that no
//! wake-up falls between the last look and the sleep. The mutex is locked for the length of a push or a swap and never
//! while foreign code runs. A runtime with work at hand does not lock it: one load tells that nothing came.
//!
//! Loom tests this file (`tests/inbox.rs`).

use std::sync::PoisonError;

use super::sync::{AtomicBool, Mutex, MutexGuard, Ordering};

/// Items pushed by any thread, taken by one.
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    contents: Mutex<Contents<T>>,
    /// Whether something was pushed since the last [`Inbox::take`]. A hint for a runtime that is awake and looks again
    /// in its next turn; before it sleeps it looks under the mutex.
    is_filled: AtomicBool,
}

#[derive(Debug)]
struct Contents<T> {
    items: Vec<T>,
    /// The runtime waits for events, or is about to, and no thread has been told to wake it.
    is_asleep: bool,
    is_closed: bool,
}

/// The outcome of a push.
#[must_use = "a sleeping runtime has to be woken"]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pushed<T> {
    /// The runtime is awake, or another thread wakes it.
    Awake,
    /// The caller has to wake the runtime.
    Asleep,
    /// The runtime is gone; the item comes back.
    Closed(T),
}

impl<T> Inbox<T> {
    /// An empty inbox.
    pub(crate) fn new() -> Self {
        let contents = Contents { items: Vec::new(), is_asleep: false, is_closed: false };
        Self { contents: Mutex::new(contents), is_filled: AtomicBool::new(false) }
    }

    /// Adds `item` behind all others.
    pub(crate) fn push(&self, item: T) -> Pushed<T> {
        let mut contents = self.lock();
        if contents.is_closed {
            return Pushed::Closed(item);
        }
        contents.items.push(item);
        // Release: who sees the hint sees what the pushing thread did before.
        self.is_filled.store(true, Ordering::Release);
        if std::mem::take(&mut contents.is_asleep) { Pushed::Asleep } else { Pushed::Awake }
    }

    /// Moves all items to `target`, in the order they came.
    pub(crate) fn take(&self, target: &mut Vec<T>) {
        if !self.is_filled.load(Ordering::Acquire) {
            return;
        }
        let mut contents = self.lock();
        self.is_filled.store(false, Ordering::Relaxed);
        target.append(&mut contents.items);
    }

    /// Records that the runtime is about to sleep; false if it must not, because there are items.
    #[must_use]
    pub(crate) fn fall_asleep(&self) -> bool {
        let mut contents = self.lock();
        contents.is_asleep = contents.items.is_empty();
        contents.is_asleep
    }

    /// Records that the runtime is awake again.
    pub(crate) fn wake_up(&self) {
        self.lock().is_asleep = false;
    }

    /// Accepts no further items, and returns those that were not taken.
    #[must_use = "dropping the items here is what this method is there to avoid"]
    pub(crate) fn close(&self) -> Vec<T> {
        let mut contents = self.lock();
        contents.is_closed = true;
        std::mem::take(&mut contents.items)
    }

    fn lock(&self) -> MutexGuard<'_, Contents<T>> {
        // Nothing here panics while it is locked.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a task is in the ready queue or the inbox, or on its way there.
///
/// Invariant: after a wake-up the task's next step begins after the wake-up; a thread that finds the flag set relies on
/// a step that has not begun. Both sides swap, so that the step sees all that was written before any of the wake-ups
/// that it answers.
#[derive(Debug)]
pub(crate) struct ScheduledFlag(AtomicBool);

impl ScheduledFlag {
    /// The flag of a task that is in the ready queue.
    pub(crate) fn scheduled() -> Self {
        Self(AtomicBool::new(true))
    }

    /// Records a wake-up; true if the caller has to queue the task.
    #[inline]
    #[must_use]
    pub(crate) fn schedule(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// Records that a step begins: later wake-ups queue the task again.
    #[inline]
    pub(crate) fn begin_step(&self) {
        self.0.swap(false, Ordering::AcqRel);
    }
}
