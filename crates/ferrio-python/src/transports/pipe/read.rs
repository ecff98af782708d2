//! `ReadPipeTransport`: the reading end of a pipe and its protocol.
//!
//! Each event reads once, at most as much as the loop's receive buffer holds, so that no pipe starves the others. The
//! end of data ends the connection, after `eof_received`; an error ends it too. EIO, by which a terminal reports that
//! its other side is closed, is logged in debug mode only.

use std::io;

use ferrio_cpython::capi::memory::{self, Text};
use ferrio_cpython::{GilFlag, Runnable};
use ferrio_engine::{FlowControl, Role};
use pyo3::PyClass;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use pyo3::{PyTraverseError, PyVisit};

use crate::common::imports;
use crate::event_loop::exception_handler;
use crate::event_loop::{Loop, base, recorded_calls};
use crate::transports::endpoint::{Endpoint, call_protocol, callback_failed, ignore_memory_error, report_fatal};
use crate::transports::pipe::{PipeEnd, PipeTransport, pipe_methods};
use crate::transports::private_attributes::show_pipe_end;

/// The reading end of a pipe; its `__class__` says `asyncio.ReadTransport`.
#[pyclass(frozen, weakref, subclass, module = "ferrio")]
pub(crate) struct ReadPipeTransport {
    end: PipeEnd,
    /// Whether `pause_reading` was called.
    paused: GilFlag,
}

/// Creates the transport of `pipe`. The next turn calls `connection_made` and starts reading.
///
/// # Errors
/// `ValueError` unless `pipe` is a pipe, a socket or a character device.
pub(crate) fn connect<'py>(
    slf: &Bound<'py, Loop>,
    pipe: &Bound<'py, PyAny>,
    protocol: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, ReadPipeTransport>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    super::connect(slf, pipe, protocol, &CLASS, begin)
}

fn begin(object: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    let transport = object.cast::<ReadPipeTransport>()?;
    let open = super::make_connection(transport)?;
    if !open || transport.get().paused.get() {
        return Ok(());
    }
    // The first data then arrives in the turn in which the caller that connected the pipe continues.
    if let Some(owner) = transport.get().end.owner(transport.py()) {
        owner.get().io.poll_next(transport.py());
    }
    super::watch(transport, Role::Reader, on_readable).or_else(|error| super::report(transport, "_read_ready", error))
}

/// Handles a read event: data or the end of data.
fn on_readable(object: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    let transport = object.cast::<ReadPipeTransport>()?;
    let py = transport.py();
    let this = transport.get();
    if this.paused.get() || this.end.is_closing(py) {
        return Ok(());
    }
    let Some(owner) = this.end.owner(py) else { return Ok(()) };
    let outcome = owner.get().io.with_receive_buffer(py, |buffer| {
        recorded_calls::read(&owner, this.end.fd, buffer)
            .map(|count| (count > 0).then(|| memory::bytes(py, &buffer[..count])))
    });
    match outcome {
        Ok(Some(data)) => {
            let Some(protocol) = this.protocol(py) else { return Ok(()) };
            // Data that was read but cannot be delivered is lost, so no later data may follow it.
            let data = match data {
                Ok(data) => data,
                Err(error) => return fatal_error(transport, &owner, error),
            };
            let called = call_protocol(this, &protocol, pyo3::intern!(py, "data_received"), (data,));
            called.map_or_else(|error| callback_failed(transport, &protocol, "data_received", error), |_| Ok(()))
        }
        Ok(None) => end_of_data(transport, &owner),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(()),
        Err(error) => fatal_error(transport, &owner, exception_handler::from_io(&error)),
    }
}

fn end_of_data(transport: &Bound<'_, ReadPipeTransport>, owner: &Bound<'_, Loop>) -> PyResult<()> {
    let py = transport.py();
    super::log(transport, "info", "%r was closed by peer")?;
    transport.get().end.begin_closing(py);
    super::unwatch(transport, Role::Reader);
    base(owner).push_reserved(py, Runnable::native(transport.clone(), call_eof_received, 0));
    super::queue_loss(transport, None)
}

fn call_eof_received(object: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    let transport = object.cast::<ReadPipeTransport>()?;
    let py = transport.py();
    let Some(protocol) = transport.get().protocol(py) else { return Ok(()) };
    let called = call_protocol(transport.get(), &protocol, pyo3::intern!(py, "eof_received"), ());
    called.map_or_else(|error| callback_failed(transport, &protocol, "eof_received", error), |_| Ok(()))
}

