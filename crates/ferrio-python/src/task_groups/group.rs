//! `TaskGroup`: its state, the creation of tasks, and the handling of their ends.
//!
//! States: new, *entered*, *exiting* (the block was left; the parent waits while tasks remain), *aborting* (all tasks
//! were cancelled and none can be added). Invariant: a task is in the set from its creation until its native done
//! callback has run in the group. Methods that a subclass may override are called by name.

use std::fmt::Write;

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::exact_type::ExactType;
use ferrio_cpython::capi::memory::{self, Text};
use ferrio_cpython::objects::coroutine;
use ferrio_cpython::objects::future::DoneCallback;
use ferrio_cpython::objects::future::future_like::{self, Failure};
use pyo3::exceptions::{PyKeyboardInterrupt, PyMemoryError, PySystemExit};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PySet, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use super::enter::Enter;
use super::exit::Leave;
use crate::compat::task_groups::behavior;

/// The class, for recognising unpatched instances.
pub(super) static CLASS: ExactType = ExactType::new();

pub(super) static TASK_DONE: DoneCallback = DoneCallback::new("TaskGroup._on_task_done", task_done);

/// An asynchronous context manager for groups of tasks: all are awaited when its block is left.
///
/// Any exception but `asyncio.CancelledError` raised in a task cancels the others; all such exceptions are raised
/// together, in an `ExceptionGroup`.
#[pyclass(frozen, subclass, weakref, dict, module = "ferrio")]
pub(crate) struct TaskGroup {
    pub(super) state: GilCell<State>,
}

/// The fields are asyncio's, with `_` in front and the names in `attributes.rs`.
pub(super) struct State {
    pub(super) entered: bool,
    pub(super) exiting: bool,
    pub(super) aborting: bool,
    pub(super) parent_cancel_requested: bool,
    pub(super) cancel_on_enter: bool,
    /// Whether `cancel()` ended the group; asyncio has no such field.
    pub(super) cancelled: bool,
    pub(super) owner: Option<Py<PyAny>>,
    pub(super) parent: Option<Py<PyAny>>,
    /// A set, unless a program has replaced it.
    pub(super) tasks: Py<PyAny>,
    /// A list; None once the errors were raised.
    pub(super) errors: Option<Py<PyAny>>,
    pub(super) base_error: Option<Py<PyAny>>,
    /// The future that the parent waits for.
    pub(super) completed: Option<Py<PyAny>>,
}

impl State {
    fn new(py: Python<'_>) -> PyResult<Self> {
        Ok(Self {
            entered: false,
            exiting: false,
            aborting: false,
            parent_cancel_requested: false,
            cancel_on_enter: false,
            cancelled: false,
            owner: None,
            parent: None,
            tasks: PySet::empty(py)?.into_any().unbind(),
            errors: Some(memory::empty_list(py)?.into_any().unbind()),
            base_error: None,
            completed: None,
        })
    }
}

#[pymethods]
impl TaskGroup {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords), text_signature = "()")]
    fn new(py: Python<'_>, _arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        Ok(Self { state: GilCell::new(State::new(py)?) })
    }

    fn __init__(&self, py: Python<'_>) -> PyResult<()> {
        let fresh = State::new(py)?;
        let before = self.state.with(py, |state| std::mem::replace(state, fresh));
        drop(before);
        Ok(())
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<Text> {
        let mut text = "<TaskGroup".to_owned();
        for (name, collection) in [("tasks", self.tasks(py)), ("errors", self.errors(py))] {
            if collection.is_truthy()? {
                let _ = write!(text, " {name}={}", collection.len()?);
            }
        }
        text.push_str(match self.state.with(py, |state| (state.aborting, state.entered)) {
            (true, _) => " cancelling>",
            (false, true) => " entered>",
            (false, false) => ">",
        });
        Ok(Text(text))
    }

    fn __aenter__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        coroutine::spawn(slf.py(), "TaskGroup.__aenter__", Enter(slf.clone().unbind()))
    }

    fn __aexit__(
        slf: &Bound<'_, Self>,
        et: &Bound<'_, PyAny>,
        exc: &Bound<'_, PyAny>,
        tb: &Bound<'_, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        let _ = tb;
        coroutine::spawn(slf.py(), "TaskGroup.__aexit__", Leave::new(slf, et, exc)?)
    }

    #[pyo3(name = "_is_base_error")]
    fn is_base_error(&self, exc: &Bound<'_, PyAny>) -> bool {
        is_base_error(exc)
    }

    #[pyo3(name = "_abort")]
    fn cancel_all(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        slf.get().state.with(py, |state| state.aborting = true);
        let cancel = |task: Bound<'_, PyAny>| {
            if future_like::is_done(&task)? { Ok(()) } else { future_like::cancel(&task).map(drop) }
        };
        // Cancelling may run a program's code, which may change the set. Without memory for a copy that is an error, as it
        // is under asyncio.
        match memory::collected(slf.get().tasks(py).try_iter()?) {
            Ok(tasks) => tasks.into_iter().try_for_each(cancel),
            Err(error) if error.is_instance_of::<PyMemoryError>(py) => {
                slf.get().tasks(py).try_iter()?.try_for_each(|task| cancel(task?))
            }
            Err(error) => Err(error),
        }
    }

    #[pyo3(name = "_on_task_done")]
    fn on_task_done<'py>(slf: &Bound<'py, Self>, task: &Bound<'py, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let tasks = this.tasks(py);
        let is_last = if let Ok(tasks) = tasks.cast_exact::<PySet>() {
            tasks.discard(task)?;
            tasks.is_empty()
        } else {
            tasks.call_method1(name!("discard"), (task,))?;
            !tasks.is_truthy()?
        };
        if behavior(py)?.notes_waiter {
            future_like::discard_waiter(task, &this.parent(py))?;
        }
        if is_last
            && let Some(completed) = this.completed(py)
            && !future_like::is_done(&completed)?
        {
            future_like::set_result(&completed, PyBool::new(py, true).to_owned().into_any())?;
        }
        match future_like::failure(task)? {
            None | Some(Failure::Cancelled) => Ok(()),
            Some(Failure::Exception(exception)) => Self::take_error(slf, task, &exception),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let outcome = self.state.traverse(&visit, |state| {
            visit.call(&state.tasks)?;
            [&state.owner, &state.parent, &state.errors, &state.base_error, &state.completed]
                .into_iter()
                .flatten()
                .try_for_each(|object| visit.call(object))
        });
        outcome.transpose().map(drop)
    }

    fn __clear__(&self, py: Python<'_>) {
        let before = self.state.with(py, |state| {
            let waiting = (state.owner.take(), state.parent.take(), state.completed.take());
            (waiting, state.errors.take(), state.base_error.take(), std::mem::replace(&mut state.tasks, py.None()))
        });
        drop(before);
    }
}

