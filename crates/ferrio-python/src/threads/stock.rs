//! The parts of `concurrent.futures.thread` that pools share with the standard library's executors.

use ferrio_cpython::capi::interned;
use ferrio_cpython::capi::raise::raised;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// `concurrent.futures.thread`, imported with the first executor.
pub(super) fn module(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    static CELL: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let import = || ferrio_cpython::module(py, name!("concurrent.futures.thread")).map(Bound::unbind);
    Ok(CELL.get_or_try_init(py, import)?.bind(py))
}

/// The logger of `concurrent.futures`.
pub(super) fn logger(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    module(py)?.getattr(name!("_base"))?.getattr(name!("LOGGER"))
}

/// Whether the interpreter is exiting, so that workers end.
pub(super) fn is_shut_down(py: Python<'_>) -> PyResult<bool> {
    module(py)?.getattr(name!("_shutdown"))?.is_truthy()
}

/// `queue.Empty`.
pub(super) fn queue_is_empty(py: Python<'_>) -> PyResult<PyErr> {
    static CELL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let class = interned::import(py, &CELL, name!("queue"), name!("Empty"))?;
    Ok(raised(&class.call0()?))
}

/// The standard library's `ThreadPoolExecutor`, if it is as the library defines it: then a pool behaves as it does.
/// `submit` alone may be replaced, because each call of `submit` goes through it.
pub(super) fn unpatched_class(py: Python<'_>) -> PyResult<Option<Bound<'_, PyType>>> {
    let module = module(py)?;
    let class = module.getattr(name!("ThreadPoolExecutor"))?;
    for name in ["__init__", "_adjust_thread_count", "shutdown"] {
        if !is_defined_here(&class.getattr(name)?)? {
            return Ok(None);
        }
    }
    let worker = module.getattr(name!("_worker"))?;
    let run = module.getattr(name!("_WorkItem"))?.getattr(name!("run"))?;
    if !is_defined_here(&worker)? || !is_defined_here(&run)? {
        return Ok(None);
    }
    Ok(class.cast_into::<PyType>().ok())
}

/// `submit` of the class, unless a program has replaced it.
pub(super) fn unpatched_submit<'py>(class: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let submit = class.getattr(name!("submit"))?;
    Ok(if is_defined_here(&submit)? { Some(submit) } else { None })
}

/// Whether a function comes from the file of `concurrent.futures.thread`.
fn is_defined_here(function: &Bound<'_, PyAny>) -> PyResult<bool> {
    let Some(code) = function.getattr_opt(name!("__code__"))? else { return Ok(false) };
    let own = module(function.py())?.getattr(name!("_python_exit"))?.getattr(name!("__code__"))?;
    code.getattr(name!("co_filename"))?.eq(own.getattr(name!("co_filename"))?)
}

/// Calls `body` between the locks that `submit` holds, which the interpreter's exit and `shutdown` hold too, and
/// after its checks.
///
/// # Errors
/// `RuntimeError` when the executor or the interpreter is shut down; what `body` returns.
pub(super) fn submitting(executor: &Bound<'_, PyAny>, body: impl FnOnce() -> PyResult<()>) -> PyResult<()> {
    let py = executor.py();
    let own = executor.getattr(name!("_shutdown_lock"))?;
    let global = module(py)?.getattr(name!("_global_shutdown_lock"))?;
    locked(&own, || {
        locked(&global, || {
            check(executor)?;
            body()
        })
    })
}

fn locked(lock: &Bound<'_, PyAny>, body: impl FnOnce() -> PyResult<()>) -> PyResult<()> {
    lock.call_method0(name!("acquire"))?;
    let outcome = body();
    outcome.and(lock.call_method0(name!("release")).map(drop))
}

fn check(executor: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = executor.py();
    let broken = executor.getattr(name!("_broken"))?;
    if broken.is_truthy()? {
        return Err(raised(&module(py)?.getattr(name!("BrokenThreadPool"))?.call1((broken,))?));
    }
    if executor.getattr(name!("_shutdown"))?.is_truthy()? {
        return Err(ferrio_cpython::error::<PyRuntimeError>("cannot schedule new futures after shutdown"));
    }
    if is_shut_down(py)? {
        return Err(ferrio_cpython::error::<PyRuntimeError>("cannot schedule new futures after interpreter shutdown"));
    }
    Ok(())
}
