//! Child processes: notices when one has ended.
//!
//! Each child is watched by itself: no signal handler is set, and other code's children are never waited for. A
//! [`Watch`] becomes readable when its child ends: it is a pidfd, or, where there is none, a pipe that a waiting thread
//! writes to when the child has ended. Neither reaps the child: that is left to the code that started it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions};

use crate::{socket, waker};

/// Watches one child process: readable once it has ended. Not inherited by programs that are executed.
#[derive(Debug)]
pub struct Watch(OwnedFd);

impl Watch {
    /// Begins to watch the child, by the best means the system has.
    ///
    /// # Errors
    ///
    /// `ECHILD` if `pid` is not a child's number, `EMFILE` and the like if no descriptor is free.
    pub fn new(pid: i32) -> io::Result<Self> {
        let process = process(pid)?;
        match Self::by_descriptor(process) {
            // An old kernel or a sandbox; or other code has reaped the child, which the thread will find out.
            Err(error) if !socket::is_out_of_resources(&error) => Self::portable(pid),
            outcome => outcome,
        }
    }

    /// A watch on no child, whose descriptor is only a number: whoever has it does not poll it.
    ///
    /// # Errors
    ///
    /// `EMFILE` and the like if no descriptor is free.
    pub fn of_nobody() -> io::Result<Self> {
        Ok(Self(waker::pipe()?.0))
    }

    /// Begins to watch the child by the means that work on every system: a thread that waits for it.
    pub fn portable(pid: i32) -> io::Result<Self> {
        let process = process(pid)?;
        let (reader, writer) = waker::pipe()?;
        let body = move || {
            wait(process);
            // An empty pipe has space for a byte, and if the other end is closed there is no reader left to wake.
            let _ = rustix::io::write(&writer, &[0]);
        };
        std::thread::Builder::new().name(format!("waitid-{pid}")).spawn(body)?;
        Ok(Self(reader))
    }

    #[cfg(target_os = "linux")]
    fn by_descriptor(process: Pid) -> io::Result<Self> {
        Ok(Self(rustix::process::pidfd_open(process, rustix::process::PidfdFlags::empty())?))
    }

    #[cfg(not(target_os = "linux"))]
    fn by_descriptor(_process: Pid) -> io::Result<Self> {
        Err(Errno::NOSYS.into())
    }

    /// Kills the child, if it runs; the process is certain even if its number is reused.
    ///
    /// # Errors
    ///
    /// `EPERM` if it runs as another user; `EBADF` or `ENOSYS` where there are no pidfds.
    pub fn kill(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        return match rustix::process::pidfd_send_signal(&self.0, rustix::process::Signal::KILL) {
            Err(Errno::SRCH) => Ok(()),
            outcome => Ok(outcome?),
        };
        #[cfg(not(target_os = "linux"))]
        return Err(Errno::NOSYS.into());
    }

    /// The descriptor for the poller.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits until the child has ended, or other code has reaped it, and leaves its status to be reaped.
fn wait(process: Pid) {
    // Python's signal handlers do not run in a thread that Python did not start, so an interrupted wait simply starts
    // again.
    let wait = || rustix::process::waitid(WaitId::Pid(process), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
    while matches!(wait(), Err(Errno::INTR)) {}
}

fn process(pid: i32) -> io::Result<Pid> {
    Some(pid).filter(|pid| *pid > 0).and_then(Pid::from_raw).ok_or_else(|| Errno::CHILD.into())
}
