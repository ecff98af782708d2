//! `TaskHandle`, and the coroutine that a task of a group runs: the program's, inside a scope of its own.
//!
//! The event that tells of the end is made when it is first asked for. What is rarely used is anyio's own code.

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::raise::handling;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Awaiting, Body, Visitor, spawn};
use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::anyio::backend;
use crate::anyio::scopes::any_scope;
use crate::common::imports;

/// A task of a group, as its starter sees it; `anyio.TaskHandle`.
#[pyclass(frozen, weakref, module = "anyio")]
pub(crate) struct TaskHandle {
    coroutine: OwnedRef,
    scope: OwnedRef,
    name: OwnedRef,
    inner: GilCell<Inner>,
}

struct Inner {
    finished: bool,
    event: Option<OwnedRef>,
    exception: Option<OwnedRef>,
    return_value: Option<OwnedRef>,
    start_value: Option<OwnedRef>,
}

impl TaskHandle {
    pub(super) fn create<'py>(
        coroutine: &Bound<'py, PyAny>,
        name: Bound<'py, PyAny>,
        scope: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let inner = Inner { finished: false, event: None, exception: None, return_value: None, start_value: None };
        let handle = Self {
            coroutine: OwnedRef::of(coroutine),
            scope: scope.into(),
            name: name.into(),
            inner: GilCell::new(inner),
        };
        Bound::new(coroutine.py(), handle)
    }

    /// The coroutine for the task.
    pub(super) fn run(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        spawn(slf.py(), "TaskHandle._run_coro", Run { handle: OwnedRef::of(slf), awaiting: None })
    }

    /// Whether its status is `PENDING`.
    pub(super) fn is_pending(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(!self.is_finished(py) && !any_scope::is_cancel_called(self.scope.bind(py))?)
    }

    fn is_finished(&self, py: Python<'_>) -> bool {
        self.inner.with(py, |inner| inner.finished)
    }

    /// Notes the end, and tells those who wait for it.
    fn finish(&self, py: Python<'_>, outcome: Result<OwnedRef, OwnedRef>) -> PyResult<()> {
        let (event, before) = self.inner.with(py, |inner| {
            inner.finished = true;
            let before = match outcome {
                Ok(value) => inner.return_value.replace(value),
                Err(exception) => inner.exception.replace(exception),
            };
            (inner.event.as_ref().map(|event| event.bind(py).clone()), before)
        });
        drop(before);
        match event {
            Some(event) => event.call_method0(pyo3::intern!(py, "set")).map(drop),
            None => Ok(()),
        }
    }
}

/// What anyio's class has under `name`, for `handle`.
fn anyios<'py>(handle: &Bound<'py, TaskHandle>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let class = backend::class(handle.py(), |classes| &classes.task_handle)?;
    class.bind(handle.py()).getattr(memory::text(handle.py(), name)?)
}

fn anyios_property<'py>(handle: &Bound<'py, TaskHandle>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    anyios(handle, name)?.call_method1(name!("fget"), (handle,))
}

