//! The line protocol of examples/rust-extension on tokio and pyo3-async-runtimes, for comparison.
#![forbid(unsafe_code)]

mod lines;

use std::future::pending;
use std::thread;

use pyo3::prelude::*;
use pyo3_async_runtimes::tokio::{get_runtime, init};

/// A line protocol's client and server.
#[pymodule]
mod rust_extension_tokio {
    #[pymodule_export]
    use crate::lines::{Client, Server, connect, serve};
    #[pymodule_export]
    use crate::use_one_thread;
}

/// Lets tokio run on one other thread, not on one for each core.
#[pyfunction]
fn use_one_thread() {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all();
    init(builder);
    thread::spawn(|| get_runtime().block_on(pending::<()>()));
}
