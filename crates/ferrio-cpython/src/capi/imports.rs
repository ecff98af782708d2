//! All that this crate imports from Python modules: imported once, then kept.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use crate::capi::asyncio_code;
use crate::capi::hooks;
use crate::capi::interned::{self, Name};
use crate::capi::modules;

crate::imported! {
    /// Formats a callback for messages.
    format_callback_source = "asyncio.format_helpers" . "_format_callback_source";
    /// The module of `extract_stack`.
    format_helpers = "asyncio" . "format_helpers";
    /// Formats a handle for the slow callback message.
    format_handle = "asyncio.base_events" . "_format_handle";
    /// The builtin function.
    getattr = "builtins" . "getattr";
    /// The builtin function.
    setattr = "builtins" . "setattr";
    /// The builtin function.
    delattr = "builtins" . "delattr";
    /// How many frames the interpreter notes of where a coroutine is made.
    origin_depth = "sys" . "get_coroutine_origin_tracking_depth";
    /// The module that logs slow callbacks.
    base_events = "asyncio" . "base_events";
    /// The classes that asyncio takes for coroutines, for `isinstance`.
    coroutine_types = "asyncio.coroutines" . "_COROUTINE_TYPES";
    /// The done callback that ends `run_until_complete`.
    stop_loop = "asyncio.base_events" . "_run_until_complete_cb";
    /// The running loop, or an error.
    get_running_loop = "_asyncio" . "get_running_loop";
    /// The running loop or None.
    running_loop = "_asyncio" . "_get_running_loop";
    /// The module of `get_event_loop`.
    events = "asyncio" . "events";
    /// The task running on a loop; in C since 3.12.
    stock_current_task = "_asyncio" . "current_task";
    /// All pending tasks of a loop; in C since 3.14.
    stock_all_tasks = "_asyncio" . "all_tasks";
    /// The module that exports `Future`.
    futures_module = "asyncio" . "futures";
    /// asyncio's own class, in C.
    stock_future = "_asyncio" . "Future";
    /// asyncio's own class, in C.
    stock_task = "_asyncio" . "Task";
    /// asyncio's own set of all tasks; its iterator shows ferrio's too.
    tasks_module = "asyncio" . "tasks";
    /// Records a waiter of one of asyncio's own futures; since 3.14.
    stock_add_to_awaited_by = "_asyncio" . "future_add_to_awaited_by";
    /// Takes that back; since 3.14.
    stock_discard_from_awaited_by = "_asyncio" . "future_discard_from_awaited_by";
    /// The class of what `gather()` returns, which ferrio's claims to be.
    asyncio_gathering_future = "asyncio.tasks" . "_GatheringFuture";
    /// What the timer of asyncio's own `sleep` calls.
    set_result_unless_cancelled = "asyncio.futures" . "_set_result_unless_cancelled";
    /// `asyncio.CancelledError`.
    cancelled_error = "asyncio.exceptions" . "CancelledError";
    /// `asyncio.InvalidStateError`.
    invalid_state_error = "asyncio.exceptions" . "InvalidStateError";
    /// The repr of a future.
    future_repr = "asyncio.base_futures" . "_future_repr";
    /// The repr of a task.
    task_repr = "asyncio.base_tasks" . "_task_repr";
    /// The frames of a task.
    task_get_stack = "asyncio.base_tasks" . "_task_get_stack";
    /// Prints the frames of a task.
    task_print_stack = "asyncio.base_tasks" . "_task_print_stack";
    /// asyncio's class, which handles claim to be.
    asyncio_handle = "asyncio.events" . "Handle";
    /// asyncio's class, which timer handles claim to be.
    asyncio_timer_handle = "asyncio.events" . "TimerHandle";
}

