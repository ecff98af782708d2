//! Serving: `create_server`, its `Server`, and the listeners that accept connections for it.

pub(crate) mod create_server;
pub(crate) mod listener;
pub(crate) mod server;
