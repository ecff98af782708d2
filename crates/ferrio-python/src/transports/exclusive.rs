//! Exclusive use of a connection: while a sendfile runs, only the sendfile writes to the socket.
//!
//! The sendfile waits here until the write buffer is sent and the socket is writable. Invariant: a future in `Waiting`
//! is completed once, by the next writable event that leaves the buffer empty or by the loss of the connection.

use std::os::fd::RawFd;

use pyo3::exceptions::{PyConnectionError, PyRuntimeError};
use pyo3::prelude::*;

use super::endpoint::wake_waiter;
use super::socket::SocketTransport;
use super::socket::{liveness, write_coalescing};
use crate::common::async_block::Channel;
use crate::common::imports;
use crate::event_loop::Loop;

/// Whether a sendfile has exclusive use of the connection.
pub(crate) enum Exclusive {
    No,
    Yes,
    /// In exclusive use, and the future completes once the buffer is empty and the socket writable.
    Waiting(Py<PyAny>),
}

impl Exclusive {
    pub(crate) fn is_taken(&self) -> bool {
        !matches!(self, Self::No)
    }

    pub(crate) fn future(&self) -> Option<&Py<PyAny>> {
        match self {
            Self::Waiting(future) => Some(future),
            Self::No | Self::Yes => None,
        }
    }

    fn take_future(&mut self) -> Option<Py<PyAny>> {
        match self {
            Self::Waiting(_) => match std::mem::replace(self, Self::Yes) {
                Self::Waiting(future) => Some(future),
                Self::No | Self::Yes => None,
            },
            Self::No | Self::Yes => None,
        }
    }
}

/// Starts exclusive use of the connection.
///
/// # Errors
/// `RuntimeError` if the connection is already in exclusive use.
pub(crate) fn begin(transport: &Bound<'_, SocketTransport>) -> PyResult<()> {
    write_coalescing::send(transport)?;
    let taken = transport.get().state.with(transport.py(), |state| {
        let taken = state.exclusive.is_taken();
        if !taken {
            state.exclusive = Exclusive::Yes;
        }
        taken
    });
    if taken { Err(ferrio_cpython::error::<PyRuntimeError>("Empty waiter is already set")) } else { Ok(()) }
}

/// Ends exclusive use of the connection.
pub(crate) fn end(transport: &Bound<'_, SocketTransport>) -> PyResult<()> {
    let before =
        transport.get().state.with(transport.py(), |state| std::mem::replace(&mut state.exclusive, Exclusive::No));
    drop(before);
    liveness::update_registration(transport)
}

/// The socket's descriptor, valid until Python code runs.
///
/// # Errors
/// `ConnectionError` if the connection is lost: the number may then belong to another file.
pub(crate) fn descriptor(transport: &Bound<'_, SocketTransport>) -> PyResult<RawFd> {
    let this = transport.get();
    if this.state.with(transport.py(), |state| state.lifecycle.is_lost()) {
        return Err(lost());
    }
    Ok(this.fd)
}

/// Waits until all buffered data is sent.
pub(crate) async fn until_sent(this: &Py<Loop>, transport: &Py<SocketTransport>, channel: &Channel) -> PyResult<()> {
    let empty = Python::attach(|py| transport.get().state.with(py, |state| state.buffer.is_empty()));
    if empty { Ok(()) } else { until_writable(this, transport, channel).await }
}

/// Waits until the socket is writable again. The last write must have failed with `EAGAIN`.
pub(crate) async fn until_writable(
    this: &Py<Loop>,
    transport: &Py<SocketTransport>,
    channel: &Channel,
) -> PyResult<()> {
    let future = Python::attach(|py| {
        descriptor(transport.bind(py))?;
        let future = Loop::waiter(this.bind(py))?.unbind();
        transport.get().state.with(py, |state| state.exclusive = Exclusive::Waiting(future.clone_ref(py)));
        liveness::update_registration(transport.bind(py))?;
        Ok::<_, PyErr>(future)
    })?;
    channel.wait(future).await.map(drop)
}

/// Completes the waiting future: the socket is writable, and nothing is buffered.
pub(crate) fn proceed(transport: &Bound<'_, SocketTransport>) -> PyResult<()> {
    let py = transport.py();
    let future = transport.get().state.with(py, |state| state.exclusive.take_future());
    future.map_or(Ok(()), |future| wake_waiter(future.bind(py), 0))
}

/// Fails the waiting future: the connection is lost.
pub(crate) fn fail(transport: &Bound<'_, SocketTransport>, error: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let py = transport.py();
    let Some(future) = transport.get().state.with(py, |state| state.exclusive.take_future()) else { return Ok(()) };
    let future = future.bind(py);
    if future.call_method0(name!("done"))?.is_truthy()? {
        return Ok(());
    }
    let error = error.cloned().unwrap_or_else(|| lost().into_value(py).into_bound(py).into_any());
    future.call_method1(name!("set_exception"), (error,)).map(drop)
}

fn lost() -> PyErr {
    ferrio_cpython::error::<PyConnectionError>("Connection is closed by peer")
}

#[pymethods]
impl SocketTransport {
    #[getter]
    fn _sendfile_compatible<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        imports::sendfile_mode(slf.py())?.getattr(name!("TRY_NATIVE"))
    }
}
