//! `AsyncIOBackend.checkpoint` and its like: coroutines that let other tasks run, and let cancellation in or not.

use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Body, Visitor, spawn};
use pyo3::prelude::*;

use super::backend;

/// One turn of the loop, in which a cancellation may arrive.
#[pyfunction]
pub(crate) fn checkpoint(py: Python<'_>) -> PyResult<Py<PyAny>> {
    match backend::our_loop(py)? {
        Some(_) => spawn(py, "AsyncIOBackend.checkpoint", OneTurn { passed: false }),
        None => backend::method(py, "checkpoint")?.call0().map(Bound::unbind),
    }
}

/// `asyncio.sleep(delay)`.
#[pyfunction]
pub(crate) fn sleep(delay: Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let py = delay.py();
    match backend::our_loop(py)? {
        Some(_) => crate::tasks::sleep::sleep(delay, None),
        None => backend::method(py, "sleep")?.call1((delay,)).map(Bound::unbind),
    }
}

/// The body of `checkpoint`.
struct OneTurn {
    passed: bool,
}

impl Body for OneTurn {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        input?;
        let none = py.None().into_bound(py);
        Ok(if std::mem::replace(&mut self.passed, true) { Step::Returned(none) } else { Step::Yielded(none) })
    }

    fn traverse(&self, _: &Visitor<'_>) {}
}
