//! Which task is running, kept where `asyncio.current_task()` looks: it and asyncio's own tasks must see ours.
//!
//! Up to 3.13 that is a dictionary from loops to tasks; later a place in the thread's state, reached through functions
//! of `_asyncio`. On a loop of ours a task stays shown after its step, and gives way to the next task or, before
//! anything else runs, is hidden by the loop (`LoopBase::hide_task`): one store a step in place of four look-ups, and
//! none while one task alone goes on.

use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::exceptions::{PyKeyError, PyRuntimeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::loop_base::LoopBase;
use crate::names;

/// The first version that keeps the running task in the thread's state.
const IN_THREAD_STATE: (u8, u8) = (3, 14);

impl LoopBase {
    /// Shows `task` to asyncio as the running one; it stays until another or `hide_task`.
    #[inline]
    pub(crate) fn show_task<'py>(slf: &Bound<'py, Self>, task: &Bound<'py, PyAny>) -> PyResult<()> {
        let shown = slf.get().task_shown.get();
        if std::ptr::eq(shown, task.as_ptr()) {
            return Ok(());
        }
        if shown.is_null() {
            begin(slf.as_any(), task)?;
        } else {
            replace(slf.as_any(), task)?;
        }
        slf.get().task_shown.set(task.as_ptr());
        Ok(())
    }

    /// Shows no task any more: before anything but a step of ours runs.
    #[inline]
    pub fn hide_task(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.get().task_shown.get().is_null() {
            return Ok(());
        }
        slf.get().task_shown.set(std::ptr::null_mut());
        hide(slf.as_any())
    }
}

/// The task that asyncio shows as running on a loop, null for none. asyncio holds the reference as long as it is shown.
#[derive(Default)]
pub(crate) struct Shown(AtomicPtr<ffi::PyObject>);

impl Shown {
    // Relaxed: the GIL orders all accesses.
    #[inline]
    fn get(&self) -> *mut ffi::PyObject {
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    fn set(&self, task: *mut ffi::PyObject) {
        self.0.store(task, Ordering::Relaxed);
    }
}

fn in_thread_state(py: Python<'_>) -> bool {
    static CELL: PyOnceLock<bool> = PyOnceLock::new();
    *CELL.get_or_init(py, || py.version_info() >= IN_THREAD_STATE)
}

fn dictionary(py: Python<'_>) -> PyResult<&Bound<'_, PyDict>> {
    static CELL: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    CELL.import(py, "asyncio.tasks", "_current_tasks")
}

fn swap_function(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static CELL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    CELL.import(py, "_asyncio", "_swap_current_task")
}

/// The loop that runs in this thread.
///
/// # Errors
/// What a function put in place of asyncio's raises.
#[inline]
pub fn running_loop(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    let running = names::running_loop(py)?.call0()?;
    Ok(Some(running).filter(|running| !running.is_none()))
}

/// The task that runs on `owner`, as `asyncio.current_task(owner)` finds it.
///
/// # Errors
/// `TypeError` for a loop that cannot be hashed.
#[inline]
pub fn current_task<'py>(owner: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = owner.py();
    if in_thread_state(py) {
        let shown = names::stock_current_task(py)?.call1((owner,))?;
        return Ok(Some(shown).filter(|shown| !shown.is_none()));
    }
    dictionary(py)?.get_item(owner)
}

/// Shows `task` as running on `owner`, as `_enter_task` does.
///
/// # Errors
/// `RuntimeError` when another task runs there.
pub(crate) fn enter<'py>(owner: &Bound<'py, PyAny>, task: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = owner.py();
    if in_thread_state(py) {
        py.import("_asyncio")?.call_method1(pyo3::intern!(py, "_enter_task"), (owner, task))?;
        return Ok(());
    }
    if let Some(other) = dictionary(py)?.get_item(owner)? {
        let text =
            format!("Cannot enter into task {} while another task {} is being executed.", task.repr()?, other.repr()?);
        return Err(PyRuntimeError::new_err(text));
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
        py.import("_asyncio")?.call_method1(pyo3::intern!(py, "_leave_task"), (owner, task))?;
        return Ok(());
    }
    match dictionary(py)?.get_item(owner)? {
        Some(shown) if shown.is(task) => dictionary(py)?.del_item(owner),
        shown => {
            let shown = shown.unwrap_or_else(|| py.None().into_bound(py));
            let text = format!("Leaving task {} does not match the current task {}.", task.repr()?, shown.repr()?);
            Err(PyRuntimeError::new_err(text))
        }
    }
}

/// Shows the task of a step that nothing else runs around, as `enter` does.
#[inline]
fn begin<'py>(owner: &Bound<'py, PyAny>, task: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = owner.py();
    if in_thread_state(py) {
        let other = swap_out(owner, task.as_ptr())?;
        if other.is_none() {
            return Ok(());
        }
        swap_out(owner, other.as_ptr())?;
        return enter(owner, task);
    }
    // SAFETY: live objects; it takes references of its own and lends what is there afterwards.
    let shown = unsafe { ffi::PyDict_SetDefault(dictionary(py)?.as_ptr(), owner.as_ptr(), task.as_ptr()) };
    if std::ptr::eq(shown, task.as_ptr()) { Ok(()) } else { enter(owner, task) }
}

/// Shows `task` in place of whatever is shown, without asking.
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

/// Somebody else has hidden the task.
#[cold]
fn hidden_already(error: PyErr, py: Python<'_>) -> PyResult<()> {
    if error.is_instance_of::<PyKeyError>(py) { Ok(()) } else { Err(error) }
}

/// `_swap_current_task(owner, task)`: gives what was shown.
#[inline]
fn swap_out<'py>(owner: &Bound<'py, PyAny>, task: *mut ffi::PyObject) -> PyResult<Bound<'py, PyAny>> {
    let py = owner.py();
    let function = swap_function(py)?.as_ptr();
    let mut stack = [std::ptr::null_mut(), owner.as_ptr(), task];
    let first = &raw mut stack[1];
    let count = 2 | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET;
    // SAFETY: before the arguments there is the spare slot that the flag promises; all objects are alive.
    let before = unsafe { ffi::PyObject_Vectorcall(function, first, count, std::ptr::null_mut()) };
    // SAFETY: a new reference or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, before) }
}

/// Shows what `swap` gave again.
#[inline]
pub(crate) fn put_back<'py>(owner: &Bound<'py, PyAny>, task: Option<Bound<'py, PyAny>>) -> PyResult<()> {
    match task {
        Some(task) => replace(owner, &task),
        None => hide(owner),
    }
}

/// Shows `task`, or none, and gives what was shown, as `_swap_current_task` does.
pub(crate) fn swap<'py>(
    owner: &Bound<'py, PyAny>,
    task: Option<Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = owner.py();
    if in_thread_state(py) {
        let before = swap_function(py)?.call1((owner, task))?;
        return Ok(Some(before).filter(|before| !before.is_none()));
    }
    let before = dictionary(py)?.get_item(owner)?;
    match task {
        Some(task) => dictionary(py)?.set_item(owner, task)?,
        None => hide(owner)?,
    }
    Ok(before)
}
