//! Unix sockets: connecting, serving, and the files of their addresses.

mod connect;
mod serve;
pub(crate) mod socket_path;
