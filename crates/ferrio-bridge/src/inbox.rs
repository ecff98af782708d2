//! What other threads send to a loop, without the interpreter's lock.
//!
//! A sender pushes into a list and, if it is the first since the loop last took it, writes a byte into a socket whose
//! other end the loop reads. So a thousand results of a thread pool cost one wake-up, and a thread that outlives the
//! interpreter never touches it.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;

use crate::forks;
use crate::messages::{Messages, Signal};
use crate::task_waker::TaskWaker;

pub(crate) enum Message {
    Wake(Arc<TaskWaker>),
    Run(Box<dyn FnOnce(Python<'_>) -> PyResult<()> + Send>),
    /// A future of the loop's thread was given up on another thread.
    DropAbandoned,
}

pub(crate) struct Inbox {
    messages: Messages<Message, Sockets>,
    /// The number of the thread that last ran the loop.
    thread: AtomicU64,
}

pub(crate) struct Sockets {
    sender: UnixStream,
    receiver: UnixStream,
}

impl Sockets {
    fn new() -> io::Result<Self> {
        let (sender, receiver) = UnixStream::pair()?;
        sender.set_nonblocking(true)?;
        receiver.set_nonblocking(true)?;
        Ok(Self { sender, receiver })
    }

    pub(crate) fn descriptor(&self) -> i32 {
        self.receiver.as_raw_fd()
    }
}

impl Signal for Sockets {
    fn give(&self) {
        // Fails only if the socket is full, and then the loop wakes anyway.
        let _ = (&self.sender).write(&[0]);
    }

    fn clear(&self) {
        // One byte for each time that the list was empty.
        while matches!((&self.receiver).read(&mut [0; 64]), Ok(64)) {}
    }
}

impl Inbox {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { messages: Messages::new(Sockets::new()?), thread: AtomicU64::new(0) })
    }

    /// Replaces the sockets, which a parent process shares, and returns them; None if the loop is closed.
    pub(crate) fn renew(&self) -> io::Result<Option<Sockets>> {
        Ok(self.messages.replace_signal(Sockets::new()?))
    }

    /// The descriptor that is readable while there are messages; None once the loop is closed.
    pub(crate) fn descriptor(&self) -> Option<i32> {
        self.messages.with_signal(Sockets::descriptor)
    }

    /// Notes the thread that runs the loop.
    pub(crate) fn set_thread(&self, thread: u64) {
        // Relaxed: a thread only compares it with its own number, which it wrote itself.
        self.thread.store(thread, Ordering::Relaxed);
    }

    pub(crate) fn is_on_thread(&self, thread: u64) -> bool {
        // Relaxed: as above.
        self.thread.load(Ordering::Relaxed) == thread
    }

    /// Sends `message`, or gives it back if the loop is closed.
    pub(crate) fn push(&self, message: Message) -> Result<(), Message> {
        let _passing = forks::pass();
        self.push_while_passing(message)
    }

    /// The same, by a thread that passes the gate.
    pub(crate) fn push_while_passing(&self, message: Message) -> Result<(), Message> {
        self.messages.push(message)
    }

    /// Takes all messages, on the loop's thread.
    pub(crate) fn take(&self) -> Vec<Message> {
        self.messages.take()
    }

    /// Takes no more messages; returns those that were not run.
    pub(crate) fn close(&self) -> Vec<Message> {
        self.messages.close()
    }
}
