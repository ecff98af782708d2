//! The loop that a primitive is bound to: the one that was running at its first wait.

use ferrio_cpython::capi::hooks;
use ferrio_cpython::objects::create_task;
use ferrio_cpython::{GilCell, running_loop};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

/// asyncio's `_LoopBoundMixin`.
#[derive(Default)]
pub(crate) struct Binding(GilCell<Option<Py<PyAny>>>);

impl Binding {
    /// `_get_loop`: the running loop, to which `object` is bound from now on.
    ///
    /// # Errors
    /// `RuntimeError` if it is bound to another loop.
    pub(crate) fn running_loop<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = object.py();
        // The common case, without calling asyncio (benchmark `queue_handoff`).
        let bound = self.0.with(py, |place| place.as_ref().map(|bound| bound.bind(py).clone()));
        if let Some(bound) = bound
            && create_task::runs_here(&bound)
            && !hooks::RUNNING_LOOP.is_replaced(py)
        {
            return Ok(bound);
        }
        let running = running_loop(py)?.unwrap_or_else(|| py.None().into_bound(py));
        let is_bound = self.0.with(py, |place| {
            if let Some(bound) = place {
                bound.is(&running)
            } else {
                *place = Some(running.clone().unbind()).filter(|running| !running.is_none(py));
                true
            }
        });
        if is_bound {
            return Ok(running);
        }
        Err(ferrio_cpython::error::<PyRuntimeError>(format!("{} is bound to a different event loop", object.repr()?)))
    }

    /// Creates a future of the running loop for a new waiter.
    ///
    /// # Errors
    /// The same as for `running_loop`.
    pub(crate) fn new_waiter<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        create_task::waiter(&self.running_loop(object)?)
    }

    /// `_loop`.
    pub(crate) fn shown(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.0.with(py, |bound| bound.as_ref().map(|bound| bound.clone_ref(py)))
    }

    /// Sets `_loop`.
    pub(crate) fn set(&self, py: Python<'_>, owner: Option<Py<PyAny>>) {
        let before = self.0.with(py, |place| std::mem::replace(place, owner));
        drop(before);
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.traverse(visit, |bound| visit.call(bound)).transpose().map(drop)
    }
}

/// Defines the attributes of asyncio's mixin for a class whose field `binding` is a `Binding`.
macro_rules! bound_to_loop {
    ($class:ident) => {
        #[pyo3::pymethods]
        impl $class {
            #[getter(_loop)]
            fn shown_loop(&self, py: pyo3::Python<'_>) -> Option<pyo3::Py<pyo3::PyAny>> {
                self.binding.shown(py)
            }

            #[setter(_loop)]
            fn set_loop(&self, py: pyo3::Python<'_>, owner: Option<pyo3::Py<pyo3::PyAny>>) {
                self.binding.set(py, owner);
            }

            fn _get_loop<'py>(slf: &pyo3::Bound<'py, Self>) -> pyo3::PyResult<pyo3::Bound<'py, pyo3::PyAny>> {
                slf.get().binding.running_loop(slf)
            }
        }
    };
}
pub(crate) use bound_to_loop;
