//! Native threads of ferrio's own, which their owner ends before a fork and at exit.
//!
//! Invariant: after [`BackgroundThreads::join`] none of them runs, so that a fork copies a process without them.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::fork;
use crate::signals::without_signals;

/// Size in bytes of the stack of a thread that runs no Python.
pub(crate) const SMALL_STACK: usize = 256 * 1024;

/// Size in bytes of the stack of a thread on which the interpreter runs.
pub(crate) const LARGE_STACK: usize = 8 * 1024 * 1024;

/// The threads of one owner, which are of the process that made this.
#[derive(Debug)]
pub(crate) struct BackgroundThreads {
    threads: Mutex<Vec<JoinHandle<()>>>,
    generation: u32,
}

impl BackgroundThreads {
    /// No threads yet.
    pub(crate) fn new() -> Self {
        Self { threads: Mutex::default(), generation: fork::generation() }
    }

    /// Starts a thread that gets no signals.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(crate) fn spawn(&self, name: &str, stack: usize, code: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let started = without_signals(|| thread::Builder::new().name(name.into()).stack_size(stack).spawn(code))?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(started);
        Ok(())
    }

    /// Whether this is a forked child's copy: it has no such threads, and a thread of the parent may hold their locks.
    pub(crate) fn are_of_the_parent(&self) -> bool {
        self.generation != fork::generation()
    }

    /// Waits for the threads, which must have been told to end.
    pub(crate) fn join(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // None panics, and one that was parked at the interpreter's end is never joined.
            let _ = thread.join();
        }
    }
}
