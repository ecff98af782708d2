//! What other threads send to a loop, without the interpreter's lock.
//!
//! A sender pushes into a list and, if it is the first since the loop last took it, rings: on a loop of ferrio's a bell,
//! which costs a system call only if the loop sleeps, on others by a byte into a socket whose other end the loop reads. So
//! a thousand results of a thread pool cost one wake-up, and a thread that outlives the interpreter never touches it.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ferrio_capsule::Bell;
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
    messages: Messages<Message, Knock>,
    /// The number of the thread that last ran the loop.
    thread: AtomicU64,
}

/// What tells the loop that there are messages.
pub(crate) enum Knock {
    /// The loop does not listen yet.
    Unheard,
    Bell(Bell),
    Sockets(Sockets),
}

/// What a loop listens to, to tell one from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ear {
    None,
    Bell,
    Descriptor(i32),
}

pub(crate) struct Sockets {
    sender: UnixStream,
    receiver: UnixStream,
}

impl Sockets {
    pub(crate) fn new() -> io::Result<Self> {
        let (sender, receiver) = UnixStream::pair()?;
        sender.set_nonblocking(true)?;
        receiver.set_nonblocking(true)?;
        Ok(Self { sender, receiver })
    }

    pub(crate) fn descriptor(&self) -> i32 {
        self.receiver.as_raw_fd()
    }
}

impl Knock {
    pub(crate) fn ear(&self) -> Ear {
        match self {
            Self::Unheard => Ear::None,
            Self::Bell(_) => Ear::Bell,
            Self::Sockets(sockets) => Ear::Descriptor(sockets.descriptor()),
        }
    }
}

impl Signal for Knock {
    fn give(&self) {
        match self {
            // It is given again once the loop listens.
            Self::Unheard => {}
            Self::Bell(bell) => bell.ring(),
            // Fails only if the socket is full, and then the loop wakes anyway.
            Self::Sockets(sockets) => drop((&sockets.sender).write(&[0])),
        }
    }

    fn clear(&self) {
        if let Self::Sockets(sockets) = self {
            // One byte for each time that the list was empty.
            while matches!((&sockets.receiver).read(&mut [0; 64]), Ok(64)) {}
        }
    }
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Self { messages: Messages::new(Knock::Unheard), thread: AtomicU64::new(0) }
    }

    /// Replaces what tells the loop, and returns it; None if the loop is closed.
    pub(crate) fn replace_knock(&self, knock: Knock) -> Option<Knock> {
        self.messages.replace_signal(knock)
    }

    /// What the loop listens to; None once it is closed.
    pub(crate) fn ear(&self) -> Option<Ear> {
        self.messages.with_signal(Knock::ear)
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
