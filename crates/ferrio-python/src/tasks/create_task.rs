//! The function `create_task`, which uses the running loop.

use ferrio_cpython::capi::keyword_call::call_method;
use ferrio_cpython::objects::create_task::create_task_directly;
use ferrio_cpython::objects::current::get_running_loop;
use ferrio_cpython::objects::future::extend_source_traceback;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::common::imports;

/// The flag of code objects that take `**keywords`.
pub(crate) const CO_VARKEYWORDS: u32 = 8;

/// Have the running loop run a coroutine as a task; gives the task.
#[pyfunction]
#[pyo3(name = "create_task", signature = (coro, *, name=None, context=None))]
pub(crate) fn create_named_task<'py>(
    coro: &Bound<'py, PyAny>,
    name: Option<&Bound<'py, PyAny>>,
    context: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = coro.py();
    let owner = get_running_loop(py)?;
    if name.is_none()
        && let Some(task) = create_task_directly(&owner, coro, context)?
    {
        extend_source_traceback(&task, "create_task", "create_task")?;
        return Ok(task);
    }
    let method = pyo3::intern!(py, "create_task");
    let context = context.map(|context| (pyo3::intern!(py, "context"), context));
    if names_afterwards(py)? {
        let task = call_method(&owner, method, &[coro], context.as_slice())?;
        if let Some(name) = name {
            set_task_name(&task, name)?;
        }
        extend_source_traceback(&task, "create_task", "create_task")?;
        return Ok(task);
    }
    let none = py.None().into_bound(py);
    let name = (pyo3::intern!(py, "name"), name.unwrap_or(&none));
    let task = match context {
        None => call_method(&owner, method, &[coro], &[name]),
        Some(context) => call_method(&owner, method, &[coro], &[name, context]),
    }?;
    extend_source_traceback(&task, "create_task", "create_task")?;
    Ok(task)
}

/// Have the running loop run a coroutine as a task; gives the task. Keyword arguments are the loop's.
#[pyfunction]
#[pyo3(name = "create_task", signature = (coro, **kwargs))]
pub(crate) fn create_any_task<'py>(
    coro: &Bound<'py, PyAny>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = coro.py();
    let owner = get_running_loop(py)?;
    if kwargs.is_none()
        && let Some(task) = create_task_directly(&owner, coro, None)?
    {
        extend_source_traceback(&task, "create_task", "create_task")?;
        return Ok(task);
    }
    let task = owner.call_method(pyo3::intern!(py, "create_task"), (coro,), kwargs)?;
    extend_source_traceback(&task, "create_task", "create_task")?;
    Ok(task)
}

/// Whether `create_task` of the running Python passes on all keyword arguments.
pub(crate) fn takes_any(py: Python<'_>) -> PyResult<bool> {
    let code = imports::tasks_module(py)?.getattr(name!("create_task"))?.getattr(name!("__code__"))?;
    let has_own = code.getattr(name!("co_kwonlyargcount"))?.extract::<u32>()? > 0;
    Ok(!has_own && code.getattr(name!("co_flags"))?.extract::<u32>()? & CO_VARKEYWORDS != 0)
}

/// Whether the running Python names a task after its creation; from 3.13 on it does so during the creation.
pub(crate) fn names_afterwards(py: Python<'_>) -> PyResult<bool> {
    static CELL: PyOnceLock<bool> = PyOnceLock::new();
    CELL.get_or_try_init(py, || imports::tasks_module(py)?.hasattr(name!("_set_task_name"))).copied()
}

/// asyncio's `_set_task_name`, for a name that is not None. The task may have no `set_name`.
pub(crate) fn set_task_name<'py>(task: &Bound<'py, PyAny>, name: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = task.py();
    match task.getattr_opt(pyo3::intern!(py, "set_name"))? {
        Some(set_name) => set_name.call1((name,)).map(drop),
        None => imports::tasks_module(py)?.call_method1(name!("_set_task_name"), (task, name)).map(drop),
    }
}