#[pymethods]
impl TaskHandle {
    #[getter]
    fn __class__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        backend::class(slf.py(), |classes| &classes.task_handle)
    }

    /// Set the task to a cancelled state.
    pub(super) fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_finished(py) { Ok(()) } else { any_scope::cancel(self.scope.bind(py)) }
    }

    /// The coroutine object that was passed to one of the task-spawning methods.
    #[getter]
    fn coro<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.coroutine.bind(py).clone()
    }

    /// The name of the task.
    #[getter]
    fn name<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.name.bind(py).clone()
    }

    /// The current status of the task.
    #[getter]
    fn status<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        let (finished, exception) = this
            .inner
            .with(py, |inner| (inner.finished, inner.exception.as_ref().map(|exception| exception.bind(py).clone())));
        let member = match (finished, exception) {
            (false, _) if any_scope::is_cancel_called(this.scope.bind(py))? => "CANCELLING",
            (false, _) => "PENDING",
            (true, None) => "FINISHED",
            (true, Some(exception)) if exception.is_instance(imports::cancelled_error(py)?)? => "CANCELLED",
            (true, Some(_)) => "FAILED",
        };
        anyios(slf, "Status")?.getattr(memory::text(py, member)?)
    }

    /// The exception raised by the task, or None if it finished without raising.
    #[getter]
    fn exception<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        anyios_property(slf, "exception")
    }

    /// The return value of the task.
    #[getter]
    fn return_value<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        anyios_property(slf, "return_value")
    }

    /// The value passed to `task_status.started()`.
    #[getter]
    fn start_value<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        anyios_property(slf, "start_value")
    }

    /// Wait for the task to finish.
    pub(super) fn wait<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        anyios(slf, "wait")?.call1((slf,))
    }

    fn __await__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        anyios(slf, "__await__")?.call1((slf,))
    }

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        anyios(slf, "__repr__")?.call1((slf,))
    }

    #[getter(_coro)]
    fn shown_coroutine<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.coro(py)
    }

    #[getter(_cancel_scope)]
    fn shown_scope<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.scope.bind(py).clone()
    }

    #[getter(_name)]
    fn shown_name<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.name(py)
    }

    #[getter(_finished_event)]
    fn event<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        let known = |inner: &mut Inner| inner.event.as_ref().map(|event| event.bind(py).clone());
        if let Some(event) = this.inner.with(py, known) {
            return Ok(event);
        }
        let event = backend::class(py, |classes| &classes.event)?.bind(py).call0()?;
        // Making it may have run other code.
        if let Some(event) = this.inner.with(py, known) {
            return Ok(event);
        }
        let finished = this.inner.with(py, |inner| {
            inner.event = Some(OwnedRef::of(&event));
            inner.finished
        });
        if finished {
            event.call_method0(pyo3::intern!(py, "set"))?;
        }
        Ok(event)
    }

    #[getter(_exception)]
    fn shown_exception<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.inner.with(py, |inner| inner.exception.as_ref().map(|exception| exception.bind(py).clone()))
    }

    #[getter(_return_value)]
    fn shown_return_value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let value = self.inner.with(py, |inner| inner.return_value.as_ref().map(|value| value.bind(py).clone()));
        value.ok_or_else(|| ferrio_cpython::error::<PyAttributeError>("_return_value"))
    }

    #[getter(_start_value)]
    fn shown_start_value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let value = self.inner.with(py, |inner| inner.start_value.as_ref().map(|value| value.bind(py).clone()));
        value.ok_or_else(|| ferrio_cpython::error::<PyAttributeError>("_start_value"))
    }

    #[setter(_start_value)]
    pub(super) fn set_start_value(&self, value: Bound<'_, PyAny>) {
        let py = value.py();
        let before = self.inner.with(py, |inner| inner.start_value.replace(value.into()));
        drop(before);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.coroutine.traverse(&visit)?;
        self.scope.traverse(&visit)?;
        let outcome = self.inner.traverse(&visit, |inner| {
            let owned = [&inner.event, &inner.exception, &inner.return_value, &inner.start_value];
            owned.into_iter().flatten().try_for_each(|owned| owned.traverse(&visit))
        });
        outcome.unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        let before = self.inner.with(py, |inner| {
            (inner.event.take(), inner.exception.take(), inner.return_value.take(), inner.start_value.take())
        });
        drop(before);
    }
}

/// The body of the task's coroutine.
struct Run {
    handle: OwnedRef<TaskHandle>,
    /// None before the scope is entered.
    awaiting: Option<Awaiting>,
}

impl Body for Run {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let handle = self.handle.bind(py).get();
        let scope = handle.scope.bind(py);
        let outcome = if let Some(awaiting) = &mut self.awaiting {
            awaiting.resume(py, input)
        } else {
            input?;
            any_scope::enter(scope)?;
            Awaiting::new(handle.coroutine.bind(py))
                .and_then(|awaiting| self.awaiting.insert(awaiting).resume(py, Ok(py.None().into_bound(py))))
        };
        match outcome {
            Ok(step @ Step::Yielded(_)) => Ok(step),
            Ok(Step::Returned(value)) => {
                handle.finish(py, Ok(value.into()))?;
                any_scope::exit(scope, None)?;
                Ok(Step::Returned(py.None().into_bound(py)))
            }
            Err(error) => {
                let exception = error.value(py).clone().into_any();
                handle.finish(py, Err(OwnedRef::of(&exception)))?;
                let swallowed = handling(py, &error, || any_scope::exit(scope, Some(&exception)))?;
                if swallowed { Ok(Step::Returned(py.None().into_bound(py))) } else { Err(error) }
            }
        }
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.handle);
        if let Some(awaiting) = &self.awaiting {
            awaiting.traverse(visitor);
        }
    }

    fn awaiting(&self) -> Option<&Awaiting> {
        self.awaiting.as_ref()
    }
}
