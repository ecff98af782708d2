//! Connecting and serving: the loop's methods that create sockets and transports and send files.

pub(crate) mod connect;
mod datagram_endpoint;
mod getaddrinfo;
mod resolve;
pub(crate) mod sendfile;
pub(crate) mod serve;
mod sock;
mod unix;
