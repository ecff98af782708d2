//! The functions by which other libraries' tasks register with asyncio and report that they are running.
//!
//! The registry is asyncio's own, whose tasks `all_tasks` shows together with ferrio's. The functions therefore call
//! those of its C module, which also keep 3.14's per-thread state.

use pyo3::call::PyCallArgs;
use pyo3::prelude::*;

use crate::common::imports;

macro_rules! registrations {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[pyfunction]
        pub(super) fn $name(task: &Bound<'_, PyAny>) -> PyResult<()> {
            call_asyncio(task.py(), stringify!($name), (task,)).map(drop)
        }
    )*};
}

registrations! {
    /// Note a task, which `all_tasks` then shows as long as it lives and is not done.
    _register_task;
    /// Forget a task that is done.
    _unregister_task;
    /// Note a task that is about to be started eagerly.
    _register_eager_task;
    /// Forget a task whose eager start is over.
    _unregister_eager_task;
}

/// Note that a task's step begins, where none is running.
#[pyfunction]
pub(super) fn _enter_task(r#loop: &Bound<'_, PyAny>, task: &Bound<'_, PyAny>) -> PyResult<()> {
    call_asyncio(task.py(), "_enter_task", (r#loop, task)).map(drop)
}

/// Note that the step of the running task is over.
#[pyfunction]
pub(super) fn _leave_task(r#loop: &Bound<'_, PyAny>, task: &Bound<'_, PyAny>) -> PyResult<()> {
    call_asyncio(task.py(), "_leave_task", (r#loop, task)).map(drop)
}

/// Note that another task runs, or None; gives the one that did.
#[pyfunction]
pub(super) fn _swap_current_task<'py>(
    r#loop: &Bound<'py, PyAny>,
    task: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    call_asyncio(task.py(), "_swap_current_task", (r#loop, task))
}

fn call_asyncio<'py, A: PyCallArgs<'py>>(py: Python<'py>, name: &str, arguments: A) -> PyResult<Bound<'py, PyAny>> {
    imports::stock_module(py)?.getattr(name)?.call1(arguments)
}
