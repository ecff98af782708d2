//! A list of messages that any thread adds to and one takes, with what wakes that one.
//!
//! Invariant: whenever there are messages, the signal was given since they were last taken.
//!
//! Loom tests this file (`tests/waker.rs`).

use crate::sync::{Mutex, MutexGuard};

/// What wakes the thread that takes the messages.
pub(crate) trait Signal {
    /// Wakes it, or makes its next wait end at once.
    fn give(&self);

    /// Forgets the signals given so far.
    fn clear(&self);
}

/// Messages, while the list is open.
pub(crate) struct Messages<M, S> {
    list: Mutex<List<M, S>>,
}

struct List<M, S> {
    messages: Vec<M>,
    /// None once it is closed.
    signal: Option<S>,
}

impl<M, S: Signal> Messages<M, S> {
    /// None so far.
    pub(crate) fn new(signal: S) -> Self {
        Self { list: Mutex::new(List { messages: Vec::new(), signal: Some(signal) }) }
    }

    /// Looks at the signal; None once the list is closed.
    pub(crate) fn with_signal<R>(&self, look: impl FnOnce(&S) -> R) -> Option<R> {
        self.lock().signal.as_ref().map(look)
    }

    /// Replaces the signal, unless the list is closed; returns the one before.
    pub(crate) fn replace_signal(&self, signal: S) -> Option<S> {
        let mut list = self.lock();
        let has_messages = !list.messages.is_empty();
        let current = list.signal.as_mut()?;
        let before = std::mem::replace(current, signal);
        if has_messages {
            current.give();
        }
        Some(before)
    }

    /// Adds a message, or gives it back if the list is closed.
    pub(crate) fn push(&self, message: M) -> Result<(), M> {
        let mut list = self.lock();
        let Some(signal) = &list.signal else { return Err(message) };
        if list.messages.is_empty() {
            signal.give();
        }
        list.messages.push(message);
        Ok(())
    }

    /// Takes all messages.
    pub(crate) fn take(&self) -> Vec<M> {
        let mut list = self.lock();
        if let Some(signal) = &list.signal {
            signal.clear();
        }
        std::mem::take(&mut list.messages)
    }

    /// Takes no more messages; returns those that are left.
    pub(crate) fn close(&self) -> Vec<M> {
        let mut list = self.lock();
        let signal = list.signal.take();
        let messages = std::mem::take(&mut list.messages);
        drop(list);
        drop(signal);
        messages
    }

    /// No Python code runs under this lock.
    fn lock(&self) -> MutexGuard<'_, List<M, S>> {
        self.list.lock().expect("no code panics under this lock")
    }
}
