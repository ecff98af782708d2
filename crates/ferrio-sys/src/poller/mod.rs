//! The poller: waits until one of many descriptors is ready.
//!
//! One contract, one file per system:
//!
//! - A descriptor is watched once, with a token that is returned with its events, an interest and a mode.
//! - *Level*: reported in each wait as long as it is ready. *Edge*: reported when it becomes ready; the caller reads or
//!   writes until the system refuses or transfers less than requested, and then calls [`Poller::drained`].
//! - Errors and hang-ups are reported whatever the interest is. False alarms are allowed, missed events are not.
//! - A wait never ends before its timeout unless there is something to report.
//! - Adding a descriptor that is watched fails with `EEXIST`, changing or removing one that is not with `ENOENT`: a
//!   descriptor that was closed without a removal may be reused under the same number, and only the caller can tell.
//!   Regular files fail with `EPERM`: they are always ready.
//! - After a fork the parent's poller is of no use to the child ([`Poller::is_inherited`]): it takes no changes, sees
//!   nothing and does not wait, see [`crate::fork`]. The child makes one of its own.
//!
//! Linux uses epoll (`epoll.rs`); kernels before 5.11 have no nanosecond timeouts there and use the portable one, as do
//! all other systems for now, macOS among them: `poll` (`poll.rs`). On Linux [`Poller::portable`] returns it too, so
//! that it is tested.

#[cfg(target_os = "linux")]
mod epoll;
mod poll;

use std::io;
use std::ops::{BitOr, BitOrAssign};
use std::os::fd::RawFd;
use std::time::Duration;

use rustix::io::Errno;

use crate::fork;

/// Names a registration in its events; the poller does not interpret it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(pub u64);

/// The directions to report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest(u8);

impl Interest {
    /// No direction: only errors and hang-ups are reported.
    pub const NONE: Self = Self(0);
    /// There is something to read, or a connection to accept.
    pub const READABLE: Self = Self(1);
    /// There is space to write, or a connection is made.
    pub const WRITABLE: Self = Self(2);

    /// Whether it includes all directions of `other`.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether it includes no direction.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for Interest {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// When to report a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In each wait, as long as it is ready.
    Level,
    /// Once, when it becomes ready.
    Edge,
    /// Once; then the descriptor is known but not watched, until it is modified.
    Once,
}

/// What a descriptor is ready for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness(u8);

impl Readiness {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// There is something to read, or a connection to accept.
    pub const READABLE: Self = Self(1);
    /// There is space to write, or a connection is made.
    pub const WRITABLE: Self = Self(2);
    /// The other side has closed its end, or its writing half of it; what it wrote before may still be there to read.
    pub const HANGUP: Self = Self(4);
    /// There is an error to fetch.
    pub const ERROR: Self = Self(8);

    /// Whether it includes all of `other`.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether it is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// As a number, for a caller that stores it.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0 as u32
    }

    /// From the result of [`Readiness::bits`].
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self((bits & 15) as u8)
    }

    /// Whether reading would not wait: for data, the end of data or an error.
    #[must_use]
    pub const fn wakes_reader(self) -> bool {
        self.0 & !Self::WRITABLE.0 != 0
    }

    /// Whether writing would not wait: for space or an error.
    #[must_use]
    pub const fn wakes_writer(self) -> bool {
        self.0 & !Self::READABLE.0 != 0
    }

    /// `self` if `condition` holds, else nothing.
    const fn when(self, condition: bool) -> Self {
        if condition { self } else { Self::NONE }
    }
}

impl BitOr for Readiness {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Readiness {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// The events of one wait.
#[derive(Debug)]
pub struct Events {
    /// Its capacity, never zero, is the most events that one system call fetches.
    ready: Vec<(Token, Readiness)>,
}

impl Events {
    /// Space for the events of one wait. A system call that can fetch some events only fetches at most `limit`, and the
    /// rest come with the next wait; one that reports all at once may return more.
    #[must_use]
    pub fn with_capacity(limit: usize) -> Self {
        Self { ready: Vec::with_capacity(limit.max(1)) }
    }

    /// The registrations that are ready and what for.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Token, Readiness)> {
        self.ready.iter().copied()
    }

    /// How many registrations are ready.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ready.len()
    }

    /// Whether the wait has reported nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Removes all events.
    pub fn clear(&mut self) {
        self.ready.clear();
    }
}

