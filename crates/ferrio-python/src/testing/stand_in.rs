//! Jobs that cannot tell which thread runs them, so that a simulation need not switch to one.
//!
//! They are what tests put in the place of work: `int`, `lambda: None`. A call counts as one of them if it has no
//! arguments and its function is a builtin class that makes an empty value, or a Python function that uses no names but
//! its own locals. It reaches no object that another one reaches, so it waits for nobody and changes nothing.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyFunction, PyInt, PyList, PySet, PyString, PyTuple, PyType};

use crate::threads::job::Job;

/// Whether the loop's thread may run the job as well.
pub(super) fn is_stand_in(job: &Bound<'_, PyAny>) -> PyResult<bool> {
    let Some(function) = job.cast::<Job>().ok().and_then(|job| job.get().bare_function(job.py())) else {
        return Ok(false);
    };
    match unwrapped(&function)? {
        Some(inner) => uses_nothing(&inner),
        None => uses_nothing(&function),
    }
}

/// The function that asyncio's `to_thread` wraps: `partial(context.run, function)`.
pub(super) fn unwrapped<'py>(function: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = function.py();
    if !function.get_type().is(partial_class(py)?) {
        return Ok(None);
    }
    let run = function.getattr(name!("func"))?;
    let Some(context) = run.getattr_opt(name!("__self__"))? else { return Ok(None) };
    let arguments = function.getattr(name!("args"))?;
    let runs_in_context = context.get_type().is(context_class(py)?)
        && run.getattr(name!("__name__"))?.eq("run")?
        && arguments.len()? == 1
        && function.getattr(name!("keywords"))?.is_empty()?;
    if runs_in_context { arguments.get_item(0).map(Some) } else { Ok(None) }
}

fn partial_class(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let class = CLASS.get_or_try_init(py, || {
        ferrio_cpython::module(py, name!("functools"))?.getattr(name!("partial")).map(Bound::unbind)
    });
    Ok(class?.bind(py))
}

fn context_class(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let class = CLASS.get_or_try_init(py, || {
        ferrio_cpython::module(py, name!("contextvars"))?.getattr(name!("Context")).map(Bound::unbind)
    });
    Ok(class?.bind(py))
}

fn uses_nothing(function: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = function.py();
    if let Ok(class) = function.cast::<PyType>() {
        let harmless = [
            py.get_type::<PyInt>(),
            py.get_type::<PyBool>(),
            py.get_type::<PyFloat>(),
            py.get_type::<PyString>(),
            py.get_type::<PyBytes>(),
            py.get_type::<PyTuple>(),
            py.get_type::<PyList>(),
            py.get_type::<PyDict>(),
            py.get_type::<PySet>(),
            py.get_type::<PyAny>(),
        ];
        return Ok(harmless.iter().any(|known| known.is(class)));
    }
    if !function.is_exact_instance_of::<PyFunction>() {
        return Ok(false);
    }
    let code = function.getattr(name!("__code__"))?;
    let is_zero = |name| code.getattr(name)?.extract::<usize>().map(|number| number == 0);
    Ok(code.getattr(name!("co_names"))?.is_empty()?
        && code.getattr(name!("co_freevars"))?.is_empty()?
        && is_zero(name!("co_argcount"))?
        && is_zero(name!("co_kwonlyargcount"))?)
}
