//! `wait_for` as 3.11 has it: the awaitable runs in a task of its own, which is cancelled when time is up.

use ferrio_cpython::coroutine::spawn;
use ferrio_cpython::future::{like, no_longer_when_done, when_done};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::coroutine::Channel;
use crate::imports;
use crate::timer::Timer;
use crate::wait_for::{CancelAndWait, RELEASE_WAITER, overdue_result};

pub(crate) async fn wait_for_in_task(
    awaitable: Py<PyAny>,
    timeout: Py<PyAny>,
    channel: Channel,
) -> PyResult<Py<PyAny>> {
    let owner = Python::attach(|py| imports::get_running_loop(py)?.call0().map(Bound::unbind))?;
    if Python::attach(|py| timeout.is_none(py)) {
        return channel.wait(awaitable).await;
    }
    if Python::attach(|py| timeout.bind(py).le(0))? {
        let future = Python::attach(|py| ensure_future(py, &awaitable, &owner))?;
        return match Python::attach(|py| result_if_done(py, &future))? {
            Some(result) => Ok(result),
            None => cancelled_result(future, &channel).await,
        };
    }
    let (future, waiter, timer) = Python::attach(|py| begin(py, &awaitable, &timeout, &owner))?;
    let woken = Python::attach(|py| waiter.clone_ref(py));
    let outcome = match channel.wait(woken).await {
        Err(error) if Python::attach(|py| is_cancelled_error(py, &error))? => {
            match Python::attach(|py| result_if_done(py, &future)) {
                Ok(None) => {
                    let cancelling = Python::attach(|py| cancel_and_wait(py, &future, &waiter));
                    match cancelling {
                        Ok(cancelling) => channel.wait(cancelling).await.and(Err(error)),
                        Err(failure) => Err(failure),
                    }
                }
                Ok(Some(result)) => Ok(result),
                Err(failure) => Err(failure),
            }
        }
        Err(error) => Err(error),
        Ok(_) => match Python::attach(|py| result_if_done(py, &future)) {
            Ok(None) => {
                Python::attach(|py| no_longer_when_done(future.bind(py), waiter.bind(py), &RELEASE_WAITER))?;
                cancelled_result(future, &channel).await
            }
            Ok(Some(result)) => Ok(result),
            Err(failure) => Err(failure),
        },
    };
    Python::attach(|py| timer.cancel(py))?;
    outcome
}

/// Starts the task and the timer.
fn begin(
    py: Python<'_>,
    awaitable: &Py<PyAny>,
    timeout: &Py<PyAny>,
    owner: &Py<PyAny>,
) -> PyResult<(Py<PyAny>, Py<PyAny>, Timer)> {
    let waiter = owner.bind(py).call_method0("create_future")?;
    let timer = Timer::finish(owner.bind(py), timeout.bind(py), &waiter)?;
    let future = ensure_future(py, awaitable, owner)?;
    when_done(future.bind(py), &waiter, &RELEASE_WAITER)?;
    Ok((future, waiter.unbind(), timer))
}

fn ensure_future(py: Python<'_>, awaitable: &Py<PyAny>, owner: &Py<PyAny>) -> PyResult<Py<PyAny>> {
    let keywords = PyDict::new(py);
    keywords.set_item("loop", owner)?;
    Ok(imports::tasks_module(py)?.call_method("ensure_future", (awaitable,), Some(&keywords))?.unbind())
}

fn result_if_done(py: Python<'_>, future: &Py<PyAny>) -> PyResult<Option<Py<PyAny>>> {
    let future = future.bind(py);
    if like::is_done(future)? { like::result(future).map(|result| Some(result.unbind())) } else { Ok(None) }
}

fn is_cancelled_error(py: Python<'_>, error: &PyErr) -> PyResult<bool> {
    Ok(error.is_instance(py, imports::cancelled_error(py)?))
}

/// The coroutine that cancels `future` and waits for it; `waiter` is told no more.
fn cancel_and_wait(py: Python<'_>, future: &Py<PyAny>, waiter: &Py<PyAny>) -> PyResult<Py<PyAny>> {
    no_longer_when_done(future.bind(py), waiter.bind(py), &RELEASE_WAITER)?;
    spawn(py, "_cancel_and_wait", CancelAndWait::new(future.bind(py))?)
}

/// Cancels `future`, waits for it, and gives its result or a `TimeoutError`.
async fn cancelled_result(future: Py<PyAny>, channel: &Channel) -> PyResult<Py<PyAny>> {
    let waiting = Python::attach(|py| spawn(py, "_cancel_and_wait", CancelAndWait::new(future.bind(py))?))?;
    channel.wait(waiting).await?;
    Python::attach(|py| overdue_result(future.bind(py)).map(Bound::unbind))
}
