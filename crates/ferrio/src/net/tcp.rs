//! TCP.

use std::io;
use std::net::{self, Shutdown, SocketAddr};
use std::os::fd::AsRawFd;

use ferrio_sys::socket;

use crate::io::{AsyncFd, byte_stream};

use super::address;
use super::connect::{connect, shut_down_write};

/// A TCP connection. It implements `AsyncRead` and `AsyncWrite`, and so do references to it: one task may read while
/// another one writes.
///
/// ```
/// use ferrio::net::{TcpListener, TcpStream};
/// use futures_lite::{AsyncReadExt, AsyncWriteExt};
///
/// ferrio::run(async {
///     let listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
///     let address = listener.local_addr()?;
///     let server = ferrio::spawn(async move {
///         let (mut stream, _peer) = listener.accept().await?;
///         let mut request = String::new();
///         stream.read_to_string(&mut request).await?;
///         stream.write_all(request.to_uppercase().as_bytes()).await
///     });
///     let mut stream = TcpStream::connect(address).await?;
///     stream.write_all(b"hello").await?;
///     stream.close().await?;
///     let mut answer = String::new();
///     stream.read_to_string(&mut answer).await?;
///     assert_eq!(answer, "HELLO");
///     server.await.expect("it has a result")
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TcpStream {
    fd: AsyncFd<net::TcpStream>,
}

impl TcpStream {
    /// Connects to `address`; like asyncio, it sends small writes at once (`TCP_NODELAY`).
    ///
    /// # Errors
    ///
    /// The error of the attempt to connect.
    ///
    /// # Panics
    ///
    /// Panics if no runtime runs on this thread.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        Self::configured(connect(&address::to_system(address)).await?)
    }

    /// Takes over a connection of the standard library.
    ///
    /// # Errors
    ///
    /// Fails if the system lacks descriptors or memory.
    pub fn from_std(stream: net::TcpStream) -> io::Result<Self> {
        Ok(Self { fd: AsyncFd::new(stream)? })
    }

    /// The connection in the standard library's form, non-blocking.
    #[must_use]
    pub const fn as_std(&self) -> &net::TcpStream {
        self.fd.io()
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// Any error of the system call.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.fd.io().local_addr()
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// Fails if it is not connected any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.fd.io().peer_addr()
    }

    fn configured(fd: AsyncFd<net::TcpStream>) -> io::Result<Self> {
        socket::set_nodelay(fd.io().as_raw_fd())?;
        Ok(Self { fd })
    }
}

byte_stream!(TcpStream, read);
byte_stream!(&TcpStream, read);
byte_stream!(TcpStream, write, |fd: &AsyncFd<net::TcpStream>| shut_down_write(fd.io().shutdown(Shutdown::Write)));
byte_stream!(&TcpStream, write, |fd: &AsyncFd<net::TcpStream>| shut_down_write(fd.io().shutdown(Shutdown::Write)));

/// Accepts TCP connections; see [`TcpStream`] for an example.
#[derive(Debug)]
pub struct TcpListener {
    fd: AsyncFd<net::TcpListener>,
}

impl TcpListener {
    /// Listens at `address`; the port 0 is one that is free.
    ///
    /// # Errors
    ///
    /// Fails if the address is in use, for example.
    ///
    /// # Panics
    ///
    /// Panics if no runtime runs on this thread.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::from_std(net::TcpListener::bind(address)?)
    }

    /// Takes over a listener of the standard library.
    ///
    /// # Errors
    ///
    /// Fails if the system lacks descriptors or memory.
    pub fn from_std(listener: net::TcpListener) -> io::Result<Self> {
        Ok(Self { fd: AsyncFd::new(listener)? })
    }

    /// Waits for a connection; returns it with the address of its other end.
    ///
    /// # Errors
    ///
    /// Fails if the system lacks descriptors, for example. The listener goes on.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (connection, peer) = self.fd.read_with(|listener| socket::accept(listener.as_raw_fd())).await?;
        let stream = TcpStream::configured(AsyncFd::from_nonblocking(net::TcpStream::from(connection))?)?;
        let peer = address::from_system(&peer).ok_or_else(|| io::Error::other("the peer has no address"))?;
        Ok((stream, peer))
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
