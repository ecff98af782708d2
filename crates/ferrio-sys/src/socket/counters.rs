//! What the system has counted for a TCP connection, and how full a listening socket's queue is.

use std::io;
use std::os::fd::RawFd;

/// What the system knows of a TCP socket. Without TCP, or on systems that do not tell, there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counters {
    /// A connection.
    Connection {
        /// Bytes that were received in order.
        received: u64,
        /// Bytes that were sent; those that were sent again count once.
        sent: u64,
    },
    /// A listening socket.
    Listening {
        /// Connections that wait to be accepted.
        waiting: u32,
        /// How many may wait.
        limit: u32,
    },
}

/// Reads the counters of a socket.
///
/// # Errors
///
/// The system's; `Unsupported` if the socket is of another kind, or the system does not tell.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn counters(fd: RawFd) -> io::Result<Counters> {
    // The first 216 bytes of `struct tcp_info` in linux/tcp.h, which only ever grows at its end.
    const STATE_LISTEN: u8 = 10;
    const UNACKED: usize = 24;
    const SACKED: usize = 28;
    const BYTES_RECEIVED: usize = 128;
    const BYTES_SENT: usize = 200;
    const BYTES_RETRANSMITTED: usize = 208;
    const LENGTH: usize = 216;

    let mut info = [0_u8; LENGTH];
    let mut length = libc::socklen_t::try_from(LENGTH).map_err(io::Error::other)?;
    // SAFETY: the pointers are to a buffer of that length and to the length, which outlive the call.
    let outcome =
        unsafe { libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, info.as_mut_ptr().cast(), &raw mut length) };
    if outcome != 0 {
        return Err(io::Error::last_os_error());
    }
    let long = |at: usize| u64::from_ne_bytes(std::array::from_fn(|place| info[at + place]));
    let short = |at: usize| u32::from_ne_bytes(std::array::from_fn(|place| info[at + place]));
    if info[0] == STATE_LISTEN {
        return Ok(Counters::Listening { waiting: short(UNACKED), limit: short(SACKED) });
    }
    if usize::try_from(length).is_ok_and(|length| length < LENGTH) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let sent = long(BYTES_SENT).saturating_sub(long(BYTES_RETRANSMITTED));
    Ok(Counters::Connection { received: long(BYTES_RECEIVED), sent })
}

/// Reads the counters of a socket: this system does not tell.
///
/// # Errors
///
/// `Unsupported`.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn counters(_fd: RawFd) -> io::Result<Counters> {
    Err(io::ErrorKind::Unsupported.into())
}
