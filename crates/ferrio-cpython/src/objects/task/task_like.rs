//! Operations on any task, without attribute lookups where it is exactly of ferrio's type.
//!
//! For all others the functions read the attributes and make the method calls that anyio's Python code does. The
//! *annex* is one object that ferrio keeps with each of its tasks, and with instances of subclasses, for anyio.

use pyo3::prelude::*;

use super::{TaskRef, is_exact};
use crate::capi::imports;
use crate::objects::future::future_like::is_done;
use crate::objects::future::{FutureRef, State};
use crate::objects::task::cancel_any;

/// Where a task's annex is to be kept.
pub enum Annex<'py> {
    /// In the task, where there is this one.
    Kept(Bound<'py, PyAny>),
    /// In the task, where there is none.
    None,
    /// Elsewhere: the object is not a ferrio task.
    Elsewhere,
}

/// The annex of a task.
#[inline]
#[must_use]
pub fn annex<'py>(task: &Bound<'py, PyAny>) -> Annex<'py> {
    match TaskRef::of(task) {
        Some(task) => match &task.task().annex {
            Some(annex) => Annex::Kept(annex.get(task.py())),
            None => Annex::None,
        },
        None => Annex::Elsewhere,
    }
}

/// Replaces the annex; returns the one before. Does nothing to an object that is not a ferrio task.
#[inline]
#[must_use]
pub fn replace_annex<'py>(task: &Bound<'py, PyAny>, annex: Option<Bound<'py, PyAny>>) -> Option<Bound<'py, PyAny>> {
    let task = TaskRef::of(task)?;
    let before = task.update(|body| std::mem::replace(&mut body.annex, annex.map(Into::into)));
    before.map(|before| before.into_bound(task.py()))
}

/// `_must_cancel`.
///
/// # Errors
/// Any exception that reading the attribute raises.
#[inline]
pub fn must_cancel(task: &Bound<'_, PyAny>) -> PyResult<bool> {
    match exact(task) {
        Some(task) => Ok(task.task().must_cancel),
        None => task.getattr(crate::intern!(task.py(), "_must_cancel"))?.is_truthy(),
    }
}

/// Whether the task waits for a future that is not done, or for something that is no future, or for nothing.
///
/// # Errors
/// Any exception that reading attributes raises.
#[inline]
pub fn can_be_woken(task: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = task.py();
    let waiter = match exact(task) {
        Some(task) => task.task().waiting_for.as_ref().map(|waiter| waiter.get(py)),
        None => Some(task.getattr(crate::intern!(py, "_fut_waiter"))?),
    };
    let Some(waiter) = waiter else { return Ok(true) };
    if FutureRef::exact(&waiter).is_some() {
        return Ok(!is_done(&waiter)?);
    }
    let class = imports::futures_module(py)?.getattr(crate::intern!(py, "Future"))?;
    Ok(!waiter.is_instance(&class)? || !is_done(&waiter)?)
}

/// Whether the task waits for a future that was cancelled.
///
/// # Errors
/// Any exception that reading attributes raises.
#[inline]
pub fn waits_for_cancelled(task: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = task.py();
    let waiter = match exact(task) {
        Some(task) => task.task().waiting_for.as_ref().map(|waiter| waiter.get(py)),
        None => Some(task.getattr(crate::intern!(py, "_fut_waiter"))?),
    };
    let Some(waiter) = waiter else { return Ok(false) };
    if let Some(future) = FutureRef::exact(&waiter) {
        return Ok(future.body().state == State::Cancelled);
    }
    let class = imports::futures_module(py)?.getattr(crate::intern!(py, "Future"))?;
    Ok(waiter.is_instance(&class)? && waiter.call_method0(crate::intern!(py, "cancelled"))?.is_truthy()?)
}

/// Whether the task's coroutine runs or is suspended, as `inspect.getcoroutinestate` tells.
///
/// # Errors
/// `AttributeError` for a coroutine that does not tell.
#[inline]
pub fn has_started(task: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = task.py();
    let coroutine = match exact(task) {
        Some(task) => task.task().coroutine().map(|coroutine| coroutine.get(py)),
        None => Some(task.call_method0(crate::intern!(py, "get_coro"))?),
    };
    let Some(coroutine) = coroutine else { return Ok(false) };
    let running = coroutine.getattr(crate::intern!(py, "cr_running"))?.is_truthy()?;
    Ok(running || coroutine.getattr(crate::intern!(py, "cr_suspended"))?.is_truthy()?)
}

/// `cancel(message)`.
///
/// # Errors
/// Any exception that the method raises.
pub fn cancel<'py>(task: &Bound<'py, PyAny>, message: &Bound<'py, PyAny>) -> PyResult<bool> {
    if exact(task).is_some() {
        return cancel_any(task, Some(message.clone()));
    }
    task.call_method1(crate::intern!(task.py(), "cancel"), (message,))?.is_truthy()
}

#[inline]
fn exact<'py>(task: &Bound<'py, PyAny>) -> Option<TaskRef<'py>> {
    // SAFETY: exactly of our type.
    is_exact(task.get_type_ptr()).then(|| unsafe { TaskRef::new_unchecked(task.clone()) })
}