/// Watches descriptors.
#[derive(Debug)]
pub struct Poller {
    system: System,
    /// The fork generation of the process that made it.
    generation: u32,
}

#[derive(Debug)]
enum System {
    #[cfg(target_os = "linux")]
    Epoll(epoll::Epoll),
    Poll(poll::Poll),
}

impl Poller {
    /// The best poller that the system has.
    pub fn new() -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if let Some(epoll) = epoll::Epoll::new()? {
            return Ok(Self { system: System::Epoll(epoll), generation: fork::generation() });
        }
        Self::portable()
    }

    /// The poller that works on every system.
    ///
    /// # Errors
    ///
    /// It never fails today; the signature is that of [`Poller::new`].
    pub fn portable() -> io::Result<Self> {
        Ok(Self { system: System::Poll(poll::Poll::new()), generation: fork::generation() })
    }

    /// Begins to watch `fd`.
    ///
    /// # Errors
    ///
    /// `EEXIST` if it is watched already, `EPERM` for a regular file or directory, `EBADF` if it is not open.
    pub fn add(&self, fd: RawFd, token: Token, interest: Interest, mode: Mode) -> io::Result<()> {
        if self.is_inherited() {
            return Ok(());
        }
        match &self.system {
            #[cfg(target_os = "linux")]
            System::Epoll(epoll) => epoll.add(fd, token, interest, mode),
            System::Poll(poll) => poll.add(fd, token, interest, mode),
        }
    }

    /// Watches `fd` differently from now on. Directions of the new interest that are ready are reported, by edge too.
    ///
    /// # Errors
    ///
    /// `ENOENT` if it is not watched, `EBADF` if it is not open.
    pub fn modify(&self, fd: RawFd, token: Token, interest: Interest, mode: Mode) -> io::Result<()> {
        if self.is_inherited() {
            return Ok(());
        }
        match &self.system {
            #[cfg(target_os = "linux")]
            System::Epoll(epoll) => epoll.modify(fd, token, interest, mode),
            System::Poll(poll) => poll.modify(fd, token, interest, mode),
        }
    }

    /// Stops watching `fd`.
    ///
    /// # Errors
    ///
    /// `ENOENT` if it is not watched, `EBADF` if it is not open.
    pub fn remove(&self, fd: RawFd) -> io::Result<()> {
        if self.is_inherited() {
            return Ok(());
        }
        match &self.system {
            #[cfg(target_os = "linux")]
            System::Epoll(epoll) => epoll.remove(fd),
            System::Poll(poll) => poll.remove(fd),
        }
    }

    /// Records that `fd`, watched by edge, is not ready any more in these directions, so that the next edge is
    /// reported.
    #[inline]
    pub fn drained(&self, fd: RawFd, interest: Interest) {
        match &self.system {
            // Epoll detects edges itself.
            #[cfg(target_os = "linux")]
            System::Epoll(_) => {}
            // A thread of the parent may have held its lock at the fork.
            System::Poll(_) if self.is_inherited() => {}
            System::Poll(poll) => poll.drained(fd, interest),
        }
    }

    /// Waits until something is ready, but not longer than `timeout`, and fills `events` with it.
    ///
    /// # Errors
    ///
    /// `EINTR` if a signal came in between; `events` is empty then, as after any other error.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.ready.clear();
        if self.is_inherited() {
            // Its events belong to the parent: fetching one by edge would take it away from there.
            return Ok(());
        }
        match &self.system {
            #[cfg(target_os = "linux")]
            System::Epoll(epoll) => epoll.wait(events, timeout),
            System::Poll(poll) => poll.wait(events, timeout),
        }
    }

    /// Its own descriptor, where it has one.
    #[must_use]
    pub fn descriptor(&self) -> Option<RawFd> {
        match &self.system {
            #[cfg(target_os = "linux")]
            System::Epoll(epoll) => Some(epoll.descriptor()),
            System::Poll(_) => None,
        }
    }

    /// Whether this process has inherited the poller by a fork, so that its registrations are the parent's.
    #[inline]
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        self.generation != fork::generation()
    }
}

/// Whether a poller refused a descriptor because it is not open, or belongs to a file that is always ready.
#[must_use]
pub fn is_unwatchable(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::BADF | Errno::PERM))
}

#[cfg(test)]
mod tests;
