//! The I/O driver: polls, and tells the sources of events.
//!
//! A source is watched by edge for both directions from its creation to its end, so that no wait costs a system call.
//! It remembers that a direction is ready until an operation finds that it is not. Events are only taken in between
//! tasks, so none comes between a refused operation and the note of it.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ferrio_engine::{Change, Registrations};
use ferrio_sys::{Events, Interest, Mode, Poller, Readiness, Token};

use super::waking::wake;

/// The most events that one poll fetches; the rest come with the next.
const EVENTS: usize = 256;

/// The token of the pipe that ends a wait; registrations have a descriptor in the lower half, never this one.
const PIPE: Token = Token(u64::MAX);

/// A direction of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// A watched descriptor.
#[derive(Debug)]
pub(crate) struct Source {
    fd: RawFd,
    reader: Side,
    writer: Side,
}

#[derive(Debug)]
struct Side {
    /// Nothing is known against it: an operation is worth a try.
    is_ready: Cell<bool>,
    wakers: RefCell<Vec<Waker>>,
}

impl Side {
    const fn new() -> Self {
        Self { is_ready: Cell::new(true), wakers: RefCell::new(Vec::new()) }
    }

    fn set_ready(&self) {
        self.is_ready.set(true);
        let wakers = self.wakers.take();
        wakers.into_iter().for_each(wake);
    }
}

impl Source {
    /// Ready once an operation in this direction is worth a try.
    pub(crate) fn poll_ready(&self, direction: Direction, context: &Context<'_>) -> Poll<()> {
        let side = self.side(direction);
        if side.is_ready.get() {
            return Poll::Ready(());
        }
        let mut wakers = side.wakers.borrow_mut();
        if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            wakers.push(context.waker().clone());
        }
        Poll::Pending
    }

    /// Wakes all who wait, because the source ends.
    fn wake_all(&self) {
        self.reader.set_ready();
        self.writer.set_ready();
    }

    const fn side(&self, direction: Direction) -> &Side {
        match direction {
            Direction::Read => &self.reader,
            Direction::Write => &self.writer,
        }
    }

    fn handle_readiness(&self, readiness: Readiness) {
        if readiness.wakes_reader() {
            self.reader.set_ready();
        }
        if readiness.wakes_writer() {
            self.writer.set_ready();
        }
    }
}

/// The poller with all that is registered.
pub(crate) struct IoDriver {
    poller: Poller,
    events: Events,
    registrations: Registrations<Rc<Source>>,
}

impl IoDriver {
    /// A driver that watches the pipe.
    pub(crate) fn new(pipe: &ferrio_sys::Waker) -> io::Result<Self> {
        let poller = Poller::new()?;
        poller.add(pipe.read_fd(), PIPE, Interest::READABLE, Mode::Level)?;
        Ok(Self { poller, events: Events::with_capacity(EVENTS), registrations: Registrations::new() })
    }

    /// Begins to watch `fd`.
    pub(crate) fn register(&mut self, fd: RawFd) -> io::Result<Rc<Source>> {
        let source = Rc::new(Source { fd, reader: Side::new(), writer: Side::new() });
        let registered = self.registrations.set_stream(fd, Rc::clone(&source));
        if let Err(error) = self.carry_out(fd, registered.change) {
            drop(self.registrations.roll_back(fd, ferrio_engine::Role::Stream));
            return Err(error);
        }
        // A descriptor that was closed without a deregistration; its readers have to see the error.
        registered.replaced.into_iter().flatten().for_each(|source| source.wake_all());
        Ok(source)
    }

    /// Stops watching the source's descriptor.
    pub(crate) fn deregister(&mut self, source: &Rc<Source>) {
        let is_current = self.registrations.get(source.fd).and_then(|entry| entry.stream());
        if is_current.is_some_and(|current| Rc::ptr_eq(current, source)) {
            let removed = self.registrations.remove_stream(source.fd);
            // It is no error if the descriptor was closed: the system has forgotten it.
            let _ = self.carry_out(source.fd, removed.change);
        }
    }

    /// Records that an operation in this direction was refused.
    pub(crate) fn drained(&self, source: &Source, direction: Direction) {
        source.side(direction).is_ready.set(false);
        let interest = match direction {
            Direction::Read => Interest::READABLE,
            Direction::Write => Interest::WRITABLE,
        };
        self.poller.drained(source.fd, interest);
    }

    /// How many descriptors are watched, the pipe among them.
    pub(crate) fn watched(&self) -> usize {
        self.registrations.count() + 1
    }

    /// Waits for events, and adds the sources that have some to `found`. True if the pipe has ended the wait.
    pub(crate) fn wait(
        &mut self,
        timeout: Option<Duration>,
        found: &mut Vec<(Rc<Source>, Readiness)>,
    ) -> io::Result<bool> {
        match self.poller.wait(&mut self.events, timeout) {
            // A signal: its handler has written to a pipe of its own.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(false),
            outcome => outcome?,
        }
        let mut is_woken = false;
        for (token, readiness) in self.events.iter() {
            if token == PIPE {
                is_woken = true;
            } else if let Some(source) = self.registrations.lookup(token.0).and_then(|entry| entry.stream()) {
                found.push((Rc::clone(source), readiness));
            }
        }
        Ok(is_woken)
    }

    fn carry_out(&self, fd: RawFd, change: Change) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        match change {
            Change::None => Ok(()),
            Change::Add(entry) => self.poller.add(fd, Token(entry.token), both, Mode::Edge),
            Change::Modify(entry) => match self.poller.modify(fd, Token(entry.token), both, Mode::Edge) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.poller.add(fd, Token(entry.token), both, Mode::Edge)
                }
                outcome => outcome,
            },
            Change::Remove => self.poller.remove(fd),
        }
    }
}

/// Marks the sources ready and wakes who waits for them.
pub(crate) fn dispatch(found: Vec<(Rc<Source>, Readiness)>) {
    for (source, readiness) in found {
        source.handle_readiness(readiness);
    }
}
