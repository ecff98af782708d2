//! A Python extension in Rust whose functions are asynchronous: a line protocol's client and server, and small examples
//! of each part of ferrio-bridge.
#![forbid(unsafe_code)]

mod client;
mod lines;
mod mishaps;
mod server;
mod small;
mod threads;

use pyo3::prelude::*;

/// A line protocol's client and server.
#[pymodule]
mod rust_extension {
    #[pymodule_export]
    use crate::client::{Client, connect};
    #[pymodule_export]
    use crate::mishaps::panicking_in;
    #[pymodule_export]
    use crate::server::{Server, serve};
    #[pymodule_export]
    use crate::small::{
        Gate, awaited, both, cancelled_after, failing, first, idle, in_thread, lazy, nested, panicking, ready,
        run_in_turn, slept, thread_results, through_sockets, unsent, wake_once,
    };
}
