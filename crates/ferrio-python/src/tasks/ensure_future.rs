//! `isfuture`, `iscoroutine` and `ensure_future`: testing for awaitables, and creating a future from any of them.

use ferrio_cpython::capi::asyncio_code;
use ferrio_cpython::capi::hooks;
use ferrio_cpython::capi::memory;
use ferrio_cpython::get_event_loop;
use ferrio_cpython::objects::coroutine_check::{is_coroutine, is_coroutine_object};
use ferrio_cpython::objects::create_task::TaskMaker;
use ferrio_cpython::objects::future::{extend_source_traceback, future_like};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::common::imports;

/// Whether the object is a future: of any class with `_asyncio_future_blocking`, where it is not None.
#[pyfunction]
pub(super) fn isfuture(obj: &Bound<'_, PyAny>) -> PyResult<bool> {
    future_like::is_marked_future(obj)
}

/// Whether the object is a coroutine (not a coroutine function).
#[pyfunction]
pub(super) fn iscoroutine(obj: &Bound<'_, PyAny>) -> PyResult<bool> {
    is_coroutine_object(obj)
}

/// A future for an awaitable: itself if it is one, else a task that awaits it.
#[pyfunction]
#[pyo3(signature = (coro_or_future, *, r#loop=None))]
pub(super) fn ensure_future<'py>(
    coro_or_future: &Bound<'py, PyAny>,
    r#loop: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    ensured(coro_or_future, r#loop)
}

/// Creates a task by `maker` for a coroutine that is not being run.
///
/// # Errors
/// The error of the loop's `create_task`; the coroutine is closed then.
#[inline]
pub(super) fn start_by<'py>(maker: &TaskMaker<'py>, coroutine: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    maker.make(coroutine).inspect_err(|error| close_after(coroutine, error))
}

/// `tasks.ensure_future`, as asyncio's Python code calls it.
#[inline]
pub(crate) fn ensure<'py>(
    awaitable: &Bound<'py, PyAny>,
    owner: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    match hooks::ENSURE_FUTURE.replacement(awaitable.py())? {
        Some(function) => call_replacement(&function, awaitable, owner),
        None => ensured(awaitable, owner),
    }
}

#[cold]
fn call_replacement<'py>(
    function: &Bound<'py, PyAny>,
    awaitable: &Bound<'py, PyAny>,
    owner: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let keywords = memory::dict(function.py())?;
    if let Some(owner) = owner {
        keywords.set_item(name!("loop"), owner)?;
    }
    function.call((awaitable,), Some(&keywords))
}

#[inline]
fn ensured<'py>(awaitable: &Bound<'py, PyAny>, owner: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    if future_like::is_future(awaitable)? {
        if let Some(owner) = owner
            && !owner.is(&future_like::loop_of(awaitable)?)
        {
            return Err(ferrio_cpython::error::<PyValueError>(
                "The future belongs to a different loop than the one specified as the loop argument",
            ));
        }
        return Ok(awaitable.clone());
    }
    if is_coroutine(awaitable)? {
        return start(awaitable, owner, true);
    }
    start(&wrap_awaitable(awaitable)?, owner, false)
}

fn start<'py>(
    coroutine: &Bound<'py, PyAny>,
    owner: Option<&Bound<'py, PyAny>>,
    should_close: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let py = coroutine.py();
    let create_task = pyo3::intern!(py, "create_task");
    let task = match owner {
        Some(owner) => owner.call_method1(create_task, (coroutine,)),
        None => get_event_loop(py)?.call_method1(create_task, (coroutine,)),
    };
    match task {
        Ok(task) => {
            let own = imports::python_version(py) < (3, 12);
            extend_source_traceback(&task, if own { "_ensure_future" } else { "ensure_future" }, "create_task")?;
            Ok(task)
        }
        Err(error) => {
            if should_close {
                close_after(coroutine, &error);
            }
            Err(error)
        }
    }
}

/// Closes a coroutine that the loop refused, to avoid the warning about one that was never awaited. The loop's error is
/// the one that is raised.
#[cold]
fn close_after(coroutine: &Bound<'_, PyAny>, error: &PyErr) {
    if error.is_instance_of::<PyRuntimeError>(coroutine.py()) {
        let _ = coroutine.call_method0(name!("close"));
    }
}

/// A coroutine that awaits `awaitable`.
#[cold]
pub(crate) fn wrap_awaitable<'py>(awaitable: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = awaitable.py();
    if !imports::isawaitable(py)?.call1((awaitable,))?.is_truthy()? {
        return Err(ferrio_cpython::error::<PyTypeError>("An asyncio.Future, a coroutine or an awaitable is required"));
    }
    wrapper(py)?.call1((awaitable,))
}

/// The coroutine function that awaits its argument: asyncio's own, because a task shows its coroutine and programs may
/// expect one of the interpreter's coroutines.
fn wrapper(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static CELL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let make = || {
        if let Some(function) = imports::tasks_module(py)?.getattr_opt(name!("_wrap_awaitable"))? {
            return Ok::<_, PyErr>(function.unbind());
        }
        let nested = asyncio_code::function(py, "ensure_future.<locals>._wrap_awaitable");
        let none = || ferrio_cpython::error::<PyTypeError>("asyncio.ensure_future wraps no awaitables");
        Ok(nested.ok_or_else(none)?.unbind())
    };
    Ok(CELL.get_or_try_init(py, make)?.bind(py))
}
