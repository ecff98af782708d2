//! Exits of child processes: how a subprocess transport learns of them.
//!
//! The poller watches a child's own pidfd, or the substitute that `ferrio_sys::child` provides. No signal handler is
//! set, and children of other code are not touched. On Python 3.11 to 3.13 a program can set a child watcher on the
//! event loop policy. asyncio's default watchers do the same as this code, so they are not used; any other one is used
//! as asyncio would use it.

use ferrio_cpython::capi::context;
use ferrio_engine::Role;
use ferrio_sys::child::Watch;
use pyo3::exceptions::{PyChildProcessError, PyDeprecationWarning, PyNotImplementedError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::common::imports;
use crate::event_loop::exception_handler;
use crate::event_loop::handler::Handler;
use crate::event_loop::{Loop, recorded_calls};
use crate::transports::subprocess::{self, SubprocessTransport};

/// The return code for a child whose status other code has read.
const STATUS_UNKNOWN: i32 = 255;

#[pymethods]
impl Loop {
    /// For asyncio's `PidfdChildWatcher`, which calls this.
    #[pyo3(signature = (fd, callback, *args))]
    fn _add_reader<'py>(
        slf: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        callback: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
    ) -> PyResult<()> {
        Self::add_reader(slf, fd, callback, args)
    }

    /// For asyncio's `PidfdChildWatcher`, which calls this.
    fn _remove_reader(slf: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<bool> {
        Self::remove_reader(slf, fd)
    }

    /// For child watchers, which call this from any thread when a child has ended.
    fn _child_watcher_callback(
        slf: &Bound<'_, Self>,
        _pid: &Bound<'_, PyAny>,
        returncode: &Bound<'_, PyAny>,
        transp: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let exited = transp.getattr(name!("_process_exited"))?;
        slf.call_method1(name!("call_soon_threadsafe"), (exited, returncode)).map(drop)
    }
}

/// A child watcher that the program has set, entered.
pub(crate) struct Watcher(Py<PyAny>);

impl Watcher {
    /// The watcher of the policy, if it has to be used.
    ///
    /// # Errors
    /// `RuntimeError` if it is not active, raised before the process is started.
    pub(crate) fn enter(py: Python<'_>) -> PyResult<Option<Self>> {
        let Some(watcher) = chosen(py)? else { return Ok(None) };
        let result = watcher.call_method0(name!("__enter__"))?;
        let entered = Self(watcher.clone().unbind());
        // They should be the same object; 3.11 uses one of them, later versions the other.
        let watcher = if imports::python_version(py) >= (3, 12) { watcher } else { result };
        let active = watcher.call_method0(name!("is_active")).and_then(|active| active.is_truthy());
        let checked = active.and_then(|active| {
            let text = "asyncio.get_child_watcher() is not activated, subprocess support is not installed.";
            if active { Ok(()) } else { Err(ferrio_cpython::error::<PyRuntimeError>(text)) }
        });
        match checked {
            Ok(()) => Ok(Some(entered)),
            Err(error) => {
                entered.leave(py, Some(&error))?;
                Err(error)
            }
        }
    }

    pub(crate) fn leave(self, py: Python<'_>, error: Option<&PyErr>) -> PyResult<()> {
        let details = match error {
            Some(error) => (
                error.get_type(py).into_any(),
                error.value(py).clone().into_any(),
                error.traceback(py).map_or_else(|| py.None().into_bound(py), Bound::into_any),
            ),
            None => (py.None().into_bound(py), py.None().into_bound(py), py.None().into_bound(py)),
        };
        self.0.bind(py).call_method1(name!("__exit__"), details).map(drop)
    }
}

fn chosen(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    if imports::python_version(py) >= (3, 14) {
        return Ok(None);
    }
    let policy = ferrio_cpython::module(py, name!("asyncio.events"))?.call_method0(name!("get_event_loop_policy"))?;
    let stock = ferrio_cpython::module(py, name!("asyncio.unix_events"))?;
    let getter = stock.getattr(name!("_UnixDefaultEventLoopPolicy"))?.getattr(name!("get_child_watcher"))?;
    let watcher = if policy.get_type().getattr(name!("get_child_watcher"))?.is(&getter) {
        // Not by its method, which would create a watcher if none was set.
        policy.getattr(name!("_watcher"))?
    } else {
        match without_deprecation(py, || policy.call_method0(name!("get_child_watcher"))) {
            Err(error) if error.is_instance_of::<PyNotImplementedError>(py) => return Ok(None),
            watcher => watcher?,
        }
    };
    if watcher.is_none() {
        return Ok(None);
    }
    let class = watcher.get_type();
    let same =
        class.is(stock.getattr(name!("PidfdChildWatcher"))?) || class.is(stock.getattr(name!("ThreadedChildWatcher"))?);
    Ok((!same).then_some(watcher))
}

fn without_deprecation<T>(py: Python<'_>, body: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    let warnings = ferrio_cpython::module(py, name!("warnings"))?;
    let saved = warnings.call_method0(name!("catch_warnings"))?;
    saved.call_method0(name!("__enter__"))?;
    let category = py.get_type::<PyDeprecationWarning>();
    let outcome = warnings.call_method1(name!("simplefilter"), ("ignore", category)).and_then(|_| body());
    saved.call_method1(name!("__exit__"), (py.None(), py.None(), py.None()))?;
    outcome
}

/// Watches the child and calls `process_exited` when it ends.
pub(crate) fn watch(
    slf: &Bound<'_, Loop>,
    transport: &Bound<'_, SubprocessTransport>,
    pid: i32,
    watcher: Option<&Watcher>,
) -> PyResult<()> {
    let py = slf.py();
    if let Some(Watcher(watcher)) = watcher {
        let callback = slf.getattr(name!("_child_watcher_callback"))?;
        return watcher.bind(py).call_method1(name!("add_child_handler"), (pid, callback, transport)).map(drop);
    }
    // The child of a recording is no process here.
    let watch = if recorded_calls::is_repeated(slf) { Watch::of_nobody() } else { Watch::new(pid) };
    let watch = watch.map_err(|error| exception_handler::from_io(&error))?;
    let fd = watch.fd();
    transport.get().keep(py, watch, context::copy_current(py)?.unbind());
    for replaced in slf.get().io.register(py, fd, Role::Reader, Handler::native(transport, on_exit))? {
        replaced.retire(py)?;
    }
    Ok(())
}

/// Handles the event that the watch is readable.
fn on_exit(object: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    let transport = object.cast::<SubprocessTransport>()?;
    let py = transport.py();
    let (Some(owner), Some(pid)) = (transport.get().owner(py), transport.get().pid(py)) else { return Ok(()) };
    let outcome = reap(transport, pid);
    if matches!(outcome, Ok(None)) {
        return Ok(());
    }
    if let Some(watch) = transport.get().watch(py) {
        let handler = owner.get().io.unregister(py, watch.fd(), Role::Reader);
        drop((handler, watch));
    }
    // Called directly: if a child is reaped and the transport does not know it, a signal sent to its pid could reach
    // another process.
    match transport.get().take_context(py) {
        Some(context) => context::run_in(py, &context, || pass_on_exit(transport, &owner, outcome)),
        None => pass_on_exit(transport, &owner, outcome),
    }
}

/// Passes on the return code, if there is one; reports a failure as asyncio does.
fn pass_on_exit(
    transport: &Bound<'_, SubprocessTransport>,
    owner: &Bound<'_, Loop>,
    outcome: PyResult<Option<i32>>,
) -> PyResult<()> {
    let passed = outcome.and_then(|code| code.map_or(Ok(()), |code| subprocess::process_exited(transport, code)));
    match passed {
        Err(error) if !exception_handler::must_propagate(transport.py(), &error) => {
            exception_handler::report(owner, "Exception in child watcher", &error, &[("transport", transport.as_any())])
        }
        passed => passed,
    }
}

/// Reaps the child and returns its return code; None if it has not ended. Calls the `os` module, so that code that
/// replaces its functions sees all children.
fn reap(transport: &Bound<'_, SubprocessTransport>, pid: i32) -> PyResult<Option<i32>> {
    let py = transport.py();
    let found = if let (Some(recorded), Some(process)) = (transport.get().recorded(py)?, transport.get().process(py)) {
        recorded.call_method1(name!("wait"), (process,))
    } else {
        let os = ferrio_cpython::module(py, name!("os"))?;
        os.call_method1(name!("waitpid"), (pid, os.getattr(name!("WNOHANG"))?))
    };
    match found {
        Ok(found) => {
            let (found, status): (i32, Bound<'_, PyAny>) = found.extract()?;
            if found == 0 {
                return Ok(None);
            }
            ferrio_cpython::module(py, name!("asyncio.unix_events"))?
                .call_method1(name!("waitstatus_to_exitcode"), (status,))?
                .extract()
                .map(Some)
        }
        Err(error) if error.is_instance_of::<PyChildProcessError>(py) => already_reaped(transport, pid).map(Some),
        Err(error) => Err(error),
    }
}

/// The return code if other code has read the status. The Popen object knows it if its methods read it.
#[cold]
fn already_reaped(transport: &Bound<'_, SubprocessTransport>, pid: i32) -> PyResult<i32> {
    let py = transport.py();
    if let Some(process) = transport.get().process(py)
        && let Ok(code) = process.getattr(name!("returncode"))?.extract::<i32>()
    {
        return Ok(code);
    }
    let text = "child process pid %d exit status already read:  will report returncode 255";
    imports::unix_events_logger(py)?.call_method1(name!("warning"), (text, pid))?;
    Ok(STATUS_UNKNOWN)
}
