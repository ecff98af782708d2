//! `wrap_future`: a future of a loop that takes over the outcome of a `concurrent.futures` one, and the reverse.
//!
//! One `Chain` object is the done callback of both futures. The outcome goes from the source to the destination, in the
//! destination's loop if it has one; a cancellation goes the other way, in the source's loop. Invariant: once the
//! source is done the chain holds no references, because futures of `concurrent.futures` keep their callbacks forever.

use ferrio_cpython::capi::raise::raised;
use ferrio_cpython::objects::future::future_like::{self, Failure};
use ferrio_cpython::objects::future::{DoneCallback, add_done_callback};
use ferrio_cpython::{GilCell, get_event_loop, running_loop};
use pyo3::exceptions::{PyAssertionError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyCode;
use pyo3::{PyTraverseError, PyVisit};

use crate::common::imports;

static CHECK_CANCEL: DoneCallback = DoneCallback::new("_chain_future.<locals>._call_check_cancel", check_cancel);
static SET_STATE: DoneCallback = DoneCallback::new("_chain_future.<locals>._call_set_state", set_state);

/// A future of the loop for one of `concurrent.futures`; a future of a loop is its own.
#[pyfunction]
#[pyo3(signature = (future, *, r#loop=None))]
pub(crate) fn wrap_future<'py>(
    future: &Bound<'py, PyAny>,
    r#loop: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = future.py();
    if future_like::is_future(future)? {
        return Ok(future.clone());
    }
    if !future.is_instance(imports::concurrent_future(py)?)? {
        let text = format!("concurrent.futures.Future is expected, got {}", future.repr()?);
        return Err(ferrio_cpython::error::<PyAssertionError>(text));
    }
    let create_future = pyo3::intern!(py, "create_future");
    let wrapper = match r#loop {
        Some(owner) => owner.call_method0(create_future)?,
        None => get_event_loop(py)?.call_method0(create_future)?,
    };
    chain(future, &wrapper)?;
    Ok(wrapper)
}

/// The two futures that `wrap_future` chains, until the source is done.
#[pyclass(frozen, module = "ferrio")]
pub(crate) struct Chain(GilCell<Option<Ends>>);

/// Two futures, and their loops if they have one.
struct Ends {
    source: Py<PyAny>,
    destination: Py<PyAny>,
    source_loop: Option<Py<PyAny>>,
    destination_loop: Option<Py<PyAny>>,
}

impl Ends {
    fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            source: self.source.clone_ref(py),
            destination: self.destination.clone_ref(py),
            source_loop: self.source_loop.as_ref().map(|owner| owner.clone_ref(py)),
            destination_loop: self.destination_loop.as_ref().map(|owner| owner.clone_ref(py)),
        }
    }
}

#[pymethods]
impl Chain {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let shown = self.0.traverse(&visit, |ends| {
            let Some(ends) = ends else { return Ok(()) };
            visit.call(&ends.source)?;
            visit.call(&ends.destination)?;
            visit.call(&ends.source_loop)?;
            visit.call(&ends.destination_loop)
        });
        shown.unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        let ends = self.0.with(py, Option::take);
        drop(ends);
    }
}

/// asyncio's `_chain_future`.
pub(super) fn chain<'py>(source: &Bound<'py, PyAny>, destination: &Bound<'py, PyAny>) -> PyResult<()> {
    let ends = Ends {
        source_loop: loop_of(source, "source")?,
        destination_loop: loop_of(destination, "destination")?,
        source: source.clone().unbind(),
        destination: destination.clone().unbind(),
    };
    let chain = Bound::new(source.py(), Chain(GilCell::new(Some(ends))))?.into_any();
    add_done_callback(destination, &chain, &CHECK_CANCEL)?;
    add_done_callback(source, &chain, &SET_STATE)
}

fn loop_of(future: &Bound<'_, PyAny>, role: &str) -> PyResult<Option<Py<PyAny>>> {
    if future_like::is_future(future)? {
        return Ok(Some(future_like::loop_of(future)?.unbind()));
    }
    if future.is_instance(imports::concurrent_future(future.py())?)? {
        return Ok(None);
    }
    Err(ferrio_cpython::error::<PyTypeError>(format!("A future is required for {role} argument")))
}

/// Passes a cancellation on to the source, once the destination is done.
fn check_cancel<'py>(chain: &Bound<'py, PyAny>, destination: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = chain.py();
    if !future_like::is_cancelled(destination)? {
        return Ok(());
    }
    let ends = chain.cast::<Chain>()?.get().0.with(py, |ends| ends.as_ref().map(|ends| ends.clone_ref(py)));
    let Some(ends) = ends else { return Ok(()) };
    let source = ends.source.bind(py);
    let there = ends.source_loop.as_ref().map(|owner| owner.bind(py));
    let here = ends.destination_loop.as_ref().map(|owner| owner.bind(py));
    match there {
        Some(owner) if !is_here(owner, here)? => {
            let cancel = source.getattr(pyo3::intern!(py, "cancel"))?;
            owner.call_method1(pyo3::intern!(py, "call_soon_threadsafe"), (cancel,)).map(drop)
        }
        _ => future_like::cancel(source).map(drop),
    }
}

