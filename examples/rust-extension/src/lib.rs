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
use pyo3::types::PyCFunction;

/// A line protocol's client and server, and the examples.
#[pymodule]
fn rust_extension(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // First, as the classes would be the interpreter's that asks for them first.
    ferrio_bridge::check_interpreter(module.py())?;
    module.add_class::<client::Client>()?;
    module.add_class::<server::Server>()?;
    module.add_class::<small::Gate>()?;
    for function in functions(module.py())? {
        module.add_function(function)?;
    }
    Ok(())
}

fn functions(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyCFunction>>> {
    Ok(vec![
        wrap_pyfunction!(client::connect, py)?,
        wrap_pyfunction!(server::serve, py)?,
        wrap_pyfunction!(mishaps::panicking_in, py)?,
        wrap_pyfunction!(small::awaited, py)?,
        wrap_pyfunction!(small::both, py)?,
        wrap_pyfunction!(small::cancelled_after, py)?,
        wrap_pyfunction!(small::failing, py)?,
        wrap_pyfunction!(small::first, py)?,
        wrap_pyfunction!(small::idle, py)?,
        wrap_pyfunction!(small::in_thread, py)?,
        wrap_pyfunction!(small::lazy, py)?,
        wrap_pyfunction!(small::nested, py)?,
        wrap_pyfunction!(small::panicking, py)?,
        wrap_pyfunction!(small::ready, py)?,
        wrap_pyfunction!(small::run_in_turn, py)?,
        wrap_pyfunction!(small::slept, py)?,
        wrap_pyfunction!(small::thread_results, py)?,
        wrap_pyfunction!(small::through_sockets, py)?,
        wrap_pyfunction!(small::unsent, py)?,
        wrap_pyfunction!(small::wake_once, py)?,
    ])
}
