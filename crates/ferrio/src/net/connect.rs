//! Connecting and closing stream sockets.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use ferrio_sys::SocketAddress;
use ferrio_sys::socket;

use crate::io::AsyncFd;

/// Opens a stream socket and connects it.
pub(super) async fn connect<S: AsFd + From<OwnedFd>>(address: &SocketAddress) -> io::Result<AsyncFd<S>> {
    let socket = socket::open(address, socket::Kind::Stream)?;
    let is_under_way = match socket::connect(socket.as_raw_fd(), address) {
        Ok(()) => false,
        // A Unix listener's queue is full: the attempt does not go on.
        Err(error) if matches!(address, SocketAddress::Unix(_)) => return Err(error),
        Err(error) if socket::is_under_way(&error) => true,
        Err(error) => return Err(error),
    };
    let fd = AsyncFd::from_nonblocking(S::from(socket))?;
    if is_under_way {
        fd.written().await?;
        if let Some(error) = socket::take_error(fd.io().as_fd().as_raw_fd())? {
            return Err(error);
        }
    }
    Ok(fd)
}

/// Shuts down writing for `poll_close`: a peer that is gone needs not be told.
pub(super) fn shut_down_write(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        outcome => outcome,
    }
}
