//! Which task is running, kept where `asyncio.current_task()` looks, so that this function and asyncio's own tasks see
//! ferrio's tasks.
//!
//! Up to 3.13 that is a dictionary from loops to tasks; later it is a place in the thread's state, reached through
//! functions of `_asyncio`. A ferrio loop only notes which task's step it runs. Every look-up in the dictionary first
//! calls the loop's `__hash__`, which writes the noted task into the dictionary (`LoopBase::flush_current_task`): a
//! step costs no look-up unless a program reads the dictionary. The thread's state is written for each task instead,
//! and cleared only before something other than a step runs.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::exceptions::{PyKeyError, PyRuntimeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use pyo3::{PyTraverseError, PyVisit};

use crate::capi::gil_cell::GilCell;
use crate::capi::hooks;
use crate::capi::imports;
use crate::capi::interned;
use crate::capi::owned_ref::OwnedRef;
use crate::objects::loop_base::LoopBase;
use crate::objects::task::TaskRef;

/// The first version that keeps the running task in the thread's state.
const IN_THREAD_STATE: (u8, u8) = (3, 14);

/// Which task runs on a loop, and which one was last published to asyncio.
#[derive(Default)]
pub(crate) struct Running {
    /// The task whose step runs, null for none; the code that runs the step holds the reference.
    task: AtomicPtr<ffi::PyObject>,
    /// The task last published where asyncio looks.
    published: GilCell<Option<OwnedRef>>,
    /// When a change is published.
    publish_mode: GilCell<PublishMode>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum PublishMode {
    /// Not looked up so far.
    #[default]
    Unknown,
    /// When asyncio hashes the loop.
    OnDemand,
    /// At once: asyncio does not hash the loop, or a subclass defines `__hash__` itself.
    Eager,
}

impl Running {
    // Relaxed: the GIL orders all accesses.
    #[inline]
    fn get(&self) -> *mut ffi::PyObject {
        self.task.load(Ordering::Relaxed)
    }

    #[inline]
    fn set(&self, task: *mut ffi::PyObject) {
        self.task.store(task, Ordering::Relaxed);
    }

    #[inline]
    fn published(&self, py: Python<'_>) -> *mut ffi::PyObject {
        self.published.with(py, |published| published.as_ref().map_or(null_mut(), OwnedRef::as_ptr))
    }

    /// The task that runs.
    pub(crate) fn task<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        // SAFETY: null, or kept by the code that runs its step.
        unsafe { Bound::from_borrowed_ptr_or_opt(py, self.get()) }
    }

    /// The number of the task that runs; 0 for none.
    pub(crate) fn number(&self, py: Python<'_>) -> u64 {
        self.task(py).map_or(0, |task| crate::objects::task::number(&task))
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let published =
            self.published.traverse(visit, |published| published.as_ref().map(|published| published.traverse(visit)));
        published.flatten().unwrap_or(Ok(()))
    }
}

/// A step that runs. When dropped, it restores the step that it interrupted, if any.
pub(crate) struct RunningStep<'a> {
    running: &'a Running,
    outer: *mut ffi::PyObject,
}

impl Drop for RunningStep<'_> {
    #[inline]
    fn drop(&mut self) {
        self.running.set(self.outer);
    }
}

