//! `current_task` and `all_tasks`.

use ferrio_cpython::objects::{current, task};
use pyo3::prelude::*;

/// The task that is running on the loop, the running loop by default, or None.
#[pyfunction]
#[pyo3(signature = (r#loop=None))]
pub(super) fn current_task<'py>(
    py: Python<'py>,
    r#loop: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    match r#loop {
        Some(owner) => ferrio_cpython::current_task(owner),
        None => ferrio_cpython::current_task(&current::loop_of_builtin(py, (3, 12))?),
    }
}

/// The tasks of the loop, the running loop by default, that are not done.
#[pyfunction]
#[pyo3(signature = (r#loop=None))]
pub(super) fn all_tasks<'py>(py: Python<'py>, r#loop: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    match r#loop {
        Some(owner) => task::all_tasks(owner),
        None => task::all_tasks(&current::loop_of_builtin(py, (3, 14))?),
    }
}
