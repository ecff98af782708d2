//! The waker: ends a wait of the poller from another thread or from a signal handler.
//!
//! A non-blocking pipe whose read end the poller watches. A pipe, not an eventfd, because the same descriptor is
//! Python's `signal.set_wakeup_fd`, to which the numbers of signals are written as single bytes; a wake-up is the byte
//! 0, which is not a signal.
//!
//! A child made by `fork` shares the pipe with its parent. It neither writes to it nor reads from it until
//! [`Waker::renew`] has put a pipe of its own under the same numbers.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::io::Errno;

use crate::bell::Wake;
use crate::fork;

/// A pipe that ends a wait.
#[derive(Debug)]
pub struct Waker {
    reader: OwnedFd,
    writer: OwnedFd,
    /// The fork generation of the process whose pipe it is. Relaxed is enough: only a forked child changes it, while it
    /// has a single thread, or under a lock of the caller's.
    generation: AtomicU32,
}

impl Waker {
    /// Opens the pipe.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = pipe()?;
        Ok(Self { reader, writer, generation: AtomicU32::new(fork::generation()) })
    }

    /// Whether the pipe belongs to the parent from which a fork has made this process.
    #[inline]
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        self.generation.load(Ordering::Relaxed) != fork::generation()
    }

    /// Puts a pipe of this process's own under the numbers of the inherited one: they may be Python's wakeup
    /// descriptor.
    pub fn renew(&self) -> io::Result<()> {
        let (reader, writer) = pipe()?;
        replace(&self.reader, &reader)?;
        replace(&self.writer, &writer)?;
        self.generation.store(fork::generation(), Ordering::Relaxed);
        Ok(())
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

    /// Makes the read end readable. If the pipe is full, it is readable already.
    pub fn wake(&self) -> io::Result<()> {
        if self.is_inherited() {
            // The waiting thread is in the parent.
            return Ok(());
        }
        loop {
            match rustix::io::write(&self.writer, &[0]) {
                Ok(_) | Err(Errno::AGAIN) => return Ok(()),
                // Only this code can retry: the waking thread need not be one of Python's.
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Empties the pipe and appends the signals in it to `signals`, in the order they came.
    pub fn drain(&self, signals: &mut Vec<u8>) -> io::Result<()> {
        if self.is_inherited() {
            return Ok(());
        }
        let mut buffer = [0; 1024];
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

impl Wake for std::sync::Arc<Waker> {
    fn end_wait(&self) {
        // Fails only for a descriptor that someone else has closed, and there is nobody to tell.
        let _ = self.wake();
    }
}

/// Makes the descriptor's number refer to the file of `fd`.
fn replace(descriptor: &OwnedFd, fd: &OwnedFd) -> io::Result<()> {
    // SAFETY: the number is the descriptor's, which stays its owner: the second owner is never dropped.
    let mut descriptor = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(descriptor.as_raw_fd()) });
    replace_owned(&mut descriptor, fd)
}

#[cfg(not(target_vendor = "apple"))]
fn replace_owned(descriptor: &mut OwnedFd, fd: &OwnedFd) -> io::Result<()> {
    Ok(rustix::io::dup3(fd, descriptor, rustix::io::DupFlags::CLOEXEC)?)
}

#[cfg(target_vendor = "apple")]
fn replace_owned(descriptor: &mut OwnedFd, fd: &OwnedFd) -> io::Result<()> {
    rustix::io::dup2(fd, descriptor)?;
    Ok(rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC)?)
}

#[cfg(not(target_vendor = "apple"))]
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::pipe::PipeFlags;

    Ok(rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?)
}

#[cfg(target_vendor = "apple")]
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let ends = rustix::pipe::pipe()?;
    for end in [&ends.0, &ends.1] {
        rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(end, true)?;
    }
    Ok(ends)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::poller::{Events, Interest, Mode, Poller, Token};

    fn drained(waker: &Waker) -> Vec<u8> {
        let mut signals = Vec::new();
        waker.drain(&mut signals).expect("drained");
        signals
    }

    #[test]
    fn a_wake_up_from_another_thread_ends_a_wait() {
        for poller in [Poller::new(), Poller::portable()] {
            let (poller, waker) = (poller.expect("a poller"), Waker::new().expect("a waker"));
            poller.add(waker.read_fd(), Token(1), Interest::READABLE, Mode::Level).expect("added");
            std::thread::scope(|scope| {
                scope.spawn(|| waker.wake().expect("woken"));
                let mut events = Events::with_capacity(1);
                poller.wait(&mut events, None).expect("a wait");
                assert_eq!(events.len(), 1);
                assert_eq!(drained(&waker), []);
                poller.wait(&mut events, Some(Duration::ZERO)).expect("a wait");
                assert!(events.is_empty());
            });
        }
    }

    #[test]
    fn signals_come_out_in_order_and_wake_ups_do_not() {
        let waker = Waker::new().expect("a waker");
        waker.wake().expect("woken");
        rustix::io::write(&waker.writer, &[2, 15]).expect("written");
        waker.wake().expect("woken");
        rustix::io::write(&waker.writer, &[10]).expect("written");
        assert_eq!(drained(&waker), [2, 15, 10]);
        assert_eq!(drained(&waker), []);
    }

    #[test]
    fn a_full_pipe_is_no_error_and_is_emptied() {
        let waker = Waker::new().expect("a waker");
        while rustix::io::write(&waker.writer, &[1; 4096]).is_ok() {}
        waker.wake().expect("woken");
        assert!(drained(&waker).len() >= 4096);
        assert_eq!(drained(&waker), []);
    }

    #[test]
    fn both_ends_are_closed_in_programs_that_are_executed() {
        let waker = Waker::new().expect("a waker");
        for end in [&waker.reader, &waker.writer] {
            assert_eq!(rustix::io::fcntl_getfd(end).expect("flags"), rustix::io::FdFlags::CLOEXEC);
        }
    }
}
