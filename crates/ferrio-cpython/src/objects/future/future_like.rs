//! Operations on any future-like object, without a method call where the object is exactly of a ferrio type.
//!
//! For all others the functions make the method calls that asyncio's own Python code makes, in its order.

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::{FutureRef, State, gathering_future, types};
use crate::capi::hooks;
use crate::capi::imports;
use crate::capi::raise::raised;
use crate::capi::resume::is_python_coroutine;
use crate::objects::task::{self, TaskRef, cancel_any};

/// Why a future that is done has no result.
pub enum Failure<'py> {
    /// It was cancelled.
    Cancelled,
    /// The exception; reading it here marks it as retrieved.
    Exception(Bound<'py, PyAny>),
}

/// `futures.isfuture`, as asyncio's Python code calls it.
///
/// # Errors
/// Any exception that reading attributes or a replacement of asyncio's function raises.
#[inline]
pub fn is_future(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    match hooks::IS_FUTURE.replacement(object.py())? {
        Some(function) => function.call1((object,))?.is_truthy(),
        None => is_marked_future(object),
    }
}

/// Whether the object's class marks it as future-like.
///
/// # Errors
/// Any exception that reading attributes raises.
#[inline]
pub fn is_marked_future(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = object.py();
    if FutureRef::exact(object).is_some() {
        return Ok(true);
    }
    if is_python_coroutine(object) {
        return Ok(false);
    }
    let blocking = crate::intern!(py, "_asyncio_future_blocking");
    let class = object.getattr(crate::intern!(py, "__class__"))?;
    Ok(class.hasattr(blocking)? && !object.getattr(blocking)?.is_none())
}

/// The future's loop, by `get_loop()` or else `_loop`.
///
/// # Errors
/// `RuntimeError` when the future is not initialised; `AttributeError`.
#[inline]
pub fn loop_of<'py>(future: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if let Some(exact) = FutureRef::exact(future) {
        return exact.owner();
    }
    let py = future.py();
    match future.getattr_opt(crate::intern!(py, "get_loop"))? {
        Some(get_loop) => get_loop.call0(),
        None => future.getattr(crate::intern!(py, "_loop")),
    }
}

/// `done()`.
///
/// # Errors
/// Any exception that the method raises.
#[inline]
pub fn is_done(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    match FutureRef::exact(future) {
        Some(exact) => Ok(!exact.is_pending()),
        None => call_predicate(future, crate::intern!(future.py(), "done")),
    }
}

/// `cancelled()`.
///
/// # Errors
/// Any exception that the method raises.
#[inline]
pub fn is_cancelled(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    match FutureRef::exact(future) {
        Some(exact) => Ok(exact.body().state == State::Cancelled),
        None => call_predicate(future, crate::intern!(future.py(), "cancelled")),
    }
}

/// The outcome of `cancelled()` and then `exception()` of a future that is done.
///
/// # Errors
/// Any exception that the methods raise.
#[inline]
pub fn failure<'py>(future: &Bound<'py, PyAny>) -> PyResult<Option<Failure<'py>>> {
    let py = future.py();
    if is_cancelled(future)? {
        return Ok(Some(Failure::Cancelled));
    }
    if let Some(exact) = FutureRef::exact(future)
        && !exact.is_pending()
    {
        exact.update(|body| body.log_traceback = false);
        let exception = exact.body().exception.as_ref().map(|exception| exception.get(py));
        return Ok(exception.map(Failure::Exception));
    }
    let exception = future.call_method0(crate::intern!(py, "exception"))?;
    Ok(Some(exception).filter(|exception| !exception.is_none()).map(Failure::Exception))
}

/// `result()`.
///
/// # Errors
/// Any exception that the method raises.
#[inline]
pub fn result<'py>(future: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if let Some(exact) = FutureRef::exact(future) {
        return match exact.outcome()? {
            super::Outcome::Result(result) => Ok(result),
            super::Outcome::Exception(exception) => Err(raised(&exception)),
        };
    }
    future.call_method0(crate::intern!(future.py(), "result"))
}

/// `set_result(result)`.
///
/// # Errors
/// Any exception that the method raises.
#[inline]
pub fn set_result<'py>(future: &Bound<'py, PyAny>, result: Bound<'py, PyAny>) -> PyResult<()> {
    match settable(future) {
        Some(exact) => exact.finish(result),
        None => future.call_method1(crate::intern!(future.py(), "set_result"), (result,)).map(drop),
    }
}

