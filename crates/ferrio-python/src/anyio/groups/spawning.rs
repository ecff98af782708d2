//! `TaskGroup.create_task`, `start_soon` and `start`.

use ferrio_cpython::capi::context;
use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::objects::create_task::create_named_task_directly;
use ferrio_cpython::objects::current::{CurrentTaskCall, get_running_loop, running_task};
use ferrio_cpython::objects::future::{add_done_callback, future_like};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use super::status::TaskStatus;
use super::{STARTED_TASK_DONE, StartedTask, TASK_DONE, TaskGroup, TaskHandle, on_3_14};
use crate::anyio::backend;
use crate::anyio::scopes::{CancelScope, any_scope};
use crate::anyio::task_states::{TaskState, scope_of, set_state};
use crate::common::imports;

#[pymethods]
impl TaskGroup {
    /// Create a new task from a coroutine object and schedule it to run.
    #[pyo3(signature = (coro, *, name=None, context=None))]
    fn create_task<'py>(
        slf: &Bound<'py, Self>,
        coro: &Bound<'py, PyAny>,
        name: Option<&Bound<'py, PyAny>>,
        context: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, TaskHandle>> {
        let py = slf.py();
        if !is_coroutine(coro)? {
            let class = coro.getattr(name!("__class__"))?.getattr(name!("__qualname__"))?;
            return Err(ferrio_cpython::error::<PyTypeError>(format!("expected a coroutine, got {class}")));
        }
        if !slf.get().is_active(py) {
            coro.call_method0(name!("close"))?;
            return Err(not_active());
        }
        let name = match name {
            Some(name) => name.str()?.into_any(),
            None => name_of_coroutine(coro)?,
        };
        match context {
            None => Self::spawn(slf, coro, name, None),
            Some(context) => context::run_in(py, context, || Self::spawn(slf, coro, name, None)),
        }
    }

    /// Start a new task in this task group.
    #[pyo3(signature = (func, *args, name=None))]
    fn start_soon<'py>(
        slf: &Bound<'py, Self>,
        func: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        name: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, TaskHandle>> {
        let name = match name {
            Some(name) => name.str()?.into_any(),
            None => name_of_function(func)?,
        };
        let coro = func.call(args, None)?;
        if !is_coroutine(&coro)? {
            return Err(not_a_coroutine(func, &coro)?);
        }
        if !slf.get().is_active(slf.py()) {
            coro.call_method0(name!("close"))?;
            return Err(not_active());
        }
        Self::spawn(slf, &coro, name, None)
    }

    #[pyo3(signature = (coro, name, task_status=None))]
    fn _spawn<'py>(
        slf: &Bound<'py, Self>,
        coro: &Bound<'py, PyAny>,
        name: Option<Bound<'py, PyAny>>,
        task_status: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, TaskHandle>> {
        let name = match name {
            Some(name) => name.str()?.into_any(),
            None => coro.getattr(name!("__qualname__"))?,
        };
        Self::spawn(slf, coro, name, task_status)
    }
}

impl TaskGroup {
    pub(super) fn spawn<'py>(
        slf: &Bound<'py, Self>,
        coro: &Bound<'py, PyAny>,
        name: Bound<'py, PyAny>,
        task_status: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, TaskHandle>> {
        let py = slf.py();
        let this = slf.get();
        let group_scope = this.scope(py);
        let host = group_scope.get().host(py);
        let owner = get_running_loop(py)?;
        let (parent, initial_scope, own_scope) = match task_status {
            None => (host.clone(), group_scope.clone().into_any(), CancelScope::unlimited(py, false)?.into_any()),
            Some(status) => {
                // Up to `started()` the task belongs to the caller's scope.
                let caller = running_task(py, &owner, CurrentTaskCall::WithoutLoop)?;
                let scope = caller.as_ref().map_or(Ok(None), scope_of)?;
                let scope = scope.unwrap_or_else(|| group_scope.clone().into_any());
                (caller, scope, scope_of_status(status)?)
            }
        };
        let handle = TaskHandle::create(coro, name.clone(), own_scope)?;
        let task = make_task(&owner, &handle, coro, name)?;
        let parent = parent.unwrap_or_else(|| py.None().into_bound(py));
        let state = Bound::new(py, TaskState::new(Some(&parent), &initial_scope))?;
        set_state(&task, state.as_any())?;
        any_scope::add_task(&initial_scope, &task)?;
        this.tasks.add(&task)?;
        if on_3_14(py)
            && let Some(host) = &host
        {
            future_like::add_waiter(&task, host)?;
        }
        match task_status {
            None => add_done_callback(&task, slf.as_any(), &TASK_DONE)?,
            Some(status) => {
                let status = match status.cast_exact::<TaskStatus>() {
                    Ok(ours) => OwnedRef::of(ours.get().future.bind(py)),
                    Err(_) => OwnedRef::from(status.getattr(name!("_future"))?),
                };
                let started = Bound::new(py, StartedTask { group: OwnedRef::of(slf), status })?;
                add_done_callback(&task, started.as_any(), &STARTED_TASK_DONE)?;
            }
        }
        Ok(handle)
    }
}