impl TaskGroup {
    pub(super) fn owner<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.owner.as_ref().map(|owner| owner.bind(py).clone()))
    }

    pub(super) fn tasks<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.state.with(py, |state| state.tasks.bind(py).clone())
    }

    fn completed<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.completed.as_ref().map(|future| future.bind(py).clone()))
    }

    /// The parent task, or None.
    pub(super) fn parent<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        let parent = self.state.with(py, |state| state.parent.as_ref().map(|parent| parent.bind(py).clone()));
        parent.unwrap_or_else(|| py.None().into_bound(py))
    }

    /// The list of errors, or None.
    pub(super) fn errors<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        let errors = self.state.with(py, |state| state.errors.as_ref().map(|errors| errors.bind(py).clone()));
        errors.unwrap_or_else(|| py.None().into_bound(py))
    }

    pub(super) fn has_tasks(&self, py: Python<'_>) -> PyResult<bool> {
        let tasks = self.tasks(py);
        tasks.cast_exact::<PySet>().map_or_else(|_| tasks.is_truthy(), |tasks| Ok(!tasks.is_empty()))
    }

    /// The future that the last task completes.
    pub(super) fn completion<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(completed) = self.completed(py) {
            return Ok(completed);
        }
        let owner = self.owner(py).unwrap_or_else(|| py.None().into_bound(py));
        let future = owner.call_method0(pyo3::intern!(py, "create_future"))?;
        let before = self.state.with(py, |state| state.completed.replace(future.clone().unbind()));
        drop(before);
        Ok(future)
    }

    /// Drops the references that could keep exceptions and their frames alive.
    pub(super) fn forget(&self, py: Python<'_>) {
        let before = self.state.with(py, |state| (state.parent.take(), state.errors.take(), state.base_error.take()));
        drop(before);
    }

    /// Cancels all tasks.
    pub(super) fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        if CLASS.is_unpatched(slf) {
            return Self::cancel_all(slf);
        }
        slf.call_method0(pyo3::intern!(slf.py(), "_abort")).map(drop)
    }

    /// Stores the first `SystemExit` or `KeyboardInterrupt`.
    pub(super) fn note_base_error(slf: &Bound<'_, Self>, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let keep = if CLASS.is_unpatched(slf) {
            is_base_error(exception)
        } else {
            slf.call_method1(pyo3::intern!(py, "_is_base_error"), (exception,))?.is_truthy()?
        };
        if keep {
            let exception = exception.clone().unbind();
            slf.get().state.with(py, |state| {
                state.base_error.get_or_insert(exception);
            });
        }
        Ok(())
    }

    /// Handles a failed task: cancels all other tasks and the parent.
    #[cold]
    fn take_error(slf: &Bound<'_, Self>, task: &Bound<'_, PyAny>, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.errors(py).call_method1(pyo3::intern!(py, "append"), (exception,))?;
        Self::note_base_error(slf, exception)?;
        let parent = this.parent(py);
        if future_like::is_done(&parent)? {
            let context = memory::dict(py)?;
            let message = format!(
                "Task {} has errored out but its parent task {} is already completed",
                task.repr()?,
                parent.str()?
            );
            context.set_item(name!("message"), Text(message))?;
            context.set_item(name!("exception"), exception)?;
            context.set_item(name!("task"), task)?;
            let owner = this.owner(py).unwrap_or_else(|| py.None().into_bound(py));
            return owner.call_method1(name!("call_exception_handler"), (context,)).map(drop);
        }
        if this.state.with(py, |state| state.aborting || state.parent_cancel_requested) {
            return Ok(());
        }
        // Ends whatever the parent awaits in the block; `__aexit__` uncancels it.
        Self::abort(slf)?;
        this.state.with(py, |state| state.parent_cancel_requested = true);
        future_like::cancel(&parent).map(drop)
    }

    pub(super) fn add_callback<'py>(slf: &Bound<'py, Self>, native: bool, task: &Bound<'py, PyAny>) -> PyResult<()> {
        if native {
            return Self::on_task_done(slf, task);
        }
        slf.call_method1(pyo3::intern!(slf.py(), "_on_task_done"), (task,)).map(drop)
    }
}

/// Whether an exception is raised on its own, whatever else failed.
fn is_base_error(exception: &Bound<'_, PyAny>) -> bool {
    exception.is_instance_of::<PySystemExit>() || exception.is_instance_of::<PyKeyboardInterrupt>()
}

fn task_done<'py>(group: &Bound<'py, PyAny>, task: &Bound<'py, PyAny>) -> PyResult<()> {
    TaskGroup::on_task_done(group.cast::<TaskGroup>()?, task)
}
