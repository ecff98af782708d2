//! Unix sockets.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;

use ferrio_sys::{SocketAddress, socket};

use crate::io::{AsyncFd, byte_stream};

use super::connect::{connect, shut_down_write};

/// A Unix stream socket. It implements `AsyncRead` and `AsyncWrite`, and so do references to it.
///
/// ```
/// use ferrio::net::UnixStream;
/// use futures_lite::{AsyncReadExt, AsyncWriteExt};
///
/// ferrio::run(async {
///     let (mut near, mut far) = UnixStream::pair()?;
///     near.write_all(b"hello").await?;
///     let mut buffer = [0; 5];
///     far.read_exact(&mut buffer).await?;
///     assert_eq!(&buffer, b"hello");
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct UnixStream {
    fd: AsyncFd<net::UnixStream>,
}

impl UnixStream {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    ///
    /// The error of the attempt to connect; `WouldBlock` if the listener's queue is full.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        let address = SocketAddress::Unix(path.as_ref().as_os_str().as_bytes().to_vec());
        Ok(Self { fd: connect(&address).await? })
    }

    /// Two sockets that are connected to each other.
    ///
    /// # Errors
    ///
    /// Fails if the system lacks descriptors or memory.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = net::UnixStream::pair()?;
        Ok((Self::from_std(one)?, Self::from_std(other)?))
    }

    /// Takes over a socket of the standard library.
    ///
    /// # Errors
    ///
    /// Fails if the system lacks descriptors or memory.
    pub fn from_std(stream: net::UnixStream) -> io::Result<Self> {
        Ok(Self { fd: AsyncFd::new(stream)? })
    }

    /// The socket in the standard library's form, non-blocking.
    #[must_use]
    pub const fn as_std(&self) -> &net::UnixStream {
        self.fd.io()
    }
}

byte_stream!(UnixStream, read);
byte_stream!(&UnixStream, read);
byte_stream!(UnixStream, write, |fd: &AsyncFd<net::UnixStream>| shut_down_write(fd.io().shutdown(Shutdown::Write)));
byte_stream!(&UnixStream, write, |fd: &AsyncFd<net::UnixStream>| shut_down_write(fd.io().shutdown(Shutdown::Write)));

/// Accepts connections of Unix sockets.
///
/// ```
/// use ferrio::net::{UnixListener, UnixStream};
/// use futures_lite::{AsyncReadExt, AsyncWriteExt};
///
/// # let path = std::env::temp_dir().join(format!("ferrio-example-{}", std::process::id()));
/// ferrio::run(async {
///     let listener = UnixListener::bind(&path)?;
///     let mut near = UnixStream::connect(&path).await?;
///     let mut far = listener.accept().await?;
///     near.write_all(b"hello").await?;
///     let mut text = [0; 5];
///     far.read_exact(&mut text).await?;
///     assert_eq!(&text, b"hello");
///     std::fs::remove_file(&path)
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct UnixListener {
    fd: AsyncFd<net::UnixListener>,
}

impl UnixListener {
    /// Listens at `path`, which must not exist.
    ///
    /// # Errors
    ///
    /// Fails if the path exists, for example.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self { fd: AsyncFd::new(net::UnixListener::bind(path)?)? })
    }

    /// Waits for a connection.
    ///
    /// # Errors
    ///
    /// Fails if the system lacks descriptors, for example. The listener goes on.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        let (connection, _) = self.fd.read_with(|listener| socket::accept(listener.as_raw_fd())).await?;
        Ok(UnixStream { fd: AsyncFd::from_nonblocking(net::UnixStream::from(connection))? })
    }

    /// The address that it listens at.
    ///
    /// # Errors
    ///
    /// Any error of the system call.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.fd.io().local_addr()
    }
}

/// A Unix datagram socket.
///
/// ```
/// use ferrio::net::UnixDatagram;
///
/// ferrio::run(async {
///     let (near, far) = UnixDatagram::pair()?;
///     near.send(b"hello").await?;
///     let mut buffer = [0; 16];
///     let length = far.recv(&mut buffer).await?;
///     assert_eq!(&buffer[..length], b"hello");
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct UnixDatagram {
    fd: AsyncFd<net::UnixDatagram>,
}

impl UnixDatagram {
    /// A socket at `path`, which must not exist.
    ///
    /// # Errors
    ///
    /// Fails if the path exists, for example.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::from_std(net::UnixDatagram::bind(path)?)
    }

    /// Two sockets that are connected to each other.
    ///
    /// # Errors
    ///
    /// Fails if the system lacks descriptors or memory.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = net::UnixDatagram::pair()?;
        Ok((Self::from_std(one)?, Self::from_std(other)?))
    }

    /// Takes over a socket of the standard library.
    ///
    /// # Errors
    ///
    /// Fails if the system lacks descriptors or memory.
    pub fn from_std(datagrams: net::UnixDatagram) -> io::Result<Self> {
        Ok(Self { fd: AsyncFd::new(datagrams)? })
    }

    /// Sends a datagram to the socket that it is connected to.
    ///
    /// # Errors
    ///
    /// Any error of the system call.
    pub async fn send(&self, data: &[u8]) -> io::Result<usize> {
        self.fd.write_with(|datagrams| datagrams.send(data)).await
    }

    /// Sends a datagram to the socket at `path`.
    ///
    /// # Errors
    ///
    /// Any error of the system call.
    pub async fn send_to(&self, data: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        self.fd.write_with(|datagrams| datagrams.send_to(data, path.as_ref())).await
    }

    /// Receives a datagram; returns its length. What is longer than the buffer is lost.
    ///
    /// # Errors
    ///
    /// Any error of the system call.
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fd.read_with(|datagrams| datagrams.recv(buffer)).await
    }

    /// Receives a datagram; returns its length and its sender's address.
    ///
    /// # Errors
    ///
    /// Any error of the system call.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.fd.read_with(|datagrams| datagrams.recv_from(buffer)).await
    }
}
