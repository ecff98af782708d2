//! `TaskGroup`: its state, and what its tasks do to it when they are done; `spawning.rs` makes tasks, `starting.rs` those
//! that say when they are ready (to a `TaskStatus`, `status.rs`), `leaving.rs` waits for them, `handle.rs` has `TaskHandle`
//! and the coroutine that a task runs.
//!
//! Invariant: a task is in the group, in its scope and in the table of states from its creation until its done callback
//! has run.

mod handle;
mod leaving;
mod spawning;
mod starting;
mod status;

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{self, Body, Visitor};
use ferrio_cpython::objects::future::DoneCallback;
use ferrio_cpython::objects::future::future_like::{self, Failure};
use pyo3::exceptions::{PyAssertionError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyList;
use pyo3::{PyTraverseError, PyVisit};

pub(crate) use handle::TaskHandle;
pub(crate) use status::TaskStatus;

use super::backend;
use super::members::Members;
use super::scopes::{CancelScope, any_scope};
use super::task_states::{delete_state, scope_of};
use crate::common::imports;

/// Several tasks that end together; `anyio.abc.TaskGroup`.
#[pyclass(frozen, weakref, dict, module = "anyio._backends._asyncio")]
pub(crate) struct TaskGroup {
    /// Always there, except that Python 3.11 makes the dictionary before the group's value, out of zeros.
    scope: Option<OwnedRef<CancelScope>>,
    tasks: Members,
    inner: GilCell<Inner>,
}

struct Inner {
    entered: bool,
    /// None once the group has ended.
    exceptions: Option<OwnedRef<PyList>>,
    /// The future that the last task completes, while the group waits.
    completed: Option<OwnedRef>,
}

/// A task that `start()` made: its group, and the future that waits for `started()`.
#[pyclass(frozen)]
pub(crate) struct StartedTask {
    group: OwnedRef<TaskGroup>,
    status: OwnedRef,
}

static TASK_DONE: DoneCallback = DoneCallback::new("TaskGroup._spawn.<locals>.task_done", task_done);
static STARTED_TASK_DONE: DoneCallback = DoneCallback::new("TaskGroup._spawn.<locals>.task_done", started_task_done);

/// `AsyncIOBackend.create_task_group`.
#[pyfunction]
pub(crate) fn create_task_group(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    if backend::our_loop_with_scopes(py)?.is_none() {
        return backend::method(py, "create_task_group")?.call0();
    }
    Ok(Bound::new(py, TaskGroup::new(py)?)?.into_any())
}

#[pymethods]
impl TaskGroup {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        let exceptions = OwnedRef::of(&memory::empty_list(py)?);
        let inner = Inner { entered: false, exceptions: Some(exceptions), completed: None };
        let scope = Some(OwnedRef::of(&CancelScope::unlimited(py, false)?));
        Ok(Self { scope, tasks: Members::new(), inner: GilCell::new(inner) })
    }

    #[getter]
    fn __class__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        backend::class(slf.py(), |classes| &classes.task_group)
    }

    #[getter]
    fn cancel_scope<'py>(&self, py: Python<'py>) -> Bound<'py, CancelScope> {
        self.scope(py).clone()
    }

    /// Cancel this task group's cancel scope immediately.
    #[pyo3(signature = (reason=None))]
    fn cancel(&self, py: Python<'_>, reason: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        CancelScope::cancel_for(self.scope(py), reason)
    }

    fn __aenter__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        coroutine::spawn(slf.py(), "TaskGroup.__aenter__", Enter(OwnedRef::of(slf)))
    }

    #[pyo3(signature = (exc_type, exc_val, exc_tb))]
    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        exc_type: &Bound<'py, PyAny>,
        exc_val: Option<Bound<'py, PyAny>>,
        exc_tb: &Bound<'py, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        let _ = (exc_type, exc_tb);
        coroutine::spawn(slf.py(), "TaskGroup.__aexit__", leaving::Leave::new(slf, exc_val))
    }

    #[getter(_entered)]
    fn shown_entered(&self, py: Python<'_>) -> bool {
        self.inner.with(py, |inner| inner.entered)
    }

    #[getter(_exceptions)]
    fn shown_exceptions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.exceptions(py)
    }

    #[getter(_tasks)]
    fn shown_tasks<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.tasks.set(py).map(Bound::into_any)
    }

    #[getter(_on_completed_fut)]
    fn shown_completed<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.inner.with(py, |inner| inner.completed.as_ref().map(|future| future.bind(py).clone()))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.scope.as_ref().map_or(Ok(()), |scope| scope.traverse(&visit))?;
        self.tasks.traverse(&visit)?;
        let outcome = self.inner.traverse(&visit, |inner| {
            inner.exceptions.as_ref().map_or(Ok(()), |exceptions| exceptions.traverse(&visit))?;
            inner.completed.as_ref().map_or(Ok(()), |completed| completed.traverse(&visit))
        });
        outcome.unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        self.tasks.clear(py);
        let before = self.inner.with(py, |inner| (inner.exceptions.take(), inner.completed.take()));
        drop(before);
    }
}