/// Passes the outcome on to the destination, once the source is done.
fn set_state<'py>(chain: &Bound<'py, PyAny>, source: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = chain.py();
    let Some(ends) = chain.cast::<Chain>()?.get().0.with(py, Option::take) else { return Ok(()) };
    let destination = ends.destination.bind(py);
    let there = ends.destination_loop.as_ref().map(|owner| owner.bind(py));
    let is_closed = |owner: &Bound<'py, PyAny>| owner.call_method0(pyo3::intern!(py, "is_closed"))?.is_truthy();
    if let Some(owner) = there
        && future_like::is_cancelled(destination)?
        && is_closed(owner)?
    {
        return Ok(());
    }
    let here = ends.source_loop.as_ref().map(|owner| owner.bind(py));
    match there {
        Some(owner) if !is_here(owner, here)? => {
            if is_closed(owner)? {
                return Ok(());
            }
            let arguments = (copier(py)?, destination, source);
            owner.call_method1(pyo3::intern!(py, "call_soon_threadsafe"), arguments).map(drop)
        }
        _ => copy_outcome(destination, source),
    }
}

/// Whether work for loop `owner` can be done directly, in a callback of a future of loop `here`.
fn is_here<'py>(owner: &Bound<'py, PyAny>, here: Option<&Bound<'py, PyAny>>) -> PyResult<bool> {
    let py = owner.py();
    if asks_running_loop(py)? {
        return Ok(running_loop(py)?.is_some_and(|running| running.is(owner)));
    }
    Ok(here.is_some_and(|here| here.is(owner)))
}

/// Whether the running patch release of asyncio compares with the running loop instead of the other future's loop.
fn asks_running_loop(py: Python<'_>) -> PyResult<bool> {
    static CELL: PyOnceLock<bool> = PyOnceLock::new();
    CELL.get_or_try_init(py, || {
        let code = imports::futures_module(py)?.getattr(name!("_chain_future"))?.getattr(name!("__code__"))?;
        for constant in code.getattr(name!("co_consts"))?.try_iter()? {
            let constant = constant?;
            if constant.is_instance_of::<PyCode>()
                && constant.getattr(name!("co_names"))?.contains("_get_running_loop")?
            {
                return Ok(true);
            }
        }
        Ok(false)
    })
    .copied()
}

/// `copy_outcome` as a Python function, for `call_soon_threadsafe`.
fn copier(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static CELL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let make = || Ok::<_, PyErr>(wrap_pyfunction!(_set_state, py)?.into_any().unbind());
    Ok(CELL.get_or_try_init(py, make)?.bind(py))
}

#[pyfunction]
fn _set_state<'py>(future: &Bound<'py, PyAny>, other: &Bound<'py, PyAny>) -> PyResult<()> {
    copy_outcome(future, other)
}

/// asyncio's `_copy_future_state` and `_set_concurrent_future_state`.
fn copy_outcome<'py>(future: &Bound<'py, PyAny>, source: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = future.py();
    if !future_like::is_done(source)? {
        return Err(ferrio_cpython::error::<PyAssertionError>(()));
    }
    if future_like::is_future(future)? {
        if future_like::is_cancelled(future)? {
            return Ok(());
        }
        if future_like::is_done(future)? {
            return Err(ferrio_cpython::error::<PyAssertionError>(()));
        }
        return match future_like::failure(source)? {
            Some(Failure::Cancelled) => future_like::cancel(future).map(drop),
            Some(Failure::Exception(exception)) => future_like::set_exception(future, &converted(exception)?),
            None => future_like::set_result(future, future_like::result(source)?),
        };
    }
    if future_like::is_cancelled(source)? {
        future.call_method0(pyo3::intern!(py, "cancel"))?;
    }
    if !future.call_method0(pyo3::intern!(py, "set_running_or_notify_cancel"))?.is_truthy()? {
        return Ok(());
    }
    match future_like::failure(source)? {
        Some(Failure::Exception(exception)) => future_like::set_exception(future, &converted(exception)?),
        Some(Failure::Cancelled) => Err(raised(&future_like::cancelled_error(source)?)),
        None => future_like::set_result(future, future_like::result(source)?),
    }
}

/// Converts an exception of `concurrent.futures` to asyncio's.
fn converted(exception: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    imports::convert_future_exception(exception.py())?.call1((exception,))
}
