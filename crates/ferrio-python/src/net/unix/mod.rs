//! Unix sockets: connecting, serving, and the files that their addresses name.

mod connect;
mod serve;
pub(crate) mod socket_path;
