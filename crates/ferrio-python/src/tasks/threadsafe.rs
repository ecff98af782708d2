//! `run_coroutine_threadsafe`: a coroutine for a loop that runs in another thread.

use ferrio_cpython::objects::coroutine_check::is_coroutine;
use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit, PyTypeError};
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::ensure_future::ensure;
use super::wrap_future::chain;
use crate::common::imports;

/// Have a loop, of whichever thread, run a coroutine; gives a `concurrent.futures.Future` of its result.
#[pyfunction]
pub(super) fn run_coroutine_threadsafe<'py>(
    coro: &Bound<'py, PyAny>,
    r#loop: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = coro.py();
    if !is_coroutine(coro)? {
        return Err(ferrio_cpython::error::<PyTypeError>("A coroutine object is required"));
    }
    let future = imports::concurrent_future(py)?.call0()?;
    let submission = Submission {
        coroutine: coro.clone().unbind(),
        owner: r#loop.clone().unbind(),
        future: future.clone().unbind(),
    };
    r#loop.call_method1(pyo3::intern!(py, "call_soon_threadsafe"), (submission,))?;
    Ok(future)
}

/// The callback by which `run_coroutine_threadsafe` starts the coroutine in the loop's thread.
#[pyclass(frozen, module = "ferrio")]
pub(crate) struct Submission {
    coroutine: Py<PyAny>,
    owner: Py<PyAny>,
    future: Py<PyAny>,
}

#[pymethods]
impl Submission {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let future = self.future.bind(py);
        let begun = ensure(self.coroutine.bind(py), Some(self.owner.bind(py))).and_then(|task| chain(&task, future));
        let Err(error) = begun else { return Ok(()) };
        let leaves = error.is_instance_of::<PySystemExit>(py) || error.is_instance_of::<PyKeyboardInterrupt>(py);
        if !leaves && future.call_method0(pyo3::intern!(py, "set_running_or_notify_cancel"))?.is_truthy()? {
            future.call_method1(pyo3::intern!(py, "set_exception"), (error.value(py),))?;
        }
        Err(error)
    }

    #[getter(__qualname__)]
    fn qualified_name(&self) -> &'static str {
        let _ = self;
        "run_coroutine_threadsafe.<locals>.callback"
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.coroutine)?;
        visit.call(&self.owner)?;
        visit.call(&self.future)
    }
}
