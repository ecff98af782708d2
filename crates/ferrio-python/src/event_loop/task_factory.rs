//! Creation of futures and tasks, and task factories.
//!
//! `create_task` follows the running Python's `BaseEventLoop.create_task`: its keyword arguments and the call of a
//! factory differ between versions, and `Behavior` names the three variants. The classes are looked up in asyncio's
//! modules at each call, as in asyncio's own loop, because programs and tests replace them.

use ferrio_cpython::capi::memory;
use ferrio_cpython::objects::create_task;
use ferrio_cpython::objects::future;
use ferrio_cpython::objects::task::{self, Parts};
use ferrio_cpython::objects::task_factory::{Factory, Naming};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::common::imports;
use crate::event_loop::{Loop, base};
use crate::tasks;
use crate::tasks::create_task::{CO_VARKEYWORDS, names_afterwards};

/// How `create_task` of the running Python treats its keyword arguments.
#[derive(Clone, Copy)]
enum Behavior {
    /// `name` and `context` only; a factory gets `context` if it is given, and the name is set by `set_name`.
    NameAndContext,
    /// The same, and any other keyword arguments are passed on.
    NameContextAndMore,
    /// All keyword arguments are passed on to the task or the factory.
    PassOn,
}

fn behavior(py: Python<'_>) -> PyResult<Behavior> {
    static CELL: PyOnceLock<Behavior> = PyOnceLock::new();
    CELL.get_or_try_init(py, || {
        let stock = ferrio_cpython::module(py, name!("asyncio.base_events"))?
            .getattr(name!("BaseEventLoop"))?
            .getattr(name!("create_task"))?;
        let code = stock.getattr(name!("__code__"))?;
        let takes_any = code.getattr(name!("co_flags"))?.extract::<u32>()? & CO_VARKEYWORDS != 0;
        let names_some = code.getattr(name!("co_kwonlyargcount"))?.extract::<u32>()? > 0;
        Ok(match (takes_any, names_some) {
            (false, _) => Behavior::NameAndContext,
            (true, true) => Behavior::NameContextAndMore,
            (true, false) => Behavior::PassOn,
        })
    })
    .copied()
}

impl Loop {
    /// The result of `create_future`, which a subclass may override.
    pub(crate) fn waiter<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        create_task::waiter(slf.as_any())
    }
}

#[pymethods]
impl Loop {
    /// Create a future attached to the loop.
    pub(crate) fn create_future<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let class = imports::futures_module(py)?.getattr(pyo3::intern!(py, "Future"))?;
        if class.is(imports::stock_future(py)?) || class.is(future::future_type(py)?) {
            return future::new_future(slf.as_super());
        }
        let keywords = memory::dict(py)?;
        keywords.set_item(pyo3::intern!(py, "loop"), slf)?;
        class.call((), Some(&keywords))
    }

    /// Schedule a coroutine; gives its task.
    #[pyo3(signature = (coro, **kwargs))]
    pub(crate) fn create_task<'py>(
        slf: &Bound<'py, Self>,
        coro: &Bound<'py, PyAny>,
        kwargs: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        base(slf).check_open()?;
        let factory = base(slf).task_factory.callable(py);
        let behavior = behavior(py)?;
        let keywords = kwargs.map_or_else(|| memory::dict(py), Ok)?;
        if let Behavior::NameAndContext = behavior {
            refuse_unknown(&keywords)?;
        }
        let Some(factory) = factory else {
            let class = imports::tasks_module(py)?.getattr(pyo3::intern!(py, "Task"))?;
            if class.is(imports::stock_task(py)?) || class.is(task::task_type(py)?) {
                return new_task(slf, coro, &keywords);
            }
            keywords.set_item(pyo3::intern!(py, "loop"), slf)?;
            return class.call((coro,), Some(&keywords));
        };
        match behavior {
            Behavior::PassOn => factory.call((slf, coro), Some(&keywords)),
            Behavior::NameAndContext | Behavior::NameContextAndMore => {
                let name = keywords.get_item(pyo3::intern!(py, "name"))?;
                if name.is_some() {
                    keywords.del_item(pyo3::intern!(py, "name"))?;
                }
                if keywords.get_item(pyo3::intern!(py, "context"))?.is_some_and(|context| context.is_none()) {
                    keywords.del_item(pyo3::intern!(py, "context"))?;
                }
                let task = factory.call((slf, coro), Some(&keywords))?;
                set_task_name(&task, name)?;
                Ok(task)
            }
        }
    }

    /// Set the callable that makes tasks, as `factory(loop, coro, **kwargs)`; None for the default.
    fn set_task_factory(slf: &Bound<'_, Self>, factory: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        if factory.as_ref().is_some_and(|factory| !factory.is_callable()) {
            return Err(ferrio_cpython::error::<PyTypeError>("task factory must be a callable or None"));
        }
        let kind = kind(slf.py(), factory.as_ref())?;
        base(slf).task_factory.set(slf.py(), kind, factory.map(Bound::unbind));
        Ok(())
    }

    /// The task factory, or None if the default one is in use.
    fn get_task_factory<'py>(slf: &Bound<'py, Self>) -> Option<Bound<'py, PyAny>> {
        base(slf).task_factory.callable(slf.py())
    }

    #[getter]
    fn _task_factory<'py>(slf: &Bound<'py, Self>) -> Option<Bound<'py, PyAny>> {
        base(slf).task_factory.callable(slf.py())
    }

    #[setter(_task_factory)]
    fn replace_task_factory(slf: &Bound<'_, Self>, factory: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        Self::set_task_factory(slf, factory)
    }
}

