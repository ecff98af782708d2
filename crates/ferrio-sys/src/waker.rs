//! The waker: ends a wait of the poller from another thread or from a signal handler.
//!
//! A non-blocking pipe whose read end the poller watches. A pipe, not an eventfd, because the same descriptor is Python's
//! `signal.set_wakeup_fd`, which writes the numbers of signals as single bytes; a wake-up is the byte 0, which is no signal.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

/// A pipe that ends a wait.
#[derive(Debug)]
pub struct Waker {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Waker {
    /// Opens the pipe.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = pipe()?;
        Ok(Self { reader, writer })
    }

    /// The end for the poller to watch.
    #[must_use]
    pub fn read_fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// The end for `signal.set_wakeup_fd`.
    #[must_use]
    pub fn write_fd(&self) -> RawFd {
        self.writer.as_raw_fd()
    }

    /// Makes the read end readable. A full pipe is as good as one byte more.
    pub fn wake(&self) -> io::Result<()> {
        loop {
            match rustix::io::write(&self.writer, &[0]) {
                Ok(_) | Err(Errno::AGAIN) => return Ok(()),
                // Nobody but us can retry: the thread that wakes may be none of Python's.
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Empties the pipe and appends the signals that were in it to `signals`, in the order they came.
    pub fn drain(&self, signals: &mut Vec<u8>) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            match rustix::io::read(&self.reader, &mut buffer) {
                Ok(count) => {
                    signals.extend(buffer[..count].iter().filter(|byte| **byte != 0));
                    if count < buffer.len() {
                        return Ok(());
                    }
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(not(target_vendor = "apple"))]
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::pipe::PipeFlags;

    Ok(rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?)
}

#[cfg(target_vendor = "apple")]
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let ends = rustix::pipe::pipe()?;
    for end in [&ends.0, &ends.1] {
        rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(end, true)?;
    }
    Ok(ends)
}
