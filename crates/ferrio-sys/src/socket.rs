//! Sockets: the calls that a transport makes, each exactly one system call.
//!
//! Nothing is retried and nothing waits: `EAGAIN` and `EINTR` are returned as errors of the kind `WouldBlock` and
//! `Interrupted`. Receiving and sending never wait; for the other calls the socket has to be non-blocking.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketAddrAny, sockopt};

use crate::descriptor::borrow;

mod address;
mod counters;

pub use address::SocketAddress;
pub use counters::{Counters, counters};

/// No call waits, whatever mode the user's socket is in.
const RECEIVE: RecvFlags = RecvFlags::DONTWAIT;

/// Likewise; and writing to a closed connection is an error to return, not a signal.
#[cfg(not(target_vendor = "apple"))]
const SEND: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);
/// This system has no flag for the signal; Python ignores `SIGPIPE` from its start.
#[cfg(target_vendor = "apple")]
const SEND: SendFlags = SendFlags::DONTWAIT;

/// The most slices one call takes (`IOV_MAX`).
const MOST_SLICES: usize = 1024;

/// Receives into `buffer` and returns the number of bytes; 0 is the end of data.
#[inline]
pub fn receive(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (count, _) = net::recv(borrow(fd)?, buffer, RECEIVE)?;
    Ok(count)
}

/// Receives into memory that need not be initialised; the returned number of bytes at its start are.
pub fn receive_uninit(fd: RawFd, buffer: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    let ((received, _), _) = net::recv(borrow(fd)?, buffer, RECEIVE)?;
    Ok(received.len())
}

/// Sends as much of `data` as there is space for and returns the number of bytes.
#[inline]
pub fn send(fd: RawFd, data: &[u8]) -> io::Result<usize> {
    Ok(net::send(borrow(fd)?, data, SEND)?)
}

/// Sends as much of `slices`, in order, as there is space for and returns the number of bytes.
#[inline]
pub fn send_vectored(fd: RawFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let slices = &slices[..slices.len().min(MOST_SLICES)];
    Ok(net::sendmsg(borrow(fd)?, slices, &mut SendAncillaryBuffer::default(), SEND)?)
}

/// Receives one datagram into `buffer`; returns its length and its sender, if the sender has an address. Bytes beyond
/// the buffer are lost.
#[inline]
pub fn receive_from(fd: RawFd, buffer: &mut [u8]) -> io::Result<(usize, Option<SocketAddress>)> {
    let (count, _, sender) = net::recvfrom(borrow(fd)?, buffer, RECEIVE)?;
    Ok((count, sender.as_ref().map(SocketAddress::from_system)))
}

/// Sends one datagram to `address`, as a whole or not at all.
#[inline]
pub fn send_to(fd: RawFd, data: &[u8], address: &SocketAddress) -> io::Result<()> {
    let socket = borrow(fd)?;
    match address.to_system()? {
        address::System::V4(address) => net::sendto(socket, data, SEND, &address)?,
        address::System::V6(address) => net::sendto(socket, data, SEND, &address)?,
        address::System::Unix(address) => net::sendto(socket, data, SEND, &address)?,
    };
    Ok(())
}

/// Accepts a connection; its socket is non-blocking and not inherited by programs that are executed.
pub fn accept(fd: RawFd) -> io::Result<(OwnedFd, SocketAddress)> {
    let (connection, peer) = accept_configured(fd)?;
    Ok((connection, peer.as_ref().map_or_else(SocketAddress::unnamed, SocketAddress::from_system)))
}

#[cfg(not(target_vendor = "apple"))]
fn accept_configured(fd: RawFd) -> io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    use rustix::net::SocketFlags;

    Ok(net::acceptfrom_with(borrow(fd)?, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?)
}

#[cfg(target_vendor = "apple")]
fn accept_configured(fd: RawFd) -> io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    let (connection, peer) = net::acceptfrom(borrow(fd)?)?;
    rustix::io::fcntl_setfd(&connection, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&connection, true)?;
    Ok((connection, peer))
}

