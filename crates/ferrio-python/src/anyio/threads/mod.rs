//! `AsyncIOBackend.run_sync_in_worker_thread`: waits for the limiter, then calls a function in a worker thread.
//!
//! The order of its steps is that of anyio's: a checkpoint, the limiter, a cancel scope that is a shield unless the
//! caller may abandon the thread, the future of the job.

pub(crate) mod pool;
mod workers;

use ferrio_cpython::LoopBase;
use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::raise::handling;
use ferrio_cpython::objects::loop_base::overrides;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::backend;
use super::limiter_tokens::CLASS;
use super::scopes::CancelScope;
use crate::common::async_block::{Channel, Coroutine, Owned};

/// What the caller of `to_thread.run_sync` wants.
struct Request {
    function: Owned<PyAny>,
    arguments: Owned<PyTuple>,
    /// The task need not wait for the thread when it is cancelled.
    may_abandon: bool,
    limiter: Option<Owned<PyAny>>,
}

/// Calls `func(*args)` in a worker thread.
#[pyfunction]
#[pyo3(signature = (func, args, abandon_on_cancel=None, limiter=None))]
pub(crate) fn run_sync_in_worker_thread<'py>(
    func: Bound<'py, PyAny>,
    args: Bound<'py, PyAny>,
    abandon_on_cancel: Option<Bound<'py, PyAny>>,
    limiter: Option<Bound<'py, PyAny>>,
) -> PyResult<Py<PyAny>> {
    let py = func.py();
    let may_abandon = abandon_on_cancel.map_or(Ok(false), |flag| flag.is_truthy())?;
    // A worker reports to `call_soon_threadsafe` where a program has overridden that.
    let serves = match backend::our_loop(py)? {
        Some(ours) => !overrides(&ours, "call_soon_threadsafe")? && may_limit(limiter.as_ref())?,
        None => false,
    };
    if !serves {
        let method = backend::method(py, "run_sync_in_worker_thread")?;
        return method.call1((func, args, may_abandon, limiter)).map(Bound::unbind);
    }
    let arguments = match args.cast_into::<PyTuple>() {
        Ok(arguments) => arguments,
        Err(other) => memory::tuple(py, other.into_inner().try_iter()?.collect::<PyResult<Vec<_>>>()?)?,
    };
    let limiter = match limiter {
        Some(limiter) if limiter.is_truthy()? => Some(limiter.unbind()),
        _ => None,
    };
    let (func, arguments) = (func.unbind(), arguments.unbind());
    Coroutine::spawn(py, "AsyncIOBackend.run_sync_in_worker_thread", move |channel| {
        let request = Request {
            function: channel.own(func),
            arguments: channel.own(arguments),
            may_abandon,
            limiter: limiter.map(|limiter| channel.own(limiter)),
        };
        run(request, channel)
    })
}

/// Whether an object can be a limiter. anyio's own method tells of one that cannot.
fn may_limit(limiter: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
    let Some(limiter) = limiter.filter(|limiter| !limiter.is_none() && !CLASS.is_exact(limiter)) else {
        return Ok(true);
    };
    let class = limiter.get_type();
    Ok(class.hasattr(name!("__aenter__"))? && class.hasattr(name!("__aexit__"))?)
}

async fn run(mut request: Request, channel: Channel) -> PyResult<Py<PyAny>> {
    channel.pass_turn().await?;
    let limiter = match request.limiter.take() {
        Some(limiter) => limiter,
        None => channel.own(Python::attach(workers::default_limiter)?),
    };
    let entering = Python::attach(|py| limiter.call_method0(py, name!("__aenter__")))?;
    channel.wait(entering).await?;
    let outcome = run_in_scope(request, &channel).await;
    let leaving = Python::attach(|py| match &outcome {
        Ok(_) => limiter.call_method1(py, name!("__aexit__"), (py.None(), py.None(), py.None())),
        Err(error) => {
            let raised = (error.get_type(py), error.value(py), error.traceback(py));
            limiter.call_method1(py, name!("__aexit__"), raised)
        }
    })?;
    let swallowed = channel.wait(leaving).await?;
    match outcome {
        Ok(result) => Ok(result),
        Err(error) => Python::attach(|py| if swallowed.is_truthy(py)? { Ok(py.None()) } else { Err(error) }),
    }
}

async fn run_in_scope(request: Request, channel: &Channel) -> PyResult<Py<PyAny>> {
    let (scope, begun) = Python::attach(|py| {
        let scope = CancelScope::unlimited(py, !request.may_abandon)?;
        CancelScope::enter(&scope)?;
        let begun = begin(&request, &scope).map(Bound::unbind);
        Ok::<_, PyErr>((channel.own(scope.unbind()), begun))
    })?;
    drop(request);
    let outcome = match begun {
        Ok(future) => channel.wait(future).await,
        Err(error) => Err(error),
    };
    Python::attach(|py| {
        let scope = scope.bind(py);
        match outcome {
            Ok(result) => CancelScope::exit(scope, None).map(|_| result),
            Err(error) => {
                if handling(py, &error, || CancelScope::exit(scope, Some(error.value(py).as_any())))? {
                    Ok(py.None())
                } else {
                    Err(error)
                }
            }
        }
    })
}

/// Hands the call to a worker; returns the future of its outcome.
fn begin<'py>(request: &Request, scope: &Bound<'py, CancelScope>) -> PyResult<Bound<'py, PyAny>> {
    let py = scope.py();
    let around = if request.may_abandon { None } else { scope.get().parent(py) };
    let worker_scope = around.unwrap_or_else(|| scope.clone().into_any());
    let owner: Bound<'py, LoopBase> = backend::our_loop(py)?
        .ok_or_else(|| ferrio_cpython::error::<PyRuntimeError>("the coroutine was created under another event loop"))?;
    pool::submit(&owner, request.function.bind(py), request.arguments.bind(py), worker_scope)
}
