//! What ferrio's own loops offer beside asyncio's public names: fewer calls for what happens to each task.
//!
//! The extension of the package ferrio is looked up while it runs, and nothing links to it. Its capsule has a version,
//! which is checked for each loop.

use std::sync::OnceLock;

use ferrio_capsule::{ATTRIBUTE, Functions, Mismatch, VERSION};
use pyo3::exceptions::PyImportError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::asyncio;
use crate::interpreter::check_interpreter;

/// Set once a loop of ferrio's was met.
static FUNCTIONS: OnceLock<Functions> = OnceLock::new();

/// ferrio's functions for `event_loop`, if it is one of ferrio's.
///
/// # Errors
/// `ImportError` if ferrio's version of the interface is another one.
pub(crate) fn functions_of(event_loop: &Bound<'_, PyAny>) -> PyResult<Option<Functions>> {
    let py = event_loop.py();
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?.cast_into::<PyDict>()?;
    // Without it no loop is ferrio's.
    let Some(ferrio) = modules.get_item(intern!(py, "ferrio._ferrio"))? else { return Ok(None) };
    if !event_loop.is_instance(&ferrio.getattr(intern!(py, "EventLoop"))?)? {
        return Ok(None);
    }
    // A ferrio that is too old for a capsule is of version 0.0.
    let opened = match ferrio.getattr_opt(ATTRIBUTE)? {
        Some(capsule) => Functions::open(&capsule),
        None => Err(Mismatch::NO_CAPSULE),
    };
    match opened {
        Ok(functions) => {
            FUNCTIONS.get_or_init(|| functions);
            Ok(Some(functions))
        }
        Err(mismatch) => Err(refusal(&ferrio, mismatch)?),
    }
}

#[cold]
fn refusal(ferrio: &Bound<'_, PyAny>, mismatch: Mismatch) -> PyResult<PyErr> {
    let release: String = ferrio.getattr(intern!(ferrio.py(), "__version__"))?.extract()?;
    let advice =
        if mismatch.is_ferrio_older() { "update ferrio" } else { "rebuild the extension with a newer ferrio-bridge" };
    let (needed, found) = (VERSION, mismatch.found);
    let short = if mismatch.is_short { ", whose table is too short" } else { "" };
    Ok(PyImportError::new_err(format!(
        "this extension needs version {}.{} of ferrio's bridge, but ferrio {release} has {}.{}{short}: {advice}",
        needed.0, needed.1, found.0, found.1
    )))
}

/// The loop that runs on this thread.
///
/// # Errors
/// `RuntimeError` if none does; `ImportError` in a sub-interpreter.
pub(crate) fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    check_interpreter(py)?;
    match FUNCTIONS.get() {
        Some(functions) => functions.running_loop(py),
        None => asyncio::running_loop(py),
    }
}

/// A task of `event_loop` that drives `coroutine`.
pub(crate) fn create_task<'py>(
    functions: Option<Functions>,
    event_loop: &Bound<'py, PyAny>,
    coroutine: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    match functions {
        Some(functions) => functions.create_task(event_loop, coroutine),
        None => event_loop.call_method1(intern!(event_loop.py(), "create_task"), (coroutine,)),
    }
}

/// A future of `event_loop` that a coroutine may yield to its task.
pub(crate) fn blocking_future<'py>(
    functions: Option<Functions>,
    event_loop: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    match functions {
        Some(functions) => functions.new_future(event_loop),
        None => asyncio::blocking_future(event_loop),
    }
}

/// Completes a future, unless it is done.
pub(crate) fn complete(functions: Option<Functions>, future: &Bound<'_, PyAny>) -> PyResult<()> {
    match functions {
        Some(functions) => functions.complete(future),
        None => asyncio::complete(future),
    }
}