impl TaskGroup {
    fn scope<'py>(&self, py: Python<'py>) -> &Bound<'py, CancelScope> {
        self.scope.as_ref().expect("a whole group has one").bind(py)
    }

    fn exceptions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let exceptions =
            self.inner.with(py, |inner| inner.exceptions.as_ref().map(|exceptions| exceptions.bind(py).clone()));
        exceptions.ok_or_else(|| {
            let text = "'TaskGroup' object has no attribute '_exceptions'";
            ferrio_cpython::error::<pyo3::exceptions::PyAttributeError>(text)
        })
    }

    /// Whether tasks can be started.
    fn is_active(&self, py: Python<'_>) -> bool {
        self.inner.with(py, |inner| inner.entered) && self.scope(py).get().is_active(py)
    }

    /// Takes a task out, and wakes the group if it was the last.
    fn remove(&self, task: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = task.py();
        if on_3_14(py)
            && let Some(host) = self.scope(py).get().host(py)
        {
            future_like::discard_waiter(task, &host)?;
        }
        let Some(scope) = scope_of(task)? else {
            return Err(ferrio_cpython::error::<PyAssertionError>(()));
        };
        any_scope::remove_task(&scope, task)?;
        self.tasks.remove(task)?;
        delete_state(task)?;
        if self.tasks.is_empty(py)
            && let Some(completed) = self.shown_completed(py)
            && !future_like::is_done(&completed)?
        {
            future_like::set_result(&completed, py.None().into_bound(py))?;
        }
        Ok(())
    }

    /// What the failure of a task means for the group.
    fn take_failure(&self, py: Python<'_>, exception: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        if let Some(exception) = exception
            && !exception.is_instance(imports::cancelled_error(py)?)?
        {
            self.exceptions(py)?.append(exception)?;
        }
        let scope = self.scope(py);
        if any_scope::is_effectively_cancelled(scope.as_any())? {
            return Ok(());
        }
        CancelScope::cancel_for(scope, None)
    }
}

fn on_3_14(py: Python<'_>) -> bool {
    imports::python_version(py) >= (3, 14)
}

fn task_done<'py>(group: &Bound<'py, PyAny>, task: &Bound<'py, PyAny>) -> PyResult<()> {
    let group = group.cast::<TaskGroup>()?.get();
    group.remove(task)?;
    match future_like::failure(task)? {
        None => Ok(()),
        Some(Failure::Cancelled) => group.take_failure(task.py(), None),
        Some(Failure::Exception(exception)) => group.take_failure(task.py(), Some(exception)),
    }
}

fn started_task_done<'py>(started: &Bound<'py, PyAny>, task: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = started.py();
    let started = started.cast::<StartedTask>()?.get();
    let (group, status) = (started.group.bind(py).get(), started.status.bind(py));
    group.remove(task)?;
    let exception = match future_like::failure(task)? {
        None if future_like::is_done(status)? => return Ok(()),
        None => {
            let text = "Child exited without calling task_status.started()";
            let error = ferrio_cpython::error::<PyRuntimeError>(text);
            return future_like::set_exception(status, error.value(py).as_any());
        }
        Some(Failure::Cancelled) => innermost_cancellation(task)?,
        Some(Failure::Exception(exception)) => exception,
    };
    // It can only be cancelled because the caller of `start()` was: that one's `CancelledError` is enough.
    if future_like::is_cancelled(status)? {
        return Ok(());
    }
    if future_like::is_done(status)? {
        return group.take_failure(py, Some(exception));
    }
    future_like::set_exception(status, &exception)
}

/// The `CancelledError` of a cancelled task that began a chain of such contexts.
#[cold]
fn innermost_cancellation<'py>(task: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = task.py();
    let mut error = match task.call_method0(name!("exception")) {
        Ok(exception) => return Ok(exception),
        Err(error) => error.into_value(py).into_bound(py).into_any(),
    };
    loop {
        let context = error.getattr(pyo3::intern!(py, "__context__"))?;
        if !context.is_instance(imports::cancelled_error(py)?)? {
            return Ok(error);
        }
        error = context;
    }
}

#[pymethods]
impl StartedTask {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.group.traverse(&visit)?;
        self.status.traverse(&visit)
    }
}

/// The body of `__aenter__`; it never waits.
struct Enter(OwnedRef<TaskGroup>);

impl Body for Enter {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        input?;
        let group = self.0.bind(py);
        if group.get().inner.with(py, |inner| std::mem::replace(&mut inner.entered, true)) {
            return Err(ferrio_cpython::error::<PyRuntimeError>("TaskGroup cannot be entered more than once"));
        }
        CancelScope::enter(group.get().scope(py))?;
        Ok(Step::Returned(group.clone().into_any()))
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.0);
    }
}
