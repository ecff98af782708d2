//! Wakers of tasks, and what a runtime shares with other threads.
//!
//! A waker is an `Arc` of a number and a flag, never of the future, which stays on its thread. So wakers may go
//! anywhere and be used at any time: the generation in the number tells a task from earlier ones in the same slot, and
//! a runtime that is gone takes no more wake-ups.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Wake;

use super::current;
use super::inbox::{Inbox, Pushed, ScheduledFlag};

/// Names a task: the number of its slot, and how often the slot was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl Key {
    /// The future that a run is for, which is in no slot.
    pub(crate) const MAIN: Self = Self { index: u32::MAX, generation: 0 };

    /// The same for the same task of the same program.
    pub(crate) fn number(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }
}

/// What another thread asks for.
pub(crate) enum Message {
    /// Queue this task.
    Wake(Key),
    /// Call this function.
    Call(Box<dyn FnOnce() + Send>),
    /// A job on another thread has ended.
    JobDone,
    /// End the run.
    Stop,
}

/// What a runtime shares with other threads.
pub(crate) struct Shared {
    inbox: Inbox<Message>,
    /// The pipe that ends a wait; made before the runtime first sleeps.
    pipe: OnceLock<ferrio_sys::Waker>,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self { inbox: Inbox::new(), pipe: OnceLock::new() }
    }

    pub(crate) const fn inbox(&self) -> &Inbox<Message> {
        &self.inbox
    }

    pub(crate) const fn pipe(&self) -> &OnceLock<ferrio_sys::Waker> {
        &self.pipe
    }

    /// Passes a message to the runtime; returns it if the runtime is gone.
    pub(crate) fn post(&self, message: Message) -> Result<(), Message> {
        match self.inbox.push(message) {
            Pushed::Awake => Ok(()),
            Pushed::Asleep => {
                // A full pipe counts as woken, and a pipe has no other error while both ends are open, as they are here.
                let _ = self.pipe.get().map(ferrio_sys::Waker::wake);
                Ok(())
            }
            Pushed::Closed(message) => Err(message),
        }
    }

    /// Queues the task: directly if the runtime runs on this thread, else through the inbox.
    fn queue(self: &Arc<Self>, key: Key) {
        if !current::queue_if_own(self, key) {
            // A runtime that is gone has dropped the task.
            let _ = self.post(Message::Wake(key));
        }
    }
}

/// What a waker refers to.
pub(crate) struct TaskWaker {
    flag: ScheduledFlag,
    index: u32,
    /// Changes when the slot is reused, and then no other reference exists.
    generation: AtomicU32,
    shared: Arc<Shared>,
}

impl TaskWaker {
    /// The waker of a task that the caller queues.
    pub(crate) fn new(key: Key, shared: &Arc<Shared>) -> Arc<Self> {
        let flag = ScheduledFlag::scheduled();
        let generation = AtomicU32::new(key.generation);
        Arc::new(Self { flag, index: key.index, generation, shared: Arc::clone(shared) })
    }

    /// Makes it the waker of the slot's next task, which the caller queues. Nobody else may have a reference.
    pub(crate) fn reuse(&self, generation: u32) {
        // Relaxed: other threads get it later, with the next task's waker.
        self.generation.store(generation, Ordering::Relaxed);
        let _ = self.flag.schedule();
    }

    #[inline]
    pub(crate) fn begin_step(&self) {
        self.flag.begin_step();
    }

    /// Queues the task, unless it is queued.
    #[inline]
    pub(crate) fn schedule(&self) {
        if self.flag.schedule() {
            self.shared.queue(Key { index: self.index, generation: self.generation.load(Ordering::Relaxed) });
        }
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.schedule();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.schedule();
    }
}
