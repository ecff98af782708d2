//! Nested runs, where a program allows them: `run_until_complete` of a loop that is already running, as notebooks and
//! libraries with a synchronous interface need, or of a new loop while another one runs.
//!
//! `ferrio.allow_nested_runs()` allows them, and so does `nest_asyncio`: it sets a mark on asyncio when it is applied,
//! and does not patch a loop that already has the mark, as ferrio's has.
//!
//! Invariant: the running task is hidden while the inner run lasts, and restored however that ends.

use std::sync::atomic::{AtomicBool, Ordering};

use ferrio_cpython::objects::current::{running_loop, without_task};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::common::imports;
use crate::event_loop::end_of_callback;
use crate::event_loop::run::run_turns;
use crate::event_loop::{Loop, base};
use crate::tasks::ensure;

static ALLOWED: AtomicBool = AtomicBool::new(false);

/// Let a loop of ferrio's run again while it runs, and asyncio.run on it: what `nest_asyncio` does for asyncio's own loops.
///
/// It holds for the whole process; False takes it back.
#[pyfunction]
#[pyo3(signature = (allowed=true))]
pub(crate) fn allow_nested_runs(allowed: bool) {
    ALLOWED.store(allowed, Ordering::Relaxed); // Relaxed: ordered by the GIL.
}

pub(crate) fn are_allowed(py: Python<'_>) -> PyResult<bool> {
    // Relaxed: ordered by the GIL.
    Ok(ALLOWED.load(Ordering::Relaxed) || imports::asyncio_module(py)?.hasattr(name!("_nest_patched"))?)
}

/// The loop that is already running in this thread.
pub(crate) enum Outer<'py> {
    /// The loop itself.
    Same,
    /// Another loop.
    Other(Bound<'py, PyAny>),
}

/// asyncio's `_check_running`: returns the loop that is already running, if a nested run is allowed.
///
/// # Errors
/// `RuntimeError` if it is not allowed.
pub(crate) fn outer<'py>(slf: &Bound<'py, Loop>) -> PyResult<Option<Outer<'py>>> {
    let py = slf.py();
    if let Some(thread) = base(slf).thread() {
        if thread == ferrio_cpython::thread_identifier(py) && are_allowed(py)? {
            return Ok(Some(Outer::Same));
        }
        return Err(ferrio_cpython::error::<PyRuntimeError>("This event loop is already running"));
    }
    match running_loop(py)? {
        None => Ok(None),
        Some(other) if other.cast::<Loop>().is_ok_and(|other| other.get().shown_running.get()) => Ok(None),
        Some(other) if are_allowed(py)? => Ok(Some(Outer::Other(other))),
        Some(_) => {
            Err(ferrio_cpython::error::<PyRuntimeError>("Cannot run the event loop while another loop is running"))
        }
    }
}

/// `run_forever` of a loop that is already running: until `stop()`.
pub(crate) fn run_forever(slf: &Bound<'_, Loop>) -> PyResult<()> {
    end_of_callback::finish(slf)?;
    let outcome = without_task(slf.as_any(), || run_turns(slf, None));
    base(slf).stopping.set(false);
    outcome
}

/// `run_until_complete` of a loop that is already running.
pub(crate) fn run_until_complete<'py>(
    slf: &Bound<'py, Loop>,
    awaitable: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    end_of_callback::finish(slf)?;
    let future = ensure(awaitable, Some(slf))?;
    if !future.is(awaitable) {
        future.setattr(name!("_log_destroy_pending"), false)?;
    }
    without_task(slf.as_any(), || run_until(slf, &future))?;
    if !is_done(&future)? {
        return Err(ferrio_cpython::error::<PyRuntimeError>("Event loop stopped before Future completed."));
    }
    future.call_method0(name!("result"))
}

/// A nested run, until a future is done.
pub(crate) struct InnerRun<'a, 'py> {
    future: &'a Bound<'py, PyAny>,
    /// Whether the outermost future ended and stopped the loop during this run; the stop is postponed to the end of
    /// this run.
    stop_is_postponed: bool,
}

impl InnerRun<'_, '_> {
    /// Whether the future is done, or the loop is stopped for another reason.
    pub(crate) fn is_over(&mut self, owner: &Bound<'_, Loop>) -> PyResult<bool> {
        if base(owner).stopping.get() {
            if !outermost_is_done(owner)? {
                return Ok(true);
            }
            self.stop_is_postponed = true;
            base(owner).stopping.set(false);
        }
        is_done(self.future)
    }
}

fn run_until(slf: &Bound<'_, Loop>, future: &Bound<'_, PyAny>) -> PyResult<()> {
    if is_done(future)? {
        return Ok(());
    }
    let mut inner = InnerRun { future, stop_is_postponed: false };
    let outcome = run_turns(slf, Some(&mut inner));
    if inner.stop_is_postponed {
        base(slf).stopping.set(true);
    }
    outcome
}

fn outermost_is_done(slf: &Bound<'_, Loop>) -> PyResult<bool> {
    let py = slf.py();
    let outermost = slf.get().outermost.with(py, |future| future.as_ref().map(|future| future.bind(py).clone()));
    outermost.map_or(Ok(false), |future| is_done(&future))
}

fn is_done(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    future.call_method0(pyo3::intern!(future.py(), "done"))?.is_truthy()
}

/// `asyncio.run` during a run, on the running loop. None if no loop runs or nested runs are not allowed.
pub(crate) fn run_on_running<'py>(
    main: &Bound<'py, PyAny>,
    debug: Option<&Py<PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = main.py();
    let Some(running) = running_loop(py)? else { return Ok(None) };
    if !are_allowed(py)? {
        return Ok(None);
    }
    if let Some(debug) = debug.filter(|debug| !debug.is_none(py)) {
        running.call_method1(name!("set_debug"), (debug,))?;
    }
    let task = ensure(main, Some(&running))?;
    running.call_method1(name!("run_until_complete"), (task,)).map(Some)
}