impl LoopBase {
    /// Begins the step of `task`; it ends when the guard is dropped, and until then the caller keeps the task alive.
    #[inline]
    pub(crate) fn begin_step<'a>(slf: &'a Bound<'_, Self>, task: &Bound<'_, PyAny>) -> RunningStep<'a> {
        let running = &slf.get().running;
        let outer = running.get();
        running.set(task.as_ptr());
        RunningStep { running, outer }
    }

    /// Whether the step of `task` runs.
    pub(crate) fn runs(&self, task: &Bound<'_, PyAny>) -> bool {
        std::ptr::eq(self.running.get(), task.as_ptr())
    }

    /// Publishes a change at once where asyncio does not hash the loop.
    #[inline]
    pub(crate) fn sync_current_task_if_eager(slf: &Bound<'_, Self>) -> PyResult<()> {
        match slf.get().running.publish_mode.get(slf.py()) {
            PublishMode::OnDemand => Ok(()),
            PublishMode::Eager => Self::flush_current_task(slf),
            PublishMode::Unknown => {
                Self::find_publish_mode(slf)?;
                Self::sync_current_task_if_eager(slf)
            }
        }
    }

    /// Publishes the running task where asyncio looks.
    #[inline]
    pub fn flush_current_task(slf: &Bound<'_, Self>) -> PyResult<()> {
        let running = &slf.get().running;
        if std::ptr::eq(running.get(), running.published(slf.py())) { Ok(()) } else { Self::publish(slf) }
    }

    fn publish(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let running = &slf.get().running;
        // SAFETY: null, or kept by the code that runs its step.
        let task = unsafe { Bound::from_borrowed_ptr_or_opt(py, running.get()) };
        // Noted first: the dictionary hashes the loop again.
        let before =
            running.published.with(py, |published| std::mem::replace(published, task.clone().map(OwnedRef::from)));
        let outcome = put_back(slf.as_any(), task);
        drop(before);
        outcome
    }

    #[cold]
    fn find_publish_mode(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let hash = crate::intern!(py, "__hash__");
        let asked = !in_thread_state(py) && slf.get_type().getattr(hash)?.is(&py.get_type::<Self>().getattr(hash)?);
        let publish_mode = if asked { PublishMode::OnDemand } else { PublishMode::Eager };
        slf.get().running.publish_mode.set(py, publish_mode);
        Ok(())
    }
}

fn in_thread_state(py: Python<'_>) -> bool {
    static CELL: PyOnceLock<bool> = PyOnceLock::new();
    *CELL.get_or_init(py, || py.version_info() >= IN_THREAD_STATE)
}

fn dictionary(py: Python<'_>) -> PyResult<&Bound<'_, PyDict>> {
    static CELL: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    interned::import(py, &CELL, name!("asyncio.tasks"), name!("_current_tasks"))
}

fn swap_function(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static CELL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    interned::import(py, &CELL, name!("_asyncio"), name!("_swap_current_task"))
}

/// The loop that runs in this thread, by `events._get_running_loop()`.
///
/// # Errors
/// Any exception that a replacement of asyncio's function raises.
#[inline]
pub fn running_loop(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    let running = match hooks::RUNNING_LOOP.replacement(py)? {
        Some(function) => function.call0()?,
        None => imports::running_loop(py)?.call0()?,
    };
    Ok(Some(running).filter(|running| !running.is_none()))
}

/// The loop that runs in this thread, by `events.get_running_loop()`.
///
/// # Errors
/// `RuntimeError` when there is none; any exception that a replacement of asyncio's function raises.
#[inline]
pub fn get_running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    match hooks::GET_RUNNING_LOOP.replacement(py)? {
        Some(function) => function.call0(),
        None => imports::get_running_loop(py)?.call0(),
    }
}

/// The same for a function that asyncio has in C since the version `builtin_since`, from which on only the C function
/// is called.
///
/// # Errors
/// As `get_running_loop`.
pub fn loop_of_builtin(py: Python<'_>, builtin_since: (u8, u8)) -> PyResult<Bound<'_, PyAny>> {
    if py.version_info() >= builtin_since { imports::get_running_loop(py)?.call0() } else { get_running_loop(py) }
}

/// How asyncio's Python code calls `tasks.current_task`.
#[derive(Clone, Copy)]
pub enum CurrentTaskCall {
    /// `current_task(loop)`.
    WithLoop,
    /// `current_task()`.
    WithoutLoop,
}

/// The task that runs on `owner`, which is the running loop, by `tasks.current_task()`.
///
/// # Errors
/// As `current_task`; any exception that a replacement of asyncio's function raises.
#[inline]
pub fn running_task<'py>(
    py: Python<'py>,
    owner: &Bound<'py, PyAny>,
    call: CurrentTaskCall,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Some(function) = hooks::CURRENT_TASK.replacement(py)? else {
        // The function finds the loop itself, and in C by another way.
        if matches!(call, CurrentTaskCall::WithoutLoop) && hooks::GET_RUNNING_LOOP.is_replaced(py) {
            return current_task(&loop_of_builtin(py, (3, 12))?);
        }
        return current_task(owner);
    };
    let task = match call {
        CurrentTaskCall::WithLoop => function.call1((owner,))?,
        CurrentTaskCall::WithoutLoop => function.call0()?,
    };
    Ok(Some(task).filter(|task| !task.is_none()))
}

