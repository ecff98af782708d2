//! Connecting and serving: sockets, addresses and files, from the arguments of the loop's methods to transports.

pub(crate) mod connect;
mod datagram_endpoint;
mod getaddrinfo;
mod resolve;
pub(crate) mod sendfile;
pub(crate) mod serve;
mod sock;
mod unix;
