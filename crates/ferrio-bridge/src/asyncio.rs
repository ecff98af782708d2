//! asyncio's functions and classes, looked up once.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use crate::panics::{for_python, report_unraisable};

/// The loop that runs on this thread.
///
/// # Errors
/// `RuntimeError` if none does.
pub(crate) fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static FUNCTION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    FUNCTION.import(py, "asyncio.events", "get_running_loop")?.call0()
}

/// A future of `event_loop` that a coroutine may yield to its task.
pub(crate) fn blocking_future<'py>(event_loop: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = event_loop.py();
    let future = event_loop.call_method0(intern!(py, "create_future"))?;
    set_blocking(&future, true)?;
    Ok(future)
}

/// Says whether a future was yielded by `await` and its task is to wait for it.
pub(crate) fn set_blocking(future: &Bound<'_, PyAny>, value: bool) -> PyResult<()> {
    future.setattr(intern!(future.py(), "_asyncio_future_blocking"), value)
}

pub(crate) fn is_done(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    future.call_method0(intern!(future.py(), "done"))?.is_truthy()
}

/// Completes a future, unless it is done: it may have been cancelled with its task.
pub(crate) fn complete(future: &Bound<'_, PyAny>) -> PyResult<()> {
    if is_done(future)? {
        return Ok(());
    }
    future.call_method1(intern!(future.py(), "set_result"), (future.py().None(),)).map(drop)
}

pub(crate) fn cancelled_error(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.import(py, "asyncio.exceptions", "CancelledError")
}

/// Tells the loop's exception handler of an error that no other code would see.
pub(crate) fn report(event_loop: &Bound<'_, PyAny>, message: &str, error: PyErr) {
    let py = event_loop.py();
    let report = || {
        let context = pyo3::types::PyDict::new(py);
        context.set_item("message", message)?;
        context.set_item("exception", error.value(py))?;
        event_loop.call_method1(intern!(py, "call_exception_handler"), (context,))
    };
    if let Err(failed) = for_python(py, report) {
        report_unraisable(py, failed, Some(event_loop));
    }
}
