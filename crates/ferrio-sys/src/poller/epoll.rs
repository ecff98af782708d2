//! The poller of Linux: epoll, which fulfils the whole contract by itself.
//!
//! Timeouts are exact to the nanosecond because rustix, built with its `linux_5_11` feature, calls `epoll_pwait2`
//! alone. Where that call is missing, or forbidden by a sandbox, [`Epoll::new`] detects it and returns None.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use super::{Events, Interest, Mode, Readiness, Token};
use crate::descriptor;

/// Events fetched in one call, into a buffer on the stack: the kernel's event type must not be kept, because it can
/// hold a pointer.
const BATCH: usize = 512;

/// The longest timeout, 68 years, so that no kernel's limit matters.
const LONGEST: Duration = Duration::from_secs(i32::MAX as u64);

#[derive(Debug)]
pub(super) struct Epoll {
    descriptor: OwnedFd,
}

impl Epoll {
    /// An epoll descriptor, or None if it could not wait to the nanosecond.
    pub(super) fn new() -> io::Result<Option<Self>> {
        // The answer to one system call of this process holds for the next ones.
        static SUPPORTED: OnceLock<bool> = OnceLock::new();
        let epoll = Self { descriptor: epoll::create(CreateFlags::CLOEXEC)? };
        let supported = *SUPPORTED.get_or_init(|| {
            let mut buffer = [MaybeUninit::<Event>::uninit(); 1];
            epoll::wait(&epoll.descriptor, &mut buffer, Some(&Timespec::default())).is_ok()
        });
        Ok(supported.then_some(epoll))
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    pub(super) fn add(&self, fd: RawFd, token: Token, interest: Interest, mode: Mode) -> io::Result<()> {
        let source = descriptor::borrow(fd)?;
        Ok(epoll::add(&self.descriptor, source, EventData::new_u64(token.0), flags(interest, mode))?)
    }

    pub(super) fn modify(&self, fd: RawFd, token: Token, interest: Interest, mode: Mode) -> io::Result<()> {
        let source = descriptor::borrow(fd)?;
        Ok(epoll::modify(&self.descriptor, source, EventData::new_u64(token.0), flags(interest, mode))?)
    }

    pub(super) fn remove(&self, fd: RawFd) -> io::Result<()> {
        Ok(epoll::delete(&self.descriptor, descriptor::borrow(fd)?)?)
    }

    pub(super) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(|timeout| Timespec::try_from(timeout.min(LONGEST)).unwrap_or_default());
        let mut buffer = [MaybeUninit::<Event>::uninit(); BATCH];
        let capacity = events.ready.capacity().min(BATCH);
        let (received, _) = epoll::wait(&self.descriptor, &mut buffer[..capacity], timeout.as_ref())?;
        events.ready.extend(received.iter().map(|event| (Token(event.data.u64()), readiness(event.flags))));
        Ok(())
    }
}

fn flags(interest: Interest, mode: Mode) -> EventFlags {
    let mut flags = match mode {
        Mode::Level => EventFlags::empty(),
        Mode::Edge => EventFlags::ET | EventFlags::RDHUP,
        Mode::Once => EventFlags::ONESHOT,
    };
    flags.set(EventFlags::IN, interest.contains(Interest::READABLE));
    flags.set(EventFlags::OUT, interest.contains(Interest::WRITABLE));
    flags
}

fn readiness(flags: EventFlags) -> Readiness {
    Readiness::READABLE.when(flags.contains(EventFlags::IN))
        | Readiness::WRITABLE.when(flags.contains(EventFlags::OUT))
        | Readiness::HANGUP.when(flags.intersects(EventFlags::HUP | EventFlags::RDHUP))
        | Readiness::ERROR.when(flags.contains(EventFlags::ERR))
}
