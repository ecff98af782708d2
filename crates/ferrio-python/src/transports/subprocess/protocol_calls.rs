//! The calls of a subprocess's protocol.
//!
//! Invariant: `connection_lost` is called once, after the process has ended and all its pipes are closed.

use ferrio_cpython::{HandleRef, Runnable};
use pyo3::exceptions::PyAssertionError;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use super::{End, SubprocessTransport};
use crate::common::imports;
use crate::event_loop::base;

/// Queues `connection_made`, once all pipes are connected, and the pending calls after it.
pub(crate) fn make_connection(transport: &Bound<'_, SubprocessTransport>) -> PyResult<()> {
    let py = transport.py();
    let pending = transport.get().state.with(py, |state| state.pending.take()).unwrap_or_default();
    call_protocol(transport, pyo3::intern!(py, "connection_made"), (transport,).into_pyobject(py)?)?;
    let Some(owner) = transport.get().owner(py) else { return Ok(()) };
    base(&owner).reserve(py, pending.len())?;
    for handle in pending {
        base(&owner).push_reserved(py, Runnable::Handle(handle));
    }
    Ok(())
}

fn call_protocol<'py>(
    transport: &Bound<'py, SubprocessTransport>,
    method: &Bound<'py, PyString>,
    arguments: Bound<'py, PyTuple>,
) -> PyResult<()> {
    match transport.get().protocol(transport.py()) {
        Some(protocol) => call_later(transport, &protocol.getattr(method)?, &arguments),
        None => Ok(()),
    }
}

/// Queues a call, after `connection_made`.
fn call_later(
    transport: &Bound<'_, SubprocessTransport>,
    callback: &Bound<'_, PyAny>,
    arguments: &Bound<'_, PyTuple>,
) -> PyResult<()> {
    let py = transport.py();
    let Some(owner) = transport.get().owner(py) else { return Ok(()) };
    base(&owner).check_open()?;
    let handle = HandleRef::unscheduled(owner.as_super(), callback, arguments)?;
    let now = transport.get().state.with(py, |state| match &mut state.pending {
        Some(pending) => {
            pending.push(handle);
            None
        }
        None => Some(handle),
    });
    if let Some(handle) = now {
        base(&owner).push(py, Runnable::Handle(handle))?;
    }
    Ok(())
}

/// Records the exit code, tries to finish the transport and wakes the tasks that wait for the process.
pub(crate) fn process_exited(transport: &Bound<'_, SubprocessTransport>, code: i32) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    if let Some(known) = this.state.with(py, |state| state.code) {
        return Err(ferrio_cpython::error::<PyAssertionError>(known));
    }
    if this.owner(py).is_some_and(|owner| base(&owner).debug.get()) {
        imports::base_subprocess_logger(py)?
            .call_method1(name!("info"), ("%r exited with return code %r", transport, code))?;
    }
    this.state.with(py, |state| state.code = Some(code));
    if let Some(process) = this.process(py)
        && process.getattr(name!("returncode"))?.is_none()
    {
        // Otherwise the Popen object would go on polling for the child.
        process.setattr(name!("returncode"), code)?;
    }
    call_protocol(transport, pyo3::intern!(py, "process_exited"), PyTuple::empty(py))?;
    try_finish(transport)?;
    // Completed now, because a grandchild may keep the pipes open for long.
    for waiter in this.state.with(py, |state| std::mem::take(&mut state.waiters)) {
        let waiter = waiter.bind(py);
        if !waiter.call_method0(name!("done"))?.is_truthy()? {
            waiter.call_method1(name!("set_result"), (code,))?;
        }
    }
    Ok(())
}

fn try_finish(transport: &Bound<'_, SubprocessTransport>) -> PyResult<()> {
    let py = transport.py();
    let ready = transport.get().state.with(py, |state| {
        let connecting = state.ends.iter().any(|end| matches!(end, End::Connecting));
        (state.code.is_some() && !connecting && !state.finished).then(|| state.connected(py))
    });
    for protocol in ready.iter().flatten().flatten() {
        if !protocol.bind(py).getattr(name!("disconnected"))?.is_truthy()? {
            return Ok(());
        }
    }
    if ready.is_none() {
        return Ok(());
    }
    transport.get().state.with(py, |state| state.finished = true);
    let lost = transport.getattr(name!("_call_connection_lost"))?;
    call_later(transport, &lost, &(py.None(),).into_pyobject(py)?)
}

#[pymethods]
impl SubprocessTransport {
    fn _process_exited(slf: &Bound<'_, Self>, returncode: i32) -> PyResult<()> {
        process_exited(slf, returncode)
    }

    fn _pipe_connection_lost<'py>(
        slf: &Bound<'py, Self>,
        fd: Bound<'py, PyAny>,
        exc: Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let py = slf.py();
        call_protocol(slf, pyo3::intern!(py, "pipe_connection_lost"), (fd, exc).into_pyobject(py)?)?;
        try_finish(slf)
    }

    fn _pipe_data_received<'py>(
        slf: &Bound<'py, Self>,
        fd: Bound<'py, PyAny>,
        data: Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let py = slf.py();
        call_protocol(slf, pyo3::intern!(py, "pipe_data_received"), (fd, data).into_pyobject(py)?)
    }

    fn _call_connection_lost<'py>(slf: &Bound<'py, Self>, exc: Bound<'py, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let outcome = match slf.get().protocol(py) {
            Some(protocol) => protocol.call_method1(name!("connection_lost"), (exc,)).map(drop),
            None => Ok(()),
        };
        let owned = slf.get().state.with(py, |state| (state.owner.take(), state.process.take(), state.protocol.take()));
        drop(owned);
        outcome
    }
}
