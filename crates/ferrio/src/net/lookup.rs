//! Names of hosts.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use crate::threads::to_thread;

use super::tcp::TcpStream;

/// The addresses of a host: asyncio's `getaddrinfo`. Numbers are read at once, names are looked up in a thread.
///
/// # Errors
///
/// Any error of the lookup.
///
/// ```
/// ferrio::run(async {
///     let addresses = ferrio::net::lookup("127.0.0.1", 80).await?;
///     assert_eq!(addresses, ["127.0.0.1:80".parse().expect("an address")]);
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let host = host.to_owned();
    to_thread(move || Ok((host.as_str(), port).to_socket_addrs()?.collect())).await
}

/// Connects to the first address of a host that accepts, one after the other.
///
/// # Errors
///
/// The error of the lookup, or of the last attempt to connect.
///
/// ```
/// use ferrio::net;
///
/// ferrio::run(async {
///     let listener = net::TcpListener::bind(([127, 0, 0, 1], 0).into())?;
///     let port = listener.local_addr()?.port();
///     let stream = net::open_connection("127.0.0.1", port).await?;
///     assert_eq!(stream.peer_addr()?.port(), port);
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn open_connection(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failure = None;
    for address in lookup(host, port).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("`{host}` has no address"))))
}
