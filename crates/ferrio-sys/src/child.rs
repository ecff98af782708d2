//! Child processes: being told that one has ended.
//!
//! Each child is watched by itself: no signal handler is set, and children of others are never waited for. A [`Watch`] becomes
//! readable when its child ends; where the system has none, [`wait`] blocks a thread instead. Neither takes the status from the
//! system: that is left to whoever started the child.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions};

/// Watches one child process: readable once it has ended. Not inherited by programs that are executed.
#[derive(Debug)]
pub struct Watch(OwnedFd);

impl Watch {
    /// Begins to watch the child.
    ///
    /// # Errors
    ///
    /// `ENOSYS` or `EPERM` where the system or a sandbox has no pidfd, `EMFILE` if there is no room for another descriptor, `ESRCH` if
    /// somebody has reaped the child already.
    #[cfg(target_os = "linux")]
    pub fn new(pid: i32) -> io::Result<Self> {
        Ok(Self(rustix::process::pidfd_open(process(pid)?, rustix::process::PidfdFlags::empty())?))
    }

    /// The system has nothing to watch a child by.
    #[cfg(not(target_os = "linux"))]
    pub fn new(_pid: i32) -> io::Result<Self> {
        Err(Errno::NOSYS.into())
    }

    /// The descriptor for the poller.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Waits until the child has ended and leaves its status to be reaped.
///
/// # Errors
///
/// `ECHILD` if somebody has reaped it.
pub fn wait(pid: i32) -> io::Result<()> {
    let pid = process(pid)?;
    loop {
        match rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Ok(_) => return Ok(()),
            // No signal handler of Python's runs in a thread that is none of its own.
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn process(pid: i32) -> io::Result<Pid> {
    Some(pid).filter(|pid| *pid > 0).and_then(Pid::from_raw).ok_or_else(|| Errno::CHILD.into())
}