/// What a socket carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A stream of bytes.
    Stream,
    /// Datagrams.
    Datagram,
}

/// Opens a socket for addresses like `address`; it is non-blocking and not inherited by programs that are executed.
///
/// # Errors
///
/// `EAFNOSUPPORT` for an address of a family that is not known, `EMFILE` and the like if no descriptor is free.
pub fn open(address: &SocketAddress, kind: Kind) -> io::Result<OwnedFd> {
    let family = match address.to_system()? {
        address::System::V4(_) => net::AddressFamily::INET,
        address::System::V6(_) => net::AddressFamily::INET6,
        address::System::Unix(_) => net::AddressFamily::UNIX,
    };
    let kind = match kind {
        Kind::Stream => net::SocketType::STREAM,
        Kind::Datagram => net::SocketType::DGRAM,
    };
    open_configured(family, kind)
}

#[cfg(not(target_vendor = "apple"))]
fn open_configured(family: net::AddressFamily, kind: net::SocketType) -> io::Result<OwnedFd> {
    use rustix::net::SocketFlags;

    Ok(net::socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?)
}

#[cfg(target_vendor = "apple")]
fn open_configured(family: net::AddressFamily, kind: net::SocketType) -> io::Result<OwnedFd> {
    let socket = net::socket(family, kind, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

/// Begins to connect; `EINPROGRESS` means that the attempt goes on, and that the socket becomes writable when it
/// succeeds or fails.
pub fn connect(fd: RawFd, address: &SocketAddress) -> io::Result<()> {
    let socket = borrow(fd)?;
    match address.to_system()? {
        address::System::V4(address) => net::connect(socket, &address)?,
        address::System::V6(address) => net::connect(socket, &address)?,
        address::System::Unix(address) => net::connect(socket, &address)?,
    }
    Ok(())
}

/// Whether this error of a connect means that the attempt goes on, interrupted or not.
#[must_use]
pub fn is_under_way(error: &io::Error) -> bool {
    let in_progress = [Errno::INPROGRESS, Errno::ALREADY, Errno::AGAIN, Errno::INTR];
    error.raw_os_error().is_some_and(|number| in_progress.iter().any(|errno| errno.raw_os_error() == number))
}

/// The address the socket is bound to.
pub fn local_address(fd: RawFd) -> io::Result<SocketAddress> {
    Ok(SocketAddress::from_system(&net::getsockname(borrow(fd)?)?))
}

/// The address the socket is connected to.
pub fn peer_address(fd: RawFd) -> io::Result<SocketAddress> {
    let address = net::getpeername(borrow(fd)?)?;
    Ok(address.as_ref().map_or_else(SocketAddress::unnamed, SocketAddress::from_system))
}

/// Shuts down writing, so that the peer reads the end of data.
pub fn shutdown_write(fd: RawFd) -> io::Result<()> {
    Ok(net::shutdown(borrow(fd)?, Shutdown::Write)?)
}

/// Sends small writes at once (`TCP_NODELAY`).
pub fn set_nodelay(fd: RawFd) -> io::Result<()> {
    Ok(sockopt::set_tcp_nodelay(borrow(fd)?, true)?)
}

/// Whether the system lacks descriptors or memory, so that trying again later may help.
#[must_use]
pub fn is_out_of_resources(error: &io::Error) -> bool {
    let lacking = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|number| lacking.iter().any(|errno| errno.raw_os_error() == number))
}

/// Takes the pending error of the socket (`SO_ERROR`), for example the outcome of a connect.
///
/// # Errors
///
/// Fails if the option cannot be read; the pending error itself is the value.
pub fn take_error(fd: RawFd) -> io::Result<Option<io::Error>> {
    Ok(sockopt::socket_error(borrow(fd)?)?.err().map(io::Error::from))
}

/// Makes the socket non-blocking.
pub fn set_nonblocking(fd: RawFd) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(borrow(fd)?, true)?)
}

/// Closes the descriptor.
pub fn close(fd: OwnedFd) {
    drop(fd);
}
