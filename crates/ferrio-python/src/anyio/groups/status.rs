//! `TaskStatus`: what `TaskGroup.start` passes to the task that it makes.

use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::objects::current::{CurrentTaskCall, get_running_loop, running_task};
use ferrio_cpython::objects::future::future_like;
use pyo3::exceptions::{PyKeyError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::anyio::backend;
use crate::anyio::scopes::CancelScope;
use crate::anyio::task_states::{set_parent, state_of};

/// What a task that is being started gets as `task_status`.
#[pyclass(frozen, weakref, name = "_AsyncioTaskStatus", module = "anyio._backends._asyncio")]
pub(crate) struct TaskStatus {
    pub(super) future: OwnedRef,
    /// The identity of the group's host, the parent from then on.
    pub(super) parent: usize,
    /// The group's scope, to which the task belongs from then on.
    pub(super) target: OwnedRef<CancelScope>,
    /// The task's own scope.
    pub(super) scope: OwnedRef<CancelScope>,
}

#[pymethods]
impl TaskStatus {
    #[getter]
    fn __class__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        backend::class(slf.py(), |classes| &classes.task_status)
    }

    /// Signal that the task has started.
    #[pyo3(signature = (value=None))]
    fn started<'py>(slf: &Bound<'py, Self>, value: Option<Bound<'py, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let task = running_task(py, &get_running_loop(py)?, CurrentTaskCall::WithoutLoop)?;
        let state = task.as_ref().map_or(Ok(None), state_of)?;
        let Some(state) = state else {
            return Err(ferrio_cpython::error::<PyKeyError>((task.map(Bound::unbind),)));
        };
        set_parent(&state, this.parent)?;
        let future = this.future.bind(py);
        if future_like::is_done(future)? {
            if future_like::is_cancelled(future)? {
                // Whoever called `start()` was cancelled.
                return Ok(());
            }
            let text = "called 'started' twice on the same task status";
            return Err(ferrio_cpython::error::<PyRuntimeError>(text));
        }
        future_like::set_result(future, value.unwrap_or_else(|| py.None().into_bound(py)))?;
        CancelScope::reparent(this.scope.bind(py), this.target.bind(py).as_any())
    }

    #[getter(_future)]
    fn shown_future<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.future.bind(py).clone()
    }

    #[getter(_parent_id)]
    fn shown_parent(&self) -> usize {
        self.parent
    }

    #[getter(_target_scope)]
    fn shown_target<'py>(&self, py: Python<'py>) -> Bound<'py, CancelScope> {
        self.target.bind(py).clone()
    }

    #[getter(_spawn_scope)]
    fn shown_scope<'py>(&self, py: Python<'py>) -> Bound<'py, CancelScope> {
        self.scope.bind(py).clone()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.future.traverse(&visit)?;
        self.target.traverse(&visit)?;
        self.scope.traverse(&visit)
    }
}