/// The scope of a task that is being started.
fn scope_of_status<'py>(status: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    match status.cast_exact::<TaskStatus>() {
        Ok(ours) => Ok(ours.get().scope.bind(status.py()).clone().into_any()),
        Err(_) => status.getattr(name!("_spawn_scope")),
    }
}

/// The task that runs a handle's coroutine, as `loop.create_task` makes it, but never eagerly.
fn make_task<'py>(
    owner: &Bound<'py, PyAny>,
    handle: &Bound<'py, TaskHandle>,
    coro: &Bound<'py, PyAny>,
    name: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = owner.py();
    let wrapper = TaskHandle::run(handle)?.into_bound(py);
    let made = match create_named_task_directly(owner, &wrapper, &name) {
        Ok(None) => make_task_by_factory(owner, &wrapper, name),
        Ok(Some(task)) => return Ok(task),
        Err(error) => Err(error),
    };
    made.inspect_err(|_| {
        for unused in [&wrapper, coro] {
            // The error that is on its way counts.
            drop(unused.call_method0(name!("close")));
        }
    })
}

#[cold]
fn make_task_by_factory<'py>(
    owner: &Bound<'py, PyAny>,
    wrapper: &Bound<'py, PyAny>,
    name: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = owner.py();
    let keywords = memory::dict(py)?;
    keywords.set_item(name!("name"), name)?;
    let factory = owner.call_method0(name!("get_task_factory"))?;
    if factory.is_truthy()?
        && let Some(code) = factory.getattr_opt(name!("__code__"))?
        && code.is(backend::class(py, |classes| &classes.eager_code)?)
        && let Some(closure) = factory.getattr_opt(name!("__closure__"))?
        && closure.is_truthy()?
    {
        // A factory of eager tasks has the constructor there; called by itself that makes tasks that begin later.
        keywords.set_item(name!("loop"), owner)?;
        let constructor = closure.get_item(0)?.getattr(name!("cell_contents"))?;
        return constructor.call((wrapper,), Some(&keywords));
    }
    owner.call_method(name!("create_task"), (wrapper,), Some(&keywords))
}

/// `isinstance(object, collections.abc.Coroutine)`.
#[inline]
pub(super) fn is_coroutine(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = object.py();
    if ferrio_cpython::capi::resume::is_python_coroutine(object) {
        return Ok(true);
    }
    object.is_instance(imports::coroutine_class(py)?)
}

/// The name of a task by its coroutine: module and qualified name.
fn name_of_coroutine<'py>(coro: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = coro.py();
    let module = match coro.getattr_opt(name!("cr_frame"))?.map(|frame| frame.getattr_opt(name!("f_globals"))) {
        Some(globals) => match globals? {
            Some(globals) => globals.call_method1(name!("get"), (name!("__name__"),)).ok(),
            None => None,
        },
        None => None,
    };
    joined(py, module, coro.getattr_opt(name!("__qualname__"))?)
}

pub(super) fn name_of_function<'py>(function: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = function.py();
    let module = function.getattr_opt(pyo3::intern!(py, "__module__"))?;
    joined(py, module, function.getattr_opt(pyo3::intern!(py, "__qualname__"))?)
}

/// The parts that there are, with a dot between them.
fn joined<'py>(
    py: Python<'py>,
    module: Option<Bound<'py, PyAny>>,
    name: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let mut text = String::new();
    for part in [module, name].into_iter().flatten() {
        if !part.is_truthy()? {
            continue;
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(&part.cast::<PyString>()?.to_string_lossy());
    }
    Ok(memory::text(py, &text)?.into_any())
}

#[cold]
pub(super) fn not_active() -> PyErr {
    ferrio_cpython::error::<PyRuntimeError>("This task group is not active; no new tasks can be started.")
}

#[cold]
pub(super) fn not_a_coroutine(function: &Bound<'_, PyAny>, object: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let module = match function.getattr_opt(name!("__module__"))? {
        Some(module) => format!("{module}."),
        None => String::new(),
    };
    let name = function.getattr(name!("__qualname__"))?;
    let repr = object.repr()?;
    Ok(ferrio_cpython::error::<PyTypeError>(format!(
        "Expected {module}{name}() to return a coroutine, but the return value ({repr}) is not a coroutine object"
    )))
}
