//! Runners: a loop from its creation to its closing, as in asyncio's `runners.py`.
//!
//! `Runner` is in `runner.rs`, its attributes in `attributes.rs`, Ctrl-C in `sigint.rs`, closing a loop in `close.rs`;
//! this file holds the `run` functions. The one that replaces asyncio's after `install()` has the running Python's
//! signature and uses the loop of asyncio's policy; ferrio's own creates a ferrio loop on every Python.

mod attributes;
mod close;
pub(crate) mod runner;
mod sigint;

use ferrio_cpython::running_loop;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::common::imports;
use crate::event_loop::nested_runs;
use crate::locks::add_class;

use runner::Runner;

/// Adds `Runner` and the functions to the extension module.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    // asyncio's behaviour is inspected now, before `install()` replaces its class by this one.
    runner::takes_awaitables(py)?;
    add_class::<Runner>(module, &[])?;
    if imports::python_version(py) >= (3, 12) {
        module.add_function(wrap_pyfunction!(run, module)?)?;
    } else {
        module.add_function(wrap_pyfunction!(run_without_factory, module)?)?;
    }
    module.add("run_on_ferrio", wrap_pyfunction!(run_on_ferrio, module)?)
}

/// Execute the coroutine and return the result.
///
/// A new event loop is made and closed at the end; asynchronous generators, tasks that are left and the default
/// executor are shut down. It cannot be called while another loop runs in the same thread. `debug` sets the loop's
/// debug mode, `loop_factory` makes the loop.
#[pyfunction]
#[pyo3(signature = (main, *, debug=None, loop_factory=None))]
fn run<'py>(
    main: &Bound<'py, PyAny>,
    debug: Option<Py<PyAny>>,
    loop_factory: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    Runner::run_once(main, debug, loop_factory)
}

/// Execute the coroutine and return the result.
///
/// A new event loop is made and closed at the end; asynchronous generators, tasks that are left and the default
/// executor are shut down. It cannot be called while another loop runs in the same thread. `debug` sets the loop's
/// debug mode.
#[pyfunction]
#[pyo3(name = "run", signature = (main, *, debug=None))]
fn run_without_factory<'py>(main: &Bound<'py, PyAny>, debug: Option<Py<PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    Runner::run_once(main, debug, None)
}

/// Run the coroutine on a new ferrio loop and return its result.
///
/// Like asyncio.run, on every Python: `debug` sets the loop's debug mode, `loop_factory` makes another loop than
/// ferrio's. Asynchronous generators, leftover tasks and the default executor are shut down at the end.
#[pyfunction]
#[pyo3(name = "run", signature = (main, *, debug=None, loop_factory=None))]
fn run_on_ferrio<'py>(
    main: &Bound<'py, PyAny>,
    debug: Option<Py<PyAny>>,
    loop_factory: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let factory = match loop_factory {
        Some(factory) => factory,
        None => imports::event_loop(main.py())?.clone().unbind(),
    };
    Runner::run_once(main, debug, Some(factory))
}

/// # Errors
/// `RuntimeError` with `text` if a loop is running in this thread.
fn check_not_running(py: Python<'_>, text: &'static str) -> PyResult<()> {
    if running_loop(py)?.is_none() || nested_runs::are_allowed(py)? {
        Ok(())
    } else {
        Err(ferrio_cpython::error::<PyRuntimeError>(text))
    }
}
