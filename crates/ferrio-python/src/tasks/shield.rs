//! `shield`: a future that takes over the outcome of another one, but can be cancelled alone.
//!
//! Each of the two futures is the object of the other's callback. Since 3.14 the inner one also refers to the waiting
//! task while it waits.

use ferrio_cpython::capi::memory;
use ferrio_cpython::objects::current::{CurrentTaskCall, running_task};
use ferrio_cpython::objects::future::future_like::{self, Failure};
use ferrio_cpython::objects::future::{DoneCallback, add_done_callback, remove_done_callback};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::ensure_future::ensure;
use crate::common::imports;

static INNER_DONE: DoneCallback = DoneCallback::new("shield.<locals>._inner_done_callback", inner_done);
static OUTER_DONE: DoneCallback = DoneCallback::new("shield.<locals>._outer_done_callback", outer_done);
/// The same if a task waits: its object is a tuple of the inner future and the object of `CLEAR_AWAITED_BY`.
static OUTER_DONE_AWAITED: DoneCallback = DoneCallback::new("shield.<locals>._outer_done_callback", outer_done_awaited);
/// Its object is the task in a tuple of its own, because a task may shield one future twice.
static CLEAR_AWAITED_BY: DoneCallback =
    DoneCallback::new("shield.<locals>._clear_awaited_by_callback", clear_awaited_by);

/// Wait for a future, shielding it from cancellation.
///
/// `await shield(something())` is as `await something()`, except that the task running `something()` is not cancelled
/// when the coroutine with the await is. Keep a reference to the task: the event loop only keeps weak ones.
#[pyfunction]
pub(super) fn shield<'py>(arg: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = arg.py();
    let inner = ensure(arg, None)?;
    if future_like::is_done(&inner)? {
        return Ok(inner);
    }
    let owner = future_like::loop_of(&inner)?;
    let outer = owner.call_method0(pyo3::intern!(py, "create_future"))?;
    let waiter = if imports::python_version(py) >= (3, 14) {
        running_task(py, &owner, CurrentTaskCall::WithLoop)?
    } else {
        None
    };
    let Some(waiter) = waiter else {
        add_done_callback(&inner, &outer, &INNER_DONE)?;
        add_done_callback(&outer, &inner, &OUTER_DONE)?;
        return Ok(outer);
    };
    future_like::add_waiter(&inner, &waiter)?;
    let waiter = memory::tuple(py, [waiter])?.into_any();
    add_done_callback(&inner, &waiter, &CLEAR_AWAITED_BY)?;
    add_done_callback(&inner, &outer, &INNER_DONE)?;
    add_done_callback(&outer, memory::tuple(py, [inner, waiter])?.as_any(), &OUTER_DONE_AWAITED)?;
    Ok(outer)
}

fn inner_done<'py>(outer: &Bound<'py, PyAny>, inner: &Bound<'py, PyAny>) -> PyResult<()> {
    if future_like::is_cancelled(outer)? {
        // Before 3.14 the exception, which no caller can see any more, then counts as retrieved.
        return if is_reported(outer.py()) { Ok(()) } else { future_like::failure(inner).map(drop) };
    }
    match future_like::failure(inner)? {
        Some(Failure::Cancelled) => future_like::cancel(outer).map(drop),
        Some(Failure::Exception(exception)) => future_like::set_exception(outer, &exception),
        None => future_like::set_result(outer, future_like::result(inner)?),
    }
}

fn outer_done<'py>(inner: &Bound<'py, PyAny>, outer: &Bound<'py, PyAny>) -> PyResult<()> {
    if future_like::is_done(inner)? {
        return Ok(());
    }
    remove_done_callback(inner, outer, &INNER_DONE)?;
    match logger(inner.py())? {
        Some(logger) => {
            // One logger is enough, however often the future was shielded.
            inner.call_method1(name!("remove_done_callback"), (logger,))?;
            inner.call_method1(name!("add_done_callback"), (logger,)).map(drop)
        }
        None => Ok(()),
    }
}

fn outer_done_awaited<'py>(pair: &Bound<'py, PyAny>, outer: &Bound<'py, PyAny>) -> PyResult<()> {
    let (inner, waiter): (Bound<'py, PyAny>, Bound<'py, PyAny>) = pair.extract()?;
    if future_like::is_done(&inner)? {
        return Ok(());
    }
    outer_done(&inner, outer)?;
    remove_done_callback(&inner, &waiter, &CLEAR_AWAITED_BY)?;
    clear_awaited_by(&waiter, &inner)
}

/// Whether an exception of the inner future is reported although the outer one was cancelled.
fn is_reported(py: Python<'_>) -> bool {
    imports::python_version(py) >= (3, 14)
}

/// asyncio's callback that logs such an exception immediately; None in patch releases without it.
fn logger(py: Python<'_>) -> PyResult<Option<&Bound<'_, PyAny>>> {
    static CELL: PyOnceLock<Option<Py<PyAny>>> = PyOnceLock::new();
    let find =
        || Ok::<_, PyErr>(imports::tasks_module(py)?.getattr_opt(name!("_log_on_exception"))?.map(Bound::unbind));
    Ok(CELL.get_or_try_init(py, find)?.as_ref().map(|function| function.bind(py)))
}

fn clear_awaited_by<'py>(waiter: &Bound<'py, PyAny>, inner: &Bound<'py, PyAny>) -> PyResult<()> {
    future_like::discard_waiter(inner, &waiter.get_item(0)?)
}