/// What kind of factory it is, as far as the loop needs to know.
fn kind(py: Python<'_>, factory: Option<&Bound<'_, PyAny>>) -> PyResult<Factory> {
    let Some(factory) = factory else { return Ok(Factory::None) };
    let naming = match behavior(py)? {
        Behavior::PassOn => Naming::EagerOutcome,
        _ if names_afterwards(py)? => Naming::Later,
        Behavior::NameAndContext | Behavior::NameContextAndMore => Naming::LaterAlways,
    };
    let ours = imports::python_version(py) >= (3, 12) && factory.is(imports::eager_task_factory(py)?);
    Ok(if ours { Factory::Eager(naming) } else { Factory::Other(naming) })
}

/// Creates a ferrio task, as `Task(coro, loop=slf, **keywords)`.
fn new_task<'py>(
    slf: &Bound<'py, Loop>,
    coroutine: &Bound<'py, PyAny>,
    keywords: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    let mut parts = Parts { coroutine: coroutine.clone(), name: None, context: None, eager_start: false };
    for (keyword, value) in keywords {
        match keyword.extract::<&str>()? {
            "name" => parts.name = Some(value).filter(|name| !name.is_none()),
            "context" => parts.context = Some(value).filter(|context| !context.is_none()),
            "eager_start" if imports::python_version(py) >= (3, 12) => parts.eager_start = value.is_truthy()?,
            other => {
                return Err(ferrio_cpython::error::<PyTypeError>(format!(
                    "Task() got an unexpected keyword argument '{other}'"
                )));
            }
        }
    }
    task::new_task(slf.as_super(), parts)
}

/// asyncio's `_set_task_name` of 3.11 and 3.12; `set_name` in later versions.
fn set_task_name(task: &Bound<'_, PyAny>, name: Option<Bound<'_, PyAny>>) -> PyResult<()> {
    if !names_afterwards(task.py())? {
        return task.call_method1(pyo3::intern!(task.py(), "set_name"), (name,)).map(drop);
    }
    match name.filter(|name| !name.is_none()) {
        Some(name) => tasks::create_task::set_task_name(task, &name),
        None => Ok(()),
    }
}

fn refuse_unknown(keywords: &Bound<'_, PyDict>) -> PyResult<()> {
    for name in keywords.keys() {
        let known = name.extract::<&str>().is_ok_and(|name| name == "name" || name == "context");
        if !known {
            return Err(ferrio_cpython::error::<PyTypeError>(format!(
                "create_task() got an unexpected keyword argument '{name}'"
            )));
        }
    }
    Ok(())
}
