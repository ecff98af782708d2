//! Sockets: TCP, Unix, UDP.

mod address;
mod connect;
mod lookup;
mod tcp;
mod udp;
mod unix;

pub use lookup::{lookup, open_connection};
pub use tcp::{TcpListener, TcpStream};
pub use udp::UdpSocket;
pub use unix::{UnixDatagram, UnixListener, UnixStream};
