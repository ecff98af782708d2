//! What other threads send to a loop, without the interpreter's lock.
//!
//! A sender pushes into a list and, if it is the first since the loop last took it, writes a byte into a socket whose
//! other end the loop reads. So a thousand results of a thread pool cost one wake-up, and a thread that outlives the
//! interpreter never touches it.

use std::io::{self, Read, Write};
use std::mem;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use pyo3::prelude::*;

use crate::forks;
use crate::task_waker::TaskWaker;

pub(crate) enum Message {
    Wake(Arc<TaskWaker>),
    Run(Box<dyn FnOnce(Python<'_>) -> PyResult<()> + Send>),
    /// A future of the loop's thread was given up on another thread.
    DropAbandoned,
}

pub(crate) struct Inbox {
    list: Mutex<List>,
    /// The number of the thread that last ran the loop.
    thread: AtomicU64,
}

struct List {
    messages: Vec<Message>,
    /// None once the loop is closed.
    sockets: Option<Sockets>,
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

    fn signal(&self) {
        // Fails only if the socket is full, and then the loop wakes anyway.
        let _ = (&self.sender).write(&[0]);
    }
}

impl Inbox {
    pub(crate) fn new() -> io::Result<Self> {
        let list = List { messages: Vec::new(), sockets: Some(Sockets::new()?) };
        Ok(Self { list: Mutex::new(list), thread: AtomicU64::new(0) })
    }

    /// Replaces the sockets, which a parent process shares, and returns them; None if the loop is closed.
    pub(crate) fn renew(&self) -> io::Result<Option<Sockets>> {
        let mut list = self.lock();
        let has_messages = !list.messages.is_empty();
        let Some(sockets) = &mut list.sockets else { return Ok(None) };
        let before = mem::replace(sockets, Sockets::new()?);
        if has_messages {
            sockets.signal();
        }
        Ok(Some(before))
    }

    /// The descriptor that is readable while there are messages; None once the loop is closed.
    pub(crate) fn descriptor(&self) -> Option<i32> {
        self.lock().sockets.as_ref().map(Sockets::descriptor)
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
        let mut list = self.lock();
        let Some(sockets) = &list.sockets else { return Err(message) };
        if list.messages.is_empty() {
            sockets.signal();
        }
        list.messages.push(message);
        Ok(())
    }

    /// Takes all messages, on the loop's thread.
    pub(crate) fn take(&self) -> Vec<Message> {
        let mut list = self.lock();
        if let Some(sockets) = &list.sockets {
            // One byte for each time that the list was empty, which the loop empties here.
            while matches!((&sockets.receiver).read(&mut [0; 64]), Ok(64)) {}
        }
        mem::take(&mut list.messages)
    }

    /// Takes no more messages; returns those that were not run.
    pub(crate) fn close(&self) -> Vec<Message> {
        let mut list = self.lock();
        let sockets = list.sockets.take();
        let messages = mem::take(&mut list.messages);
        drop(list);
        drop(sockets);
        messages
    }

    /// No Python code runs under this lock.
    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().expect("no code panics under this lock")
    }
}
