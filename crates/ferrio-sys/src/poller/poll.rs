//! The portable poller: `poll` over all watched descriptors, in each wait.
//!
//! It keeps the registrations itself. Edges are emulated: a direction that was reported is not polled again until the
//! caller has used it up and calls [`Poll::drained`]; a hang-up is reported once. The registrations are locked only
//! between system calls, so that another thread can add one during a wait; that wait does not see it.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::RawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::FileType;
use rustix::io::Errno;

use super::{Events, Interest, Mode, Readiness, Token};
use crate::descriptor;

/// The longest single wait; systems without `ppoll` count milliseconds in 31 bits. Longer timeouts take several.
const LONGEST: Duration = Duration::from_secs(1_000_000);

/// How a peer that stops writing is reported, where the system can tell.
#[cfg(target_os = "linux")]
const HALF_CLOSED: PollFlags = PollFlags::RDHUP;
#[cfg(not(target_os = "linux"))]
const HALF_CLOSED: PollFlags = PollFlags::empty();

#[derive(Debug)]
pub(super) struct Poll {
    watched: Mutex<BTreeMap<RawFd, Watched>>,
}

#[derive(Clone, Copy, Debug)]
struct Watched {
    token: Token,
    mode: Mode,
    /// The directions that the caller wants reported.
    interest: Interest,
    /// The directions to poll: with edges, the part of `interest` that is not reported and undrained.
    armed: Interest,
    /// With edges: a hang-up or error was reported and is not polled again on its own.
    ended: bool,
}

impl Poll {
    pub(super) fn new() -> Self {
        Self { watched: Mutex::new(BTreeMap::new()) }
    }

    pub(super) fn add(&self, fd: RawFd, token: Token, interest: Interest, mode: Mode) -> io::Result<()> {
        let kind = FileType::from_raw_mode(rustix::fs::fstat(descriptor::borrow(fd)?)?.st_mode);
        if matches!(kind, FileType::RegularFile | FileType::Directory) {
            return Err(Errno::PERM.into());
        }
        let mut watched = self.watched();
        if watched.contains_key(&fd) {
            return Err(Errno::EXIST.into());
        }
        watched.insert(fd, Watched { token, mode, interest, armed: interest, ended: false });
        Ok(())
    }

    pub(super) fn modify(&self, fd: RawFd, token: Token, interest: Interest, mode: Mode) -> io::Result<()> {
        rustix::io::fcntl_getfd(descriptor::borrow(fd)?)?;
        match self.watched().get_mut(&fd) {
            Some(watched) => {
                *watched = Watched { token, mode, interest, armed: interest, ended: false };
                Ok(())
            }
            None => Err(Errno::NOENT.into()),
        }
    }

    pub(super) fn remove(&self, fd: RawFd) -> io::Result<()> {
        // Removed first: a descriptor that is closed already has to go, too.
        let watched = self.watched().remove(&fd);
        rustix::io::fcntl_getfd(descriptor::borrow(fd)?)?;
        match watched {
            Some(_) => Ok(()),
            None => Err(Errno::NOENT.into()),
        }
    }

    pub(super) fn drained(&self, fd: RawFd, interest: Interest) {
        if let Some(watched) = self.watched().get_mut(&fd) {
            let drained = watched.interest.without(watched.interest.without(interest));
            watched.armed = watched.armed | drained;
        }
    }

    pub(super) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let started = Instant::now();
        loop {
            let left = timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
            self.wait_once(events, left)?;
            if !events.is_empty() || left.is_some_and(|left| left.is_zero()) {
                return Ok(());
            }
        }
    }

    /// One call of `poll`. It may return early without events, when all that was ready was closed or is not watched any
    /// more.
    fn wait_once(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let asked: Vec<(RawFd, Watched)> =
            self.watched().iter().filter_map(|(fd, watched)| watched.flags().map(|_| (*fd, *watched))).collect();
        let mut polled = Vec::with_capacity(asked.len());
        for (fd, watched) in &asked {
            polled.push(PollFd::from_borrowed_fd(
                descriptor::borrow(*fd)?,
                watched.flags().unwrap_or(PollFlags::empty()),
            ));
        }
        let timeout = timeout.map(|timeout| Timespec::try_from(timeout.min(LONGEST)).unwrap_or_default());
        rustix::event::poll(&mut polled, timeout.as_ref())?;

        let mut watched = self.watched();
        for ((fd, before), polled) in asked.iter().zip(&polled) {
            let flags = polled.revents();
            if flags.is_empty() {
                continue;
            }
            // Another thread may have replaced the registration during the wait.
            let Some(now) = watched.get_mut(fd).filter(|now| now.token == before.token) else { continue };
            if flags.contains(PollFlags::NVAL) {
                // Closed without a removal; epoll drops it, too.
                watched.remove(fd);
                continue;
            }
            let readiness = readiness(flags);
            now.note_reported(readiness);
            events.ready.push((now.token, readiness));
        }
        Ok(())
    }

    fn watched(&self) -> MutexGuard<'_, BTreeMap<RawFd, Watched>> {
        // No code panics halfway through a change of the map.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    /// What to poll for, or None if nothing is left to report.
    fn flags(&self) -> Option<PollFlags> {
        if self.ended && self.armed.is_empty() {
            return None;
        }
        let mut flags = match self.mode {
            Mode::Edge if !self.ended => HALF_CLOSED,
            Mode::Edge | Mode::Level | Mode::Once => PollFlags::empty(),
        };
        flags.set(PollFlags::IN, self.armed.contains(Interest::READABLE));
        flags.set(PollFlags::OUT, self.armed.contains(Interest::WRITABLE));
        Some(flags)
    }

    fn note_reported(&mut self, readiness: Readiness) {
        match self.mode {
            Mode::Level => {}
            Mode::Once => {
                self.ended = true;
                self.armed = Interest::NONE;
            }
            Mode::Edge => {
                let ended = readiness.contains(Readiness::HANGUP) || readiness.contains(Readiness::ERROR);
                if ended {
                    self.ended = true;
                    self.armed = Interest::NONE;
                }
                if readiness.contains(Readiness::READABLE) {
                    self.armed = self.armed.without(Interest::READABLE);
                }
                if readiness.contains(Readiness::WRITABLE) {
                    self.armed = self.armed.without(Interest::WRITABLE);
                }
            }
        }
    }
}

fn readiness(flags: PollFlags) -> Readiness {
    Readiness::READABLE.when(flags.contains(PollFlags::IN))
        | Readiness::WRITABLE.when(flags.contains(PollFlags::OUT))
        | Readiness::HANGUP.when(flags.intersects(PollFlags::HUP | HALF_CLOSED))
        | Readiness::ERROR.when(flags.contains(PollFlags::ERR))
}