/// The task that runs on `owner`, as `asyncio.current_task(owner)` finds it.
///
/// # Errors
/// `TypeError` for a loop that cannot be hashed.
#[inline]
pub fn current_task<'py>(owner: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = owner.py();
    if in_thread_state(py) {
        let shown = imports::stock_current_task(py)?.call1((owner,))?;
        return Ok(Some(shown).filter(|shown| !shown.is_none()));
    }
    if let Ok(native) = owner.cast::<LoopBase>() {
        let running = native.get().running.get();
        // A task that is not published yet is the right one: no other task can have been entered without hashing the
        // loop.
        if !running.is_null() && !std::ptr::eq(running, native.get().running.published(py)) {
            // SAFETY: kept by the code that runs its step.
            return Ok(Some(unsafe { Bound::from_borrowed_ptr(py, running) }));
        }
    }
    dictionary(py)?.get_item(owner)
}

/// The ferrio task that runs in this thread, if it runs on one of ferrio's loops.
pub(crate) fn task_of_this_thread(py: Python<'_>) -> Option<TaskRef<'_>> {
    let owner = imports::running_loop(py).ok()?.call0().ok()?;
    TaskRef::of(&owner.cast::<LoopBase>().ok()?.get().running.task(py)?)
}

/// Shows `task` as running on `owner`, as `_enter_task` does.
///
/// # Errors
/// `RuntimeError` when another task runs there.
pub(crate) fn enter<'py>(owner: &Bound<'py, PyAny>, task: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = owner.py();
    if in_thread_state(py) {
        crate::capi::modules::module(py, name!("_asyncio"))?
            .call_method1(crate::intern!(py, "_enter_task"), (owner, task))?;
        return Ok(());
    }
    if let Some(other) = dictionary(py)?.get_item(owner)? {
        let text =
            format!("Cannot enter into task {} while another task {} is being executed.", task.repr()?, other.repr()?);
        return Err(crate::capi::raise::error::<PyRuntimeError>(text));
    }
    dictionary(py)?.set_item(owner, task)
}

/// Hides `task` again, as `_leave_task` does.
///
/// # Errors
/// `RuntimeError` when it is not the one shown.
pub(crate) fn leave<'py>(owner: &Bound<'py, PyAny>, task: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = owner.py();
    if in_thread_state(py) {
        crate::capi::modules::module(py, name!("_asyncio"))?
            .call_method1(crate::intern!(py, "_leave_task"), (owner, task))?;
        return Ok(());
    }
    match dictionary(py)?.get_item(owner)? {
        Some(shown) if shown.is(task) => dictionary(py)?.del_item(owner),
        shown => {
            let shown = shown.unwrap_or_else(|| py.None().into_bound(py));
            let text = format!("Leaving task {} does not match the current task {}.", task.repr()?, shown.repr()?);
            Err(crate::capi::raise::error::<PyRuntimeError>(text))
        }
    }
}

/// Shows `task` in place of the one that is shown, without a check.
#[inline]
fn replace<'py>(owner: &Bound<'py, PyAny>, task: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = owner.py();
    if in_thread_state(py) {
        return swap_out(owner, task.as_ptr()).map(drop);
    }
    // SAFETY: live objects; it takes references of its own.
    let outcome = unsafe { ffi::PyDict_SetItem(dictionary(py)?.as_ptr(), owner.as_ptr(), task.as_ptr()) };
    if outcome < 0 { Err(PyErr::fetch(py)) } else { Ok(()) }
}

/// Shows no task any more.
fn hide(owner: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = owner.py();
    if in_thread_state(py) {
        return swap_out(owner, py.None().as_ptr()).map(drop);
    }
    // SAFETY: live objects.
    let outcome = unsafe { ffi::PyDict_DelItem(dictionary(py)?.as_ptr(), owner.as_ptr()) };
    if outcome < 0 { hidden_already(PyErr::fetch(py), py) } else { Ok(()) }
}

