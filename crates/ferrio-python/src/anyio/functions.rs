//! anyio's module functions whose way through Python is longer than what they do.
//!
//! Each serves a ferrio loop as long as the part of the backend that it stands for is in place; otherwise it calls
//! anyio's own function.

use ferrio_cpython::capi::coroutine_function::stand_in;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::scopes::CancelScope;
use super::serving::{deadline_after, served, served_scope};
use super::{backend, checkpoints, clock, fail_after, groups};
use crate::common::timer::plain_number;
use crate::locks::optional_argument::Argument;

/// The functions, by name.
pub(super) fn table<'py>(module: &Bound<'py, PyModule>) -> PyResult<Bound<'py, PyDict>> {
    let functions = PyDict::new(module.py());
    for function in [
        wrap_pyfunction!(checkpoint, module)?,
        wrap_pyfunction!(checkpoint_if_cancelled, module)?,
        wrap_pyfunction!(cancel_shielded_checkpoint, module)?,
        wrap_pyfunction!(sleep, module)?,
        wrap_pyfunction!(current_time, module)?,
        wrap_pyfunction!(move_on_after, module)?,
        wrap_pyfunction!(fail_after::fail_after, module)?,
        wrap_pyfunction!(create_task_group, module)?,
    ] {
        functions.set_item(function.getattr(name!("__name__"))?, function)?;
    }
    Ok(functions)
}

/// A function of ferrio's that shows the attributes of anyio's.
#[pyfunction]
#[pyo3(name = "_anyio_stand_in")]
pub(super) fn in_place_of<'py>(
    function: &Bound<'py, PyAny>,
    original: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    stand_in(function, original)
}

/// Whether nothing was passed; anyio's own function refuses what it does not take.
fn without_arguments(arguments: &Bound<'_, PyTuple>, keywords: Option<&Bound<'_, PyDict>>) -> bool {
    arguments.is_empty() && keywords.is_none()
}

#[pyfunction]
#[pyo3(signature = (*arguments, **keywords))]
fn checkpoint<'py>(arguments: &Bound<'py, PyTuple>, keywords: Option<&Bound<'py, PyDict>>) -> PyResult<Py<PyAny>> {
    let py = arguments.py();
    let name = pyo3::intern!(py, "checkpoint");
    if without_arguments(arguments, keywords) && served(py, name)?.is_some() {
        return checkpoints::one_turn(py, "checkpoint");
    }
    backend::function(py, name)?.call(arguments, keywords).map(Bound::unbind)
}

#[pyfunction]
#[pyo3(signature = (*arguments, **keywords))]
fn checkpoint_if_cancelled<'py>(
    arguments: &Bound<'py, PyTuple>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Py<PyAny>> {
    let py = arguments.py();
    let name = pyo3::intern!(py, "checkpoint_if_cancelled");
    if without_arguments(arguments, keywords) && served(py, name)?.is_some() {
        return checkpoints::while_cancelled(py, "checkpoint_if_cancelled");
    }
    backend::function(py, name)?.call(arguments, keywords).map(Bound::unbind)
}

#[pyfunction]
#[pyo3(signature = (*arguments, **keywords))]
fn cancel_shielded_checkpoint<'py>(
    arguments: &Bound<'py, PyTuple>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Py<PyAny>> {
    let py = arguments.py();
    let name = pyo3::intern!(py, "cancel_shielded_checkpoint");
    if without_arguments(arguments, keywords)
        && served(py, name)?.is_some()
        && backend::our_loop_with_scopes(py)?.is_some()
    {
        return checkpoints::shielded_turn(py, "cancel_shielded_checkpoint");
    }
    backend::function(py, name)?.call(arguments, keywords).map(Bound::unbind)
}

#[pyfunction]
#[pyo3(signature = (*arguments, **keywords))]
fn sleep<'py>(arguments: &Bound<'py, PyTuple>, keywords: Option<&Bound<'py, PyDict>>) -> PyResult<Py<PyAny>> {
    let py = arguments.py();
    let name = pyo3::intern!(py, "sleep");
    if arguments.len() == 1 && keywords.is_none() {
        let delay = arguments.get_item(0)?;
        // anyio's own function refuses other delays, negative ones and NaN.
        if plain_number(&delay).is_some_and(|seconds| seconds >= 0.0) && served(py, name)?.is_some() {
            return crate::tasks::sleep::sleep(delay, None);
        }
    }
    backend::function(py, name)?.call(arguments, keywords).map(Bound::unbind)
}

#[pyfunction]
#[pyo3(signature = (*arguments, **keywords))]
fn current_time<'py>(
    arguments: &Bound<'py, PyTuple>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = arguments.py();
    let name = pyo3::intern!(py, "current_time");
    if without_arguments(arguments, keywords)
        && let Some(ours) = served(py, name)?
    {
        return clock::time(&ours);
    }
    backend::function(py, name)?.call(arguments, keywords)
}

#[pyfunction]
#[pyo3(signature = (delay, shield=Argument(None)))]
fn move_on_after<'py>(delay: Bound<'py, PyAny>, shield: Argument<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = delay.py();
    if let Some(ours) = served_scope(py)? {
        let deadline = deadline_after(&ours, &delay)?;
        return Ok(CancelScope::create(py, deadline, shield.0)?.into_any());
    }
    let function = backend::function(py, pyo3::intern!(py, "move_on_after"))?;
    match shield.0 {
        None => function.call1((delay,)),
        Some(shield) => function.call1((delay, shield)),
    }
}

#[pyfunction]
#[pyo3(signature = (*arguments, **keywords))]
fn create_task_group<'py>(
    arguments: &Bound<'py, PyTuple>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = arguments.py();
    let name = pyo3::intern!(py, "create_task_group");
    if without_arguments(arguments, keywords) && served(py, name)?.is_some() {
        return groups::create_task_group(py);
    }
    backend::function(py, name)?.call(arguments, keywords)
}
