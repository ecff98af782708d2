//! `TaskGroup.start`: makes a task and waits until it calls `started()` on the status that it gets.

use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{self, Awaiting, Body, Visitor};
use ferrio_cpython::objects::create_task::waiter;
use ferrio_cpython::objects::current::get_running_loop;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::spawning::{is_coroutine, name_of_function, not_a_coroutine, not_active};
use super::status::TaskStatus;
use super::{TaskGroup, TaskHandle};
use crate::anyio::scopes::CancelScope;
use crate::locks::optional_argument::Argument;

#[pymethods]
impl TaskGroup {
    /// Start a new task and wait until it signals for readiness.
    #[pyo3(
        signature = (func, *args, name=None, return_handle=Argument(None)),
        text_signature = "($self, func, *args, name=None, return_handle=False)"
    )]
    fn start<'py>(
        slf: &Bound<'py, Self>,
        func: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        name: Option<Bound<'py, PyAny>>,
        return_handle: Argument<'py>,
    ) -> PyResult<Py<PyAny>> {
        let body = Start {
            group: OwnedRef::of(slf),
            function: func.into(),
            arguments: OwnedRef::of(&args),
            name: name.map(OwnedRef::from),
            returns_handle: return_handle.0.map_or(Ok(false), |returned| returned.is_truthy())?,
            stage: Stage::New,
        };
        coroutine::spawn(slf.py(), "TaskGroup.start", body)
    }
}

/// The body of `start`.
struct Start {
    group: OwnedRef<TaskGroup>,
    function: OwnedRef,
    arguments: OwnedRef<PyTuple>,
    name: Option<OwnedRef>,
    returns_handle: bool,
    stage: Stage,
}

enum Stage {
    New,
    /// Waits for `started()`.
    Waiting {
        handle: OwnedRef<TaskHandle>,
        awaiting: Awaiting,
    },
    /// Has cancelled the task because of an exception, and waits for its end in a shielded scope.
    Stopping {
        exception: OwnedRef,
        scope: OwnedRef<CancelScope>,
        awaiting: Awaiting,
    },
}

impl Start {
    fn begin<'py>(&mut self, py: Python<'py>) -> PyResult<Step<'py>> {
        let group = self.group.bind(py);
        if !group.get().is_active(py) {
            return Err(not_active());
        }
        let future = waiter(&get_running_loop(py)?)?;
        let function = self.function.bind(py);
        let name = match &self.name {
            Some(name) => name.bind(py).str()?.into_any(),
            None => name_of_function(function)?,
        };
        let target = group.get().scope(py);
        let status = TaskStatus {
            future: OwnedRef::of(&future),
            parent: target.get().host(py).map_or_else(|| py.None().as_ptr().addr(), |host| host.as_ptr().addr()),
            target: OwnedRef::of(target),
            scope: OwnedRef::of(&CancelScope::unlimited(py, false)?),
        };
        let status = Bound::new(py, status)?.into_any();
        let keywords = memory::dict(py)?;
        keywords.set_item(pyo3::intern!(py, "task_status"), &status)?;
        let coroutine = function.call(self.arguments.bind(py), Some(&keywords))?;
        if !is_coroutine(&coroutine)? {
            return Err(not_a_coroutine(function, &coroutine)?);
        }
        let handle = TaskGroup::spawn(group, &coroutine, name, Some(&status))?;
        let awaiting = Awaiting::new(&future)?;
        self.stage = Stage::Waiting { handle: OwnedRef::of(&handle), awaiting };
        self.wait(py, Ok(py.None().into_bound(py)))
    }

    fn wait<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let Stage::Waiting { handle, awaiting } = &mut self.stage else { return input.map(Step::Returned) };
        match awaiting.resume(py, input) {
            Ok(Step::Returned(value)) if self.returns_handle => {
                let handle = handle.bind(py).clone();
                handle.get().set_start_value(value);
                Ok(Step::Returned(handle.into_any()))
            }
            Ok(step) => Ok(step),
            Err(error) => {
                let handle = handle.bind(py).clone();
                self.stop(py, &handle, error)
            }
        }
    }

    /// Cancels the task, unless it is cancelled or has ended, and waits for it.
    #[cold]
    fn stop<'py>(&mut self, py: Python<'py>, handle: &Bound<'py, TaskHandle>, error: PyErr) -> PyResult<Step<'py>> {
        if !handle.get().is_pending(py)? {
            return Err(error);
        }
        handle.get().cancel(py)?;
        let scope = CancelScope::unlimited(py, true)?;
        CancelScope::enter(&scope)?;
        let exception = OwnedRef::from(error.value(py).clone().into_any());
        let awaiting = TaskHandle::wait(handle).and_then(|ended| Awaiting::new(&ended));
        let awaiting = match awaiting {
            Ok(awaiting) => awaiting,
            Err(other) => return Err(left(py, &scope, &exception, Err(other))),
        };
        self.stage = Stage::Stopping { exception, scope: OwnedRef::of(&scope), awaiting };
        self.await_end(py, Ok(py.None().into_bound(py)))
    }

    #[cold]
    fn await_end<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let Stage::Stopping { exception, scope, awaiting } = &mut self.stage else { return input.map(Step::Returned) };
        match awaiting.resume(py, input) {
            Ok(step @ Step::Yielded(_)) => Ok(step),
            outcome => {
                let scope = scope.bind(py).clone();
                Err(left(py, &scope, exception, outcome.map(drop)))
            }
        }
    }
}

/// The error to raise once the scope is left: the one that made the task stop, or one that came meanwhile.
#[cold]
fn left(py: Python<'_>, scope: &Bound<'_, CancelScope>, exception: &OwnedRef, outcome: PyResult<()>) -> PyErr {
    let raised = outcome.as_ref().err().map(|error| error.value(py).as_any());
    match (CancelScope::exit(scope, raised), outcome) {
        (Err(other), _) | (Ok(false), Err(other)) => {
            if other.context(py).is_none() && !other.value(py).is(exception.bind(py)) {
                other.set_context(py, Some(PyErr::from_value(exception.bind(py).clone())));
            }
            other
        }
        (Ok(_), _) => PyErr::from_value(exception.bind(py).clone()),
    }
}

impl Body for Start {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        match &self.stage {
            Stage::New => {
                input?;
                self.begin(py)
            }
            Stage::Waiting { .. } => self.wait(py, input),
            Stage::Stopping { .. } => self.await_end(py, input),
        }
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.group);
        visitor.show_owned(&self.function);
        visitor.show_owned(&self.arguments);
        self.name.iter().for_each(|name| visitor.show_owned(name));
        match &self.stage {
            Stage::New => {}
            Stage::Waiting { handle, awaiting } => {
                visitor.show_owned(handle);
                awaiting.traverse(visitor);
            }
            Stage::Stopping { exception, scope, awaiting } => {
                visitor.show_owned(exception);
                visitor.show_owned(scope);
                awaiting.traverse(visitor);
            }
        }
    }

    fn awaiting(&self) -> Option<&Awaiting> {
        match &self.stage {
            Stage::New => None,
            Stage::Waiting { awaiting, .. } | Stage::Stopping { awaiting, .. } => Some(awaiting),
        }
    }
}
