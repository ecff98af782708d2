//! Signals.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;

use signal_hook::SigId;

use crate::io::AsyncFd;

pub use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};

/// Receives a signal of the process, which then does not have its default effect: asyncio's `add_signal_handler`.
///
/// Several that come before [`Signal::recv`] looks may count as one. Others may receive the same signal.
///
/// ```
/// use ferrio::signal::{SIGUSR1, Signal};
///
/// ferrio::run(async {
///     let mut signal = Signal::new(SIGUSR1)?;
///     signal_hook::low_level::raise(SIGUSR1)?;
///     signal.recv().await
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Signal {
    fd: AsyncFd<UnixStream>,
    id: SigId,
}

impl Signal {
    /// Begins to receive the signal with this number.
    ///
    /// # Errors
    ///
    /// Fails if the signal cannot be caught, or the system lacks descriptors.
    ///
    /// # Panics
    ///
    /// Panics if no runtime runs on this thread, or for a signal that must not be caught, such as `SIGSEGV`.
    #[track_caller]
    pub fn new(number: i32) -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        let fd = AsyncFd::new(reader)?;
        let id = signal_hook::low_level::pipe::register(number, writer)?;
        Ok(Self { fd, id })
    }

    /// Waits for the signal.
    ///
    /// # Errors
    ///
    /// Fails if the runtime that it was made in is gone.
    pub async fn recv(&mut self) -> io::Result<()> {
        let mut buffer = [0; 64];
        self.fd.read_with(|mut reader| reader.read(&mut buffer)).await.map(drop)
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        signal_hook::low_level::unregister(self.id);
    }
}

/// Waits for Ctrl-C: the signal `SIGINT`.
///
/// # Errors
///
/// Any error of [`Signal::new`].
///
/// ```no_run
/// ferrio::run(async {
///     ferrio::signal::ctrl_c().await?;
///     println!("good bye");
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn ctrl_c() -> io::Result<()> {
    Signal::new(SIGINT)?.recv().await
}
