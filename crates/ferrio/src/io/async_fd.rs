//! A descriptor that the runtime watches.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};

use ferrio_sys::socket;

use crate::runtime::current;
use crate::runtime::io_driver::{Direction, Source};
use crate::runtime::local::Local;

/// Watches the descriptor of `T`, which need not be a socket: operations that would block wait instead.
///
/// Operations are tried first, and wait if they fail with `WouldBlock`. A task that does many of them without waiting
/// lets the others run in between. It belongs to the runtime that runs when it is made.
///
/// ```
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
/// use ferrio::io::AsyncFd;
///
/// ferrio::run(async {
///     let (near, mut far) = UnixStream::pair()?;
///     let near = AsyncFd::new(near)?;
///     let task = ferrio::spawn(async move {
///         let mut buffer = [0; 8];
///         let count = near.read_with(|mut stream| stream.read(&mut buffer)).await?;
///         Ok::<_, std::io::Error>(buffer[..count].to_vec())
///     });
///     ferrio::yield_now().await;
///     far.write_all(b"hello")?;
///     assert_eq!(task.await.expect("it has a result")?, b"hello");
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct AsyncFd<T: AsFd> {
    registration: Registration,
    // Closed after it is deregistered.
    io: T,
}

/// Ends the watch when it is dropped.
struct Registration {
    source: Rc<Source>,
    local: Weak<Local>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(local) = self.local.upgrade() {
            // Fails if the runtime is gone or lacks a poller, and then nothing is registered.
            let _ = local.with_registered_io(|io| io.deregister(&self.source));
        }
    }
}

impl<T: AsFd> AsyncFd<T> {
    /// Makes the descriptor non-blocking and begins to watch it.
    ///
    /// # Errors
    ///
    /// `EPERM` for a regular file, which is always ready; others if the system lacks descriptors or memory.
    ///
    /// # Panics
    ///
    /// Panics if no runtime runs on this thread.
    #[track_caller]
    pub fn new(io: T) -> io::Result<Self> {
        socket::set_nonblocking(io.as_fd().as_raw_fd())?;
        Self::from_nonblocking(io)
    }

    /// The same for a descriptor that is non-blocking.
    #[track_caller]
    pub(crate) fn from_nonblocking(io: T) -> io::Result<Self> {
        let local = current::expect("AsyncFd::new");
        let source = local.with_io(|driver| driver.register(io.as_fd().as_raw_fd()))??;
        Ok(Self { registration: Registration { source, local: Rc::downgrade(&local) }, io })
    }

    /// What it watches.
    pub const fn io(&self) -> &T {
        &self.io
    }

    /// Tries `operation`, which reads, until it does not fail with `WouldBlock`.
    ///
    /// # Errors
    ///
    /// Any error of `operation`.
    pub async fn read_with<R>(&self, mut operation: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        poll_fn(|context| self.poll_read_with(context, &mut operation)).await
    }

    /// Tries `operation`, which writes, until it does not fail with `WouldBlock`.
    ///
    /// # Errors
    ///
    /// Any error of `operation`.
    pub async fn write_with<R>(&self, mut operation: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        poll_fn(|context| self.poll_write_with(context, &mut operation)).await
    }

    /// One step of [`AsyncFd::read_with`].
    ///
    /// # Errors
    ///
    /// Any error of `operation`.
    pub fn poll_read_with<R>(
        &self,
        context: &mut Context<'_>,
        operation: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.poll_with(Direction::Read, context, operation)
    }

    /// One step of [`AsyncFd::write_with`].
    ///
    /// # Errors
    ///
    /// Any error of `operation`.
    pub fn poll_write_with<R>(
        &self,
        context: &mut Context<'_>,
        operation: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.poll_with(Direction::Write, context, operation)
    }

    /// Waits for the next event that says that it can be written: the end of a connect.
    pub(crate) async fn written(&self) -> io::Result<()> {
        self.drained(Direction::Write)?;
        poll_fn(|context| self.registration.source.poll_ready(Direction::Write, context)).await;
        Ok(())
    }

    fn poll_with<R>(
        &self,
        direction: Direction,
        context: &mut Context<'_>,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        if current::with(|local| local.spend()) == Some(false) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            ready!(self.registration.source.poll_ready(direction, context));
            match operation(&self.io) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.drained(direction)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    /// Records that an operation was refused.
    fn drained(&self, direction: Direction) -> io::Result<()> {
        let local = self.registration.local.upgrade();
        let noted =
            local.and_then(|local| local.with_registered_io(|io| io.drained(&self.registration.source, direction)));
        noted.ok_or_else(|| io::Error::other("the runtime of this descriptor is gone"))
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for AsyncFd<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("AsyncFd").field(&self.io).finish()
    }
}
