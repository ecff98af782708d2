//! Connecting to a stream server: `create_connection`, and the attempts it makes.

pub(crate) mod attempt;
pub(crate) mod create_connection;
pub(crate) mod happy_eyeballs;
pub(crate) mod staggered;
