//! Transports: connections as protocols see them.

pub(crate) mod address;
pub(crate) mod classes;
pub(crate) mod closing;
pub(crate) mod datagram;
pub(crate) mod endpoint;
pub(crate) mod exclusive;
pub(crate) mod flow;
pub(crate) mod gathering;
pub(crate) mod holding;
pub(crate) mod info;
pub(crate) mod pipe;
pub(crate) mod read_pipe;
pub(crate) mod reading;
mod showing;
pub(crate) mod stream;
pub(crate) mod subprocess;
pub(crate) mod tls;
pub(crate) mod write_pipe;
pub(crate) mod writing;