/// `set_exception(exception)`.
///
/// # Errors
/// Any exception that the method raises.
#[inline]
pub fn set_exception<'py>(future: &Bound<'py, PyAny>, exception: &Bound<'py, PyAny>) -> PyResult<()> {
    match settable(future) {
        Some(exact) => exact.fail(exception),
        None => future.call_method1(crate::intern!(future.py(), "set_exception"), (exception,)).map(drop),
    }
}

/// `cancel()`.
///
/// # Errors
/// Any exception that the method raises.
#[inline]
pub fn cancel(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    if FutureRef::exact(future).is_some() {
        return cancel_any(future, None);
    }
    call_predicate(future, crate::intern!(future.py(), "cancel"))
}

/// `cancelling()` of a task: the number of cancellation requests.
///
/// # Errors
/// Any exception that the method raises; `TypeError` and `OverflowError` when it does not return such a number.
#[inline]
pub fn cancelling(task: &Bound<'_, PyAny>) -> PyResult<u32> {
    match exact_task(task) {
        Some(task) => Ok(task.task().cancels_requested),
        None => task.call_method0(crate::intern!(task.py(), "cancelling"))?.extract(),
    }
}

/// `uncancel()` of a task: takes one request back; returns how many are left.
///
/// # Errors
/// As `cancelling`.
#[inline]
pub fn uncancel(task: &Bound<'_, PyAny>) -> PyResult<u32> {
    match exact_task(task) {
        Some(task) => task.uncancel(),
        None => task.call_method0(crate::intern!(task.py(), "uncancel"))?.extract(),
    }
}

#[inline]
fn exact_task<'py>(task: &Bound<'py, PyAny>) -> Option<TaskRef<'py>> {
    if !task::is_exact(task.get_type_ptr()) {
        return None;
    }
    // SAFETY: exactly of our type, as just seen.
    Some(unsafe { TaskRef::new_unchecked(task.clone()) })
}

/// `_make_cancelled_error()`.
///
/// # Errors
/// Any exception that the method raises.
#[cold]
pub fn cancelled_error<'py>(future: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    match FutureRef::exact(future) {
        Some(exact) => exact.cancelled_exception(),
        None => future.call_method0(crate::intern!(future.py(), "_make_cancelled_error")),
    }
}

/// Sets `_log_destroy_pending` to False: no code can keep the task from being lost.
///
/// # Errors
/// Any exception that setting the attribute raises.
#[inline]
pub fn clear_log_destroy_pending(task: &Bound<'_, PyAny>) -> PyResult<()> {
    if let Some(task) = exact_task(task) {
        task.update(|body| body.log_destroy_pending = false);
        return Ok(());
    }
    task.setattr(crate::intern!(task.py(), "_log_destroy_pending"), false)
}

/// Records on 3.14 and later that `waiter` waits for `future`: `asyncio.future_add_to_awaited_by`.
///
/// # Errors
/// Any exception that hashing the waiter raises.
pub fn add_waiter<'py>(future: &Bound<'py, PyAny>, waiter: &Bound<'py, PyAny>) -> PyResult<()> {
    if super::note_waiter(future, waiter)? {
        return Ok(());
    }
    imports::stock_add_to_awaited_by(future.py())?.call1((future, waiter)).map(drop)
}

/// Records on 3.14 and later that `waiter` waits no more: `asyncio.future_discard_from_awaited_by`.
///
/// # Errors
/// Any exception that hashing the waiter raises.
pub fn discard_waiter<'py>(future: &Bound<'py, PyAny>, waiter: &Bound<'py, PyAny>) -> PyResult<()> {
    if super::forget_waiter(future, waiter)? {
        return Ok(());
    }
    imports::stock_discard_from_awaited_by(future.py())?.call1((future, waiter)).map(drop)
}

/// The future, if it is exactly of a ferrio type whose result can be set from outside.
#[inline]
fn settable<'py>(future: &Bound<'py, PyAny>) -> Option<FutureRef<'py>> {
    let class = future.get_type_ptr();
    FutureRef::exact(future)
        .filter(|exact| (types::is_exact(class) || gathering_future::is_exact(class)) && exact.body().owner.is_some())
}

fn call_predicate(future: &Bound<'_, PyAny>, method: &Bound<'_, PyString>) -> PyResult<bool> {
    future.call_method0(method)?.is_truthy()
}