/// Ignores the error that means that other code has hidden the task already.
#[cold]
fn hidden_already(error: PyErr, py: Python<'_>) -> PyResult<()> {
    if error.is_instance_of::<PyKeyError>(py) { Ok(()) } else { Err(error) }
}

/// `_swap_current_task(owner, task)`: returns the task that was shown.
#[inline]
fn swap_out<'py>(owner: &Bound<'py, PyAny>, task: *mut ffi::PyObject) -> PyResult<Bound<'py, PyAny>> {
    let py = owner.py();
    let function = swap_function(py)?.as_ptr();
    let mut stack = [null_mut(), owner.as_ptr(), task];
    let first = &raw mut stack[1];
    let count = 2 | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET;
    // SAFETY: before the arguments there is the spare slot that the flag promises; all objects are alive.
    let before = unsafe { ffi::PyObject_Vectorcall(function, first, count, null_mut()) };
    // SAFETY: a new reference or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, before) }
}

/// Shows `task`, or none.
#[inline]
fn put_back<'py>(owner: &Bound<'py, PyAny>, task: Option<Bound<'py, PyAny>>) -> PyResult<()> {
    match task {
        Some(task) => replace(owner, &task),
        None => hide(owner),
    }
}

/// Runs `body` while no task is shown as running on `owner`; the running one is shown again afterwards.
///
/// # Errors
/// Any error that `body` returns or that asyncio's functions raise.
pub fn without_task<R>(owner: &Bound<'_, PyAny>, body: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    let before = current_task(owner)?;
    let native = owner.cast::<LoopBase>().ok();
    let noted = native.map_or(null_mut(), |native| {
        let noted = native.get().running.get();
        native.get().running.set(null_mut());
        noted
    });
    let hidden = native.map_or(Ok(()), LoopBase::flush_current_task);
    // asyncio's own tasks are not noted in `running`.
    let hidden = hidden.and_then(|()| if current_task(owner)?.is_some() { hide(owner) } else { Ok(()) });
    let outcome = hidden.and_then(|()| body());
    let Some(native) = native else {
        return put_back(owner, before).and(outcome);
    };
    native.get().running.set(noted);
    let shown = LoopBase::flush_current_task(native);
    let is_ours = before.as_ref().is_none_or(|before| std::ptr::eq(before.as_ptr(), noted));
    let shown = shown.and_then(|()| if is_ours { Ok(()) } else { put_back(owner, before) });
    shown.and(outcome)
}

/// Runs the step of `task` in the middle of other code that runs on `owner`, as `_swap_current_task` allows.
pub(crate) fn run_nested_step<'py>(
    owner: &Bound<'py, PyAny>,
    task: &Bound<'py, PyAny>,
    step: impl FnOnce() -> PyResult<()>,
) -> PyResult<()> {
    let before = current_task(owner)?;
    let Ok(native) = owner.cast::<LoopBase>() else {
        replace(owner, task)?;
        let outcome = step();
        return outcome.and(put_back(owner, before));
    };
    let py = owner.py();
    let running = &native.get().running;
    let noted = running.get();
    let shown = before.as_ref().map_or(null_mut(), Bound::as_ptr);
    let running_step = LoopBase::begin_step(native, task);
    let outcome = LoopBase::sync_current_task_if_eager(native).and_then(|()| step());
    drop(running_step);
    if std::ptr::eq(shown, noted) {
        return outcome.and(LoopBase::sync_current_task_if_eager(native));
    }
    // One of asyncio's own tasks, started eagerly, runs in the middle of a ferrio task: it replaces the noted one.
    // SAFETY: null, or kept by the code that runs its step.
    let noted = unsafe { Bound::from_borrowed_ptr_or_opt(py, noted) };
    let published = running.published.with(py, |published| std::mem::replace(published, noted.map(OwnedRef::from)));
    drop(published);
    outcome.and(put_back(owner, before))
}
