//! UDP.

use std::io;
use std::net::{self, SocketAddr};

use crate::io::AsyncFd;

/// A UDP socket.
///
/// ```
/// use ferrio::net::UdpSocket;
///
/// ferrio::run(async {
///     let near = UdpSocket::bind(([127, 0, 0, 1], 0).into())?;
///     let far = UdpSocket::bind(([127, 0, 0, 1], 0).into())?;
///     near.send_to(b"hello", far.local_addr()?).await?;
///     let mut buffer = [0; 16];
///     let (length, sender) = far.recv_from(&mut buffer).await?;
///     assert_eq!((&buffer[..length], sender), (&b"hello"[..], near.local_addr()?));
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct UdpSocket {
    fd: AsyncFd<net::UdpSocket>,
}

impl UdpSocket {
    /// A socket at `address`; the port 0 is one that is free.
    ///
    /// # Errors
    ///
    /// Fails if the address is in use, for example.
    ///
    /// # Panics
    ///
    /// Panics if no runtime runs on this thread.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::from_std(net::UdpSocket::bind(address)?)
    }

    /// Takes over a socket of the standard library.
    ///
    /// # Errors
    ///
    /// Fails if the system lacks descriptors or memory.
    pub fn from_std(datagrams: net::UdpSocket) -> io::Result<Self> {
        Ok(Self { fd: AsyncFd::new(datagrams)? })
    }

    /// Sends to `address`, and receives from it only, from now on.
    ///
    /// # Errors
    ///
    /// Any error of the system call.
    pub fn connect(&self, address: SocketAddr) -> io::Result<()> {
        self.fd.io().connect(address)
    }

    /// Sends a datagram to the address that it is connected to.
    ///
    /// # Errors
    ///
    /// Any error of the system call.
    pub async fn send(&self, data: &[u8]) -> io::Result<usize> {
        self.fd.write_with(|datagrams| datagrams.send(data)).await
    }

    /// Sends a datagram to `address`.
    ///
    /// # Errors
    ///
    /// Any error of the system call.
    pub async fn send_to(&self, data: &[u8], address: SocketAddr) -> io::Result<usize> {
        self.fd.write_with(|datagrams| datagrams.send_to(data, address)).await
    }

    /// Receives a datagram; returns its length. What is longer than the buffer is lost.
    ///
    /// # Errors
    ///
    /// Any error of the system call.
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fd.read_with(|datagrams| datagrams.recv(buffer)).await
    }

    /// Receives a datagram; returns its length and its sender.
    ///
    /// # Errors
    ///
    /// Any error of the system call.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.fd.read_with(|datagrams| datagrams.recv_from(buffer)).await
    }

    /// The address that it is bound to.
    ///
    /// # Errors
    ///
    /// Any error of the system call.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.fd.io().local_addr()
    }
}
