//! Ending a process: signals, closing, waiting, and the finalizer of a transport that was not closed.

use ferrio_cpython::capi::finalizer::finalizing;
use ferrio_cpython::capi::memory;
use pyo3::exceptions::{PyPermissionError, PyProcessLookupError};
use pyo3::prelude::*;

use super::{SubprocessTransport, describe};
use crate::common::async_block::Coroutine;
use crate::common::imports;
use crate::event_loop::{Loop, base};

#[pymethods]
impl SubprocessTransport {
    /// Send a signal to the process. One that has ended but is not lost yet ignores it.
    fn send_signal(&self, signal: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = signal.py();
        let (started, pid, code) = self.state.with(py, |state| (state.process.is_some(), state.pid, state.code));
        let Some(pid) = pid.filter(|_| started) else { return Err(ferrio_cpython::error::<PyProcessLookupError>(())) };
        if code.is_some() {
            return Ok(());
        }
        let killed = match (self.recorded(py)?, self.process(py)) {
            (Some(recorded), Some(process)) => recorded.call_method1(name!("kill"), (process, signal)),
            _ => ferrio_cpython::module(py, name!("os"))?.call_method1(name!("kill"), (pid, signal)),
        };
        match killed {
            Err(error) if !error.is_instance_of::<PyProcessLookupError>(py) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Ask the process to end (SIGTERM).
    fn terminate(&self, py: Python<'_>) -> PyResult<()> {
        self.send_signal(&ferrio_cpython::module(py, name!("signal"))?.getattr(name!("SIGTERM"))?)
    }

    /// End the process (SIGKILL).
    fn kill(&self, py: Python<'_>) -> PyResult<()> {
        self.send_signal(&ferrio_cpython::module(py, name!("signal"))?.getattr(name!("SIGKILL"))?)
    }

    /// Close the pipes and kill the process if it still runs.
    #[pyo3(name = "close")]
    fn close_method(slf: &Bound<'_, Self>) -> PyResult<()> {
        close(slf)
    }

    /// Whether `close()` was called.
    fn is_closing(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.closed)
    }

    /// Wait until the process has ended; return its return code.
    fn _wait(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let this = slf.clone().unbind();
        Coroutine::spawn(slf.py(), "SubprocessTransport._wait", |channel| async move {
            let this = channel.own(this);
            let waiter = Python::attach(|py| {
                let transport = this.bind(py).get();
                let known = transport.state.with(py, |state| state.code);
                let (None, Some(owner)) = (known, transport.owner(py)) else { return Ok::<_, PyErr>(Err(known)) };
                let waiter = Loop::waiter(&owner)?.unbind();
                transport.state.with(py, |state| state.waiters.push(waiter.clone_ref(py)));
                Ok(Ok(waiter))
            })?;
            let waiter = match waiter {
                Ok(waiter) => channel.own(waiter),
                Err(known) => return Python::attach(|py| Ok(known.into_pyobject(py)?.into_any().unbind())),
            };
            let outcome = channel.wait(Python::attach(|py| waiter.clone_ref(py))).await;
            if outcome.is_err() {
                Python::attach(|py| this.get().state.with(py, |state| state.waiters.retain(|each| !each.is(&*waiter))));
            }
            outcome
        })
    }
}

/// Closes the pipes and kills the process if it is still running.
fn close(transport: &Bound<'_, SubprocessTransport>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let Some(connected) = this.state.with(py, |state| {
        let first = !std::mem::replace(&mut state.closed, true);
        first.then(|| state.connected(py))
    }) else {
        return Ok(());
    };
    let owner = this.owner(py);
    if owner.as_ref().is_some_and(|owner| !base(owner).closed.get()) {
        for protocol in connected.iter().flatten() {
            protocol.getattr(py, name!("pipe"))?.call_method0(py, name!("close"))?;
        }
    }
    let Some(process) = this.process(py).filter(|_| this.state.with(py, |state| state.code.is_none())) else {
        return Ok(());
    };
    if !process.call_method0(name!("poll"))?.is_none() {
        return Ok(());
    }
    if owner.is_some_and(|owner| base(&owner).debug.get()) {
        imports::base_subprocess_logger(py)?
            .call_method1(name!("warning"), ("Close running child process: kill %r", transport))?;
    }
    kill(&process)
}

/// Kills the process, unless it has ended or now runs as another user.
fn kill(process: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = process.py();
    match process.call_method0(name!("kill")) {
        Err(error)
            if !error.is_instance_of::<PyProcessLookupError>(py) && !error.is_instance_of::<PyPermissionError>(py) =>
        {
            Err(error)
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

impl Drop for SubprocessTransport {
    /// Finalizes a transport that was not closed: warns as asyncio does and kills the process.
    fn drop(&mut self) {
        let state = self.state.get_mut();
        if state.closed {
            return;
        }
        let text = format!("unclosed transport <{}>", describe(state).join(" "));
        let running = state.process.take().filter(|_| state.code.is_none());
        let watch = state.watch.take();
        finalizing(|py| {
            let text = std::ffi::CString::new(text).unwrap_or_default();
            let warned = imports::resource_warning(py).and_then(|category| memory::warn(py, category, &text));
            let kill_it = || {
                running.map_or(Ok(()), |process| {
                    let process = process.bind(py);
                    let ended = process.call_method0(name!("poll")).map(|code| !code.is_none());
                    match ended.and_then(|ended| if ended { Ok(()) } else { kill(process) }) {
                        // The garbage collector may have cleared the object already; the child must be killed all the
                        // same.
                        Err(error) => {
                            watch.is_none_or(|watch| watch.kill().is_err()).then_some(error).map_or(Ok(()), Err)
                        }
                        done => done,
                    }
                })
            };
            let killed = memory::catch_no_memory(py, kill_it);
            if let Err(error) = warned.and(killed) {
                memory::unraisable(py, error);
            }
        });
    }
}
