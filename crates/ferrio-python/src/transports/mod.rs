//! Transports: the connections that protocols use.

pub(crate) mod address;
pub(crate) mod classes;
pub(crate) mod datagram;
pub(crate) mod endpoint;
pub(crate) mod exclusive;
pub(crate) mod flow;
pub(crate) mod info;
pub(crate) mod pipe;
mod private_attributes;
pub(crate) mod reader_sink;
pub(crate) mod socket;
pub(crate) mod subprocess;
pub(crate) mod tls;