/// One of the functions above.
type Import = fn(Python<'_>) -> PyResult<&Bound<'_, PyAny>>;

/// Imports now what finalizers, reports and the destructors of tasks need: they run also while the interpreter
/// finalizes, when imports fail. All of it is in modules that asyncio imports.
///
/// # Errors
/// `ImportError` when asyncio is not importable.
pub fn prepare(py: Python<'_>) -> PyResult<()> {
    interned::prepare(py);
    let needed: [Import; 24] = [
        format_callback_source,
        format_helpers,
        base_events,
        get_running_loop,
        stop_loop,
        format_handle,
        getattr,
        setattr,
        delattr,
        coroutine_types,
        running_loop,
        events,
        tasks_module,
        futures_module,
        stock_future,
        stock_task,
        cancelled_error,
        invalid_state_error,
        asyncio_gathering_future,
        asyncio_handle,
        asyncio_timer_handle,
        future_repr,
        task_repr,
        task_get_stack,
    ];
    for take in needed {
        take(py)?;
    }
    format_takes_debug(py)?;
    thread_safe_handle(py)?;
    asyncio_code::prepare(py)
}

/// `iscoroutinefunction` as asyncio's own loop uses it: a private name from 3.14 on, where the public one warns.
pub(crate) fn iscoroutinefunction(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let module = modules::module(py, name!("asyncio.coroutines"))?;
    match module.getattr_opt(name!("_iscoroutinefunction"))? {
        Some(function) => Ok(function),
        None => module.getattr(name!("iscoroutinefunction")),
    }
}

/// The function that takes a frame and returns a `traceback.StackSummary`, looked up at each call.
pub(crate) fn extract_stack(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    format_helpers(py)?.getattr(crate::intern!(py, "extract_stack"))
}

/// Whether `_format_callback_source` of this patch release takes `debug`.
pub(crate) fn format_takes_debug(py: Python<'_>) -> PyResult<bool> {
    static CELL: PyOnceLock<bool> = PyOnceLock::new();
    CELL.get_or_try_init(py, || {
        let code = format_callback_source(py)?.getattr(name!("__code__"))?;
        code.getattr(name!("co_varnames"))?.contains("debug")
    })
    .copied()
}

/// The innermost Python frame, if Python code is running.
///
/// Not by `sys._getframe`, which expects a Python function as its caller: while the last frame of a coroutine that
/// ferrio resumed releases its variables, what it takes for a frame is not one.
#[must_use]
pub fn current_frame(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    // SAFETY: a thread that has the GIL.
    let frame = unsafe { ffi::PyEval_GetFrame() };
    // SAFETY: null, or a borrowed reference to what the interpreter keeps until the frame ends.
    unsafe { Bound::from_borrowed_ptr_or_opt(py, frame.cast()) }
}

/// What a module has under a name, if it is imported: nothing is imported for it, nor an error left behind.
pub(crate) fn of_loaded_module(py: Python<'_>, module: Name, name: Name) -> Option<Bound<'_, PyAny>> {
    let Ok(module) = module.into_pyobject(py);
    // SAFETY: a string, alive during the call.
    let module = unsafe { ffi::PyImport_GetModule(module.as_ptr()) };
    // SAFETY: a new reference, or null with or without an exception set.
    let module = unsafe { Bound::from_owned_ptr_or_opt(py, module) };
    drop(PyErr::take(py));
    module?.getattr(name).ok()
}

/// asyncio's class for handles that threads share; since 3.14.
pub(crate) fn thread_safe_handle(py: Python<'_>) -> PyResult<Option<Bound<'_, PyType>>> {
    static CELL: PyOnceLock<Option<Py<PyType>>> = PyOnceLock::new();
    let class = CELL.get_or_try_init(py, || {
        let class = modules::module(py, name!("asyncio.events"))?.getattr_opt(name!("_ThreadSafeHandle"))?;
        Ok::<_, PyErr>(class.map(Bound::cast_into::<PyType>).transpose()?.map(Bound::unbind))
    })?;
    Ok(class.as_ref().map(|class| class.bind(py).clone()))
}

/// Whether the code of asyncio's own Python method `class.method` in `module` uses `name`: for behaviour that changed
/// within the patch releases of one version.
#[cold]
pub(crate) fn stock_method_uses(py: Python<'_>, module: &str, class: &str, method: &str, name: &str) -> PyResult<bool> {
    let code = modules::module(py, module)?.getattr(class)?.getattr(method)?.getattr(name!("__code__"))?;
    code.getattr(name!("co_names"))?.contains(name)
}

/// The loop of a future made without one, as asyncio's own constructors find it: the running one or the policy's.
///
/// # Errors
/// `RuntimeError` when there is none.
pub(crate) fn default_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let running = running_loop(py)?.call0()?;
    if !running.is_none() {
        return Ok(running);
    }
    if py.version_info() < (3, 12) {
        return events(py)?.call_method0(name!("_get_event_loop"));
    }
    events(py)?.call_method0(name!("get_event_loop"))
}

/// The same for functions that asyncio has in Python, which call `events.get_event_loop()`.
///
/// # Errors
/// As `default_loop`; any exception that a replacement of asyncio's function raises.
pub fn get_event_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let hook = if py.version_info() < (3, 12) { &hooks::GET_EVENT_LOOP_INSIDE } else { &hooks::GET_EVENT_LOOP };
    match hook.replacement(py)? {
        Some(function) => function.call0(),
        None => default_loop(py),
    }
}
