//! `AsyncIOBackend.current_time` and `current_effective_deadline`.

use ferrio_cpython::LoopBase;
use ferrio_cpython::objects::current::{CurrentTaskCall, running_task};
use pyo3::prelude::*;
use pyo3::types::PyFloat;

use super::backend;
use super::scopes::any_scope;
use super::task_states::scope_of;

/// The time of the running loop.
#[pyfunction]
pub(crate) fn current_time(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    match backend::our_loop(py)? {
        Some(ours) => time(&ours),
        None => backend::method(py, "current_time")?.call0(),
    }
}

/// The time of a loop.
#[inline]
pub(crate) fn time<'py>(ours: &Bound<'py, LoopBase>) -> PyResult<Bound<'py, PyAny>> {
    ours.call_method0(pyo3::intern!(ours.py(), "time"))
}

/// The nearest deadline of the scopes that can cancel the running task: infinity for none, minus infinity if one is
/// cancelled.
#[pyfunction]
pub(crate) fn current_effective_deadline(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let Some(ours) = backend::our_loop(py)? else {
        return backend::method(py, "current_effective_deadline")?.call0();
    };
    let mut deadline = PyFloat::new(py, f64::INFINITY).into_any();
    let task = running_task(py, ours.as_any(), CurrentTaskCall::WithoutLoop)?;
    let mut next = task.map_or(Ok(None), |task| scope_of(&task))?;
    while let Some(scope) = next {
        let own = scope.getattr(pyo3::intern!(py, "deadline"))?;
        if own.lt(&deadline)? {
            deadline = own;
        }
        if any_scope::is_cancel_called(&scope)? {
            return Ok(PyFloat::new(py, f64::NEG_INFINITY).into_any());
        }
        if any_scope::is_shielded(&scope)? {
            break;
        }
        next = any_scope::parent(&scope)?;
    }
    Ok(deadline)
}
