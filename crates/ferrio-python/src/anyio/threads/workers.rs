//! What the worker threads need of anyio's modules, looked up where anyio's own function looks it up.

use std::time::Duration;

use ferrio_cpython::LoopBase;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::anyio::backend;
use crate::common::imports;

/// The global names of anyio's `_backends/_asyncio.py`.
fn names(py: Python<'_>) -> PyResult<&Bound<'_, PyDict>> {
    static CELL: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let find = || {
        let method = backend::method(py, "run_sync_in_worker_thread")?;
        let globals = method.getattr(name!("__func__"))?.getattr(name!("__globals__"))?;
        Ok::<_, PyErr>(globals.cast_into::<PyDict>()?.unbind())
    };
    Ok(CELL.get_or_try_init(py, find)?.bind(py))
}

/// anyio's `threadlocals`.
pub(super) fn thread_locals(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    names(py)?.as_any().get_item(pyo3::intern!(py, "threadlocals"))
}

/// The limiter that is used when the caller names none.
pub(super) fn default_limiter(py: Python<'_>) -> PyResult<Py<PyAny>> {
    let backend = names(py)?.as_any().get_item(pyo3::intern!(py, "AsyncIOBackend"))?;
    backend.call_method0(pyo3::intern!(py, "current_default_thread_limiter")).map(Bound::unbind)
}

/// The task whose end ends the workers.
pub(super) fn root_task(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    names(py)?.as_any().get_item(name!("find_root_task"))?.call0()
}

/// `WorkerThread.MAX_IDLE_TIME`.
pub(super) fn longest_idle_time(py: Python<'_>) -> PyResult<Duration> {
    let class = names(py)?.as_any().get_item(pyo3::intern!(py, "WorkerThread"))?;
    let seconds: f64 = class.getattr(pyo3::intern!(py, "MAX_IDLE_TIME"))?.extract()?;
    Ok(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX))
}

/// A thread of anyio's class that is not started.
pub(super) fn new_thread<'py>(root_task: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = root_task.py();
    let (workers, idle) = (imports::set(py)?.call0()?, imports::deque(py)?.call0()?);
    names(py)?.as_any().get_item(name!("WorkerThread"))?.call1((root_task, workers, idle))
}

/// Runs `body` in a thread whose code finds the loop by anyio's `from_thread`.
pub(super) fn claimed(owner: &Bound<'_, LoopBase>, body: impl FnOnce() -> PyResult<()>) -> PyResult<()> {
    let py = owner.py();
    let names = names(py)?.as_any();
    let backend = names.get_item(name!("AsyncIOBackend"))?;
    let with = names.get_item(name!("claim_worker_thread"))?.call1((backend, owner))?;
    with.call_method0(name!("__enter__"))?;
    let outcome = body();
    let none = py.None();
    outcome.and(with.call_method1(name!("__exit__"), (&none, &none, &none)).map(drop))
}

/// Notes in the thread's context that no asynchronous library runs there, if sniffio can be asked.
pub(super) fn forget_library(context: &Bound<'_, PyAny>) -> PyResult<()> {
    static FINDING: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let py = context.py();
    let forget = names(py)?.as_any().get_item(pyo3::intern!(py, "set_current_async_library"))?;
    let find = || Ok::<_, PyErr>(ferrio_cpython::module(py, name!("anyio._core._eventloop"))?.dict().unbind());
    let sniffio = FINDING.get_or_try_init(py, find)?.bind(py).get_item(pyo3::intern!(py, "sniffio"))?;
    if sniffio.is_some_and(|sniffio| sniffio.is_none()) {
        return Ok(());
    }
    context.call_method1(pyo3::intern!(py, "run"), (forget, py.None())).map(drop)
}
