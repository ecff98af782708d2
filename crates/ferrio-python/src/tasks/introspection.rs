//! `current_task` and `all_tasks`.

use ferrio_cpython::task;
use pyo3::prelude::*;

use super::creating::demand_running_loop;

/// The task that is running on the loop, the running loop by default, or None.
#[pyfunction]
#[pyo3(signature = (r#loop=None))]
pub(super) fn current_task<'py>(
    py: Python<'py>,
    r#loop: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    match r#loop {
        Some(owner) => ferrio_cpython::current_task(owner),
        None => ferrio_cpython::current_task(&demand_running_loop(py)?),
    }
}

/// The tasks of the loop, the running loop by default, that are not done.
#[pyfunction]
#[pyo3(signature = (r#loop=None))]
pub(super) fn all_tasks<'py>(py: Python<'py>, r#loop: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    match r#loop {
        Some(owner) => task::all_tasks(owner),
        None => task::all_tasks(&demand_running_loop(py)?),
    }
}
