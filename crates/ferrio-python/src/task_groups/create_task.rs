//! `TaskGroup.create_task`: creates a task in the group, or refuses.

use ferrio_cpython::capi::memory;
use ferrio_cpython::objects::future::{add_done_callback, extend_source_traceback, future_like};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PySet};

use super::group::{CLASS, TASK_DONE, TaskGroup};
use crate::common::imports;
use crate::compat::task_groups::{Keywords, behavior};

/// Why a task cannot be added.
#[derive(Clone, Copy)]
enum Refusal {
    NotEntered,
    Finished,
    ShuttingDown,
}

#[pymethods]
impl TaskGroup {
    /// Create a new task in this group and return it.
    ///
    /// Similar to `asyncio.create_task`.
    #[pyo3(signature = (coro, **kwargs))]
    fn create_task<'py>(
        slf: &Bound<'py, Self>,
        coro: &Bound<'py, PyAny>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        let behavior = behavior(py)?;
        if let Some(refusal) = this.refusal(py)? {
            return Err(refuse(slf, coro, refusal)?);
        }
        let task = match kwargs {
            None => this.make_task_directly(coro, behavior.keywords)?,
            Some(given) => this.make_task(coro, Some(given), behavior.keywords)?,
        };
        if behavior.notes_waiter {
            future_like::add_waiter(&task, &this.parent(py))?;
        }
        let native = CLASS.is_unpatched(slf);
        if behavior.calls_back_at_once && future_like::is_done(&task)? {
            Self::add_callback(slf, native, &task)?;
            return Ok(task);
        }
        if behavior.watches_first {
            Self::watch(slf, native, &task)?;
            this.keep(&task)?;
        } else {
            this.keep(&task)?;
            Self::watch(slf, native, &task)?;
        }
        // A task that started eagerly may have ended the group before it was in the set of tasks to cancel.
        let (aborting, cancelled) = this.state.with(py, |state| (state.aborting, state.cancelled));
        if aborting && (behavior.cancels_late_tasks || cancelled) && !future_like::is_done(&task)? {
            future_like::cancel(&task)?;
        }
        Ok(task)
    }
}

impl TaskGroup {
    fn refusal(&self, py: Python<'_>) -> PyResult<Option<Refusal>> {
        let (entered, exiting, aborting) = self.state.with(py, |state| (state.entered, state.exiting, state.aborting));
        Ok(if !entered {
            Some(Refusal::NotEntered)
        } else if exiting && !self.has_tasks(py)? {
            Some(Refusal::Finished)
        } else if aborting {
            Some(Refusal::ShuttingDown)
        } else {
            None
        })
    }

    /// Creates a task without keyword arguments; a loop of exactly ferrio's class needs no `name=None`.
    #[inline]
    fn make_task_directly<'py>(&self, coro: &Bound<'py, PyAny>, keywords: Keywords) -> PyResult<Bound<'py, PyAny>> {
        let py = coro.py();
        if let Some(owner) = self.owner(py)
            && (keywords == Keywords::PassOn || owner.get_type().is(imports::event_loop(py)?))
        {
            let task = owner.call_method1(pyo3::intern!(py, "create_task"), (coro,))?;
            extend_source_traceback(&task, "TaskGroup.create_task", "create_task")?;
            return Ok(task);
        }
        self.make_task(coro, None, keywords)
    }

    fn make_task<'py>(
        &self,
        coro: &Bound<'py, PyAny>,
        given: Option<&Bound<'py, PyDict>>,
        keywords: Keywords,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = coro.py();
        let owner = self.owner(py).unwrap_or_else(|| py.None().into_bound(py));
        let create_task = pyo3::intern!(py, "create_task");
        if keywords == Keywords::PassOn {
            return owner.call_method(create_task, (coro,), given);
        }
        let (mut name, mut context) = (None, None);
        for (keyword, value) in given.into_iter().flat_map(PyDictMethods::iter) {
            match keyword.extract::<&str>()? {
                "name" => name = Some(value),
                "context" => context = Some(value).filter(|context| !context.is_none()),
                other => {
                    let text = format!("TaskGroup.create_task() got an unexpected keyword argument '{other}'");
                    return Err(ferrio_cpython::error::<PyTypeError>(text));
                }
            }
        }
        let passed = memory::dict(py)?;
        if keywords == Keywords::NameAndContext {
            passed.set_item(name!("name"), &name)?;
        }
        if let Some(context) = context {
            passed.set_item(name!("context"), context)?;
        }
        let task = owner.call_method(create_task, (coro,), Some(&passed))?;
        if keywords == Keywords::NameAfterwards {
            imports::tasks_module(py)?.call_method1(name!("_set_task_name"), (&task, name))?;
        }
        extend_source_traceback(&task, "TaskGroup.create_task", "create_task")?;
        Ok(task)
    }

    /// Adds a task to the set.
    fn keep(&self, task: &Bound<'_, PyAny>) -> PyResult<()> {
        let tasks = self.tasks(task.py());
        match tasks.cast_exact::<PySet>() {
            Ok(tasks) => tasks.add(task),
            Err(_) => tasks.call_method1(name!("add"), (task,)).map(drop),
        }
    }

    /// Adds the group's done callback to a task.
    fn watch<'py>(slf: &Bound<'py, Self>, native: bool, task: &Bound<'py, PyAny>) -> PyResult<()> {
        if native {
            return add_done_callback(task, slf, &TASK_DONE);
        }
        let py = slf.py();
        let add_callback = slf.getattr(pyo3::intern!(py, "_on_task_done"))?;
        task.call_method1(pyo3::intern!(py, "add_done_callback"), (add_callback,)).map(drop)
    }
}

/// The error for a refused coroutine; later Pythons also close the coroutine.
#[cold]
fn refuse(group: &Bound<'_, TaskGroup>, coro: &Bound<'_, PyAny>, refusal: Refusal) -> PyResult<PyErr> {
    if behavior(group.py())?.closes_refused {
        coro.call_method0(name!("close"))?;
    }
    let why = match refusal {
        Refusal::NotEntered => "has not been entered",
        Refusal::Finished => "is finished",
        Refusal::ShuttingDown => "is shutting down",
    };
    Ok(ferrio_cpython::error::<PyRuntimeError>(format!("TaskGroup {} {why}", group.repr()?)))
}