#[cold]
fn fatal_error(transport: &Bound<'_, ReadPipeTransport>, owner: &Bound<'_, Loop>, error: PyErr) -> PyResult<()> {
    let py = transport.py();
    let message = "Fatal read error on pipe transport";
    if error.is_instance_of::<PyOSError>(py)
        && error
            .value(py)
            .getattr(name!("errno"))?
            .eq(ferrio_cpython::module(py, name!("errno"))?.getattr(name!("EIO"))?)?
    {
        report_fatal(transport, &error, message)?;
    } else {
        let protocol = transport.get().protocol(py).unwrap_or_else(|| py.None().into_bound(py));
        let items = [("transport", transport.as_any()), ("protocol", &protocol)];
        ignore_memory_error(py, exception_handler::report(owner, message, &error, &items))?;
    }
    close(transport, Some(error))
}

fn close(transport: &Bound<'_, ReadPipeTransport>, error: Option<PyErr>) -> PyResult<()> {
    transport.get().end.begin_closing(transport.py());
    super::unwatch(transport, Role::Reader);
    super::queue_loss(transport, error)
}

impl Endpoint for ReadPipeTransport {
    const STOCK: (&'static str, &'static str) = ("asyncio.unix_events", "_UnixReadPipeTransport");

    fn owner<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Loop>> {
        self.end.owner(py)
    }

    fn protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.end.protocol(py)
    }

    fn context(&self) -> &Py<PyAny> {
        self.end.context()
    }

    fn with_flow<R>(&self, _: Python<'_>, look: impl FnOnce(&mut FlowControl, usize) -> R) -> R {
        // This transport does not write, so its buffer is always empty.
        look(&mut FlowControl::new(), 0)
    }
}

impl PipeTransport for ReadPipeTransport {
    fn end(&self) -> &PipeEnd {
        &self.end
    }
}

show_pipe_end!(ReadPipeTransport);
pipe_methods!(ReadPipeTransport);

#[pymethods]
impl ReadPipeTransport {
    #[new]
    fn new(owner: &Bound<'_, Loop>, pipe: &Bound<'_, PyAny>, protocol: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (end, _) = PipeEnd::open(owner, pipe, protocol, "Pipe transport is for pipes/sockets only.")?;
        Ok(Self { end, paused: GilFlag::default() })
    }

    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<&'py Bound<'py, PyAny>> {
        imports::read_transport(slf.py())
    }

    /// Whether the protocol is being told of data.
    fn is_reading(&self, py: Python<'_>) -> bool {
        !self.paused.get() && !self.end.is_closing(py)
    }

    /// Tell the protocol of no data until `resume_reading()`.
    fn pause_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        if !slf.get().is_reading(slf.py()) {
            return Ok(());
        }
        slf.get().paused.set(true);
        super::unwatch(slf, Role::Reader);
        super::log(slf, "debug", "%r pauses reading")
    }

    /// Tell the protocol of data again.
    fn resume_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        if !slf.get().paused.get() || slf.get().end.is_closing(slf.py()) {
            return Ok(());
        }
        slf.get().paused.set(false);
        super::watch(slf, Role::Reader, on_readable)?;
        super::log(slf, "debug", "%r resumes reading")
    }

    /// Close the pipe; no more data is received.
    #[pyo3(name = "close")]
    fn close_method(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.get().is_closing(slf.py()) { Ok(()) } else { close(slf, None) }
    }

    fn _read_ready(slf: &Bound<'_, Self>) -> PyResult<()> {
        on_readable(slf, 0)
    }

    #[getter]
    fn _paused(&self) -> bool {
        self.paused.get()
    }

    fn __repr__(slf: &Bound<'_, Self>) -> Text {
        let (mut words, owner) = super::describe(slf);
        if let Some(owner) = owner {
            let polling = super::is_watched(slf, &owner, Role::Reader);
            words.push(if polling { "polling" } else { "idle" }.to_owned());
        }
        Text(format!("<{}>", words.join(" ")))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.end.traverse(&visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        self.end.clear(py);
    }
}

impl Drop for ReadPipeTransport {
    fn drop(&mut self) {
        self.end.finalize_unclosed(<Self as PyClass>::NAME);
    }
}
