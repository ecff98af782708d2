//! `WritePipeTransport`: the writing end of a pipe and its protocol.
//!
//! Data is written at once if nothing waits, else in order as the pipe takes it. A pipe or socket is watched for reading
//! too: the system reports there that the reader is gone. Closing, and `write_eof`, which is the same for a pipe, first
//! write what is buffered; `abort()` and errors drop it.

use std::io::{self, IoSlice};
use std::os::fd::RawFd;

use ferrio_cpython::buffer::{Chunk, Data};
use ferrio_cpython::{GilCell, Runnable, context};
use ferrio_engine::{FlowControl, Role, WriteBuffer};
use ferrio_sys::file::{self, Kind};
use pyo3::exceptions::{PyAssertionError, PyBrokenPipeError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyMemoryView};
use pyo3::{PyTraverseError, PyVisit};

use super::endpoint::{Endpoint, report_fatal};
use super::flow;
use super::pipe::{self, Pipe, PipeTransport};
use crate::errors;
use crate::event_loop::{Loop, base};
use crate::imports;

const NAME: &str = "WritePipeTransport";

/// Chunks that one system call takes.
const SLICES: usize = 64;

/// Writes to a lost connection before asyncio begins to warn (`LOG_THRESHOLD_FOR_CONNLOST_WRITES`).
const DROPPED_WRITES_BEFORE_WARNING: u32 = 5;

const FATAL: &str = "Fatal write error on pipe transport";

/// The writing end of a pipe; its `__class__` says `asyncio.WriteTransport`.
#[pyclass(frozen, weakref, module = "ferrio")]
pub(crate) struct WritePipeTransport {
    fd: RawFd,
    /// A pipe or a socket: tells when the reader goes away.
    hangs_up: bool,
    /// The context that protocol methods run in.
    context: Py<PyAny>,
    extra: Py<PyDict>,
    state: GilCell<State>,
}

struct State {
    pipe: Pipe,
    /// Watched for writing exactly while it holds data.
    buffer: WriteBuffer<Chunk>,
    flow: FlowControl,
    /// 0 while connected; then one more for each write that failed or was dropped, as asyncio counts.
    lost: u32,
}

/// Makes the transport of `pipe`. In the next turn `connection_made` is called.
///
/// # Errors
/// `ValueError` for what is no pipe, socket or character device.
pub(crate) fn connect<'py>(
    slf: &Bound<'py, Loop>,
    pipe: &Bound<'py, PyAny>,
    protocol: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, WritePipeTransport>> {
    let py = slf.py();
    let (fd, kind) = pipe::open(pipe, "Pipe transport is only for pipes, sockets and character devices")?;
    let extra = PyDict::new(py);
    extra.set_item("pipe", pipe)?;
    let pipe = Pipe::new(slf, pipe, protocol);
    let state = GilCell::new(State { pipe, buffer: WriteBuffer::new(), flow: FlowControl::new(), lost: 0 });
    let context = context::copy_current(py)?.unbind();
    let hangs_up = matches!(kind, Kind::Pipe | Kind::Socket);
    let transport = Bound::new(py, WritePipeTransport { fd, hangs_up, context, extra: extra.unbind(), state })?;
    base(slf).push(py, Runnable::native(transport.clone(), begin, 0));
    Ok(transport)
}

fn begin(object: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    let transport = object.cast::<WritePipeTransport>()?;
    if !pipe::make_connection(transport)? || !transport.get().hangs_up {
        return Ok(());
    }
    pipe::watch(transport, Role::Reader, on_hangup).or_else(|error| pipe::report(transport, "_read_ready", error))
}

/// The reader is gone (or a socket's peer sends, which is no use for a pipe).
fn on_hangup(object: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    let transport = object.cast::<WritePipeTransport>()?;
    let (lost, idle) =
        transport.get().state.with(transport.py(), |state| (state.pipe.is_lost(), state.buffer.is_empty()));
    if lost {
        return Ok(());
    }
    pipe::log(transport, "info", "%r was closed by peer")?;
    force_close(transport, (!idle).then(|| PyBrokenPipeError::new_err(())))
}

/// There is room in the pipe.
fn on_writable(object: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    let transport = object.cast::<WritePipeTransport>()?;
    let py = transport.py();
    let this = transport.get();
    let mut done = Vec::new();
    if this.state.with(py, |state| state.buffer.is_empty()) {
        // The reader went away in the same poll, and what was buffered went with it.
        return Ok(());
    }
    let outcome = this.state.with(py, |state| {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let used = state.buffer.gather(&mut slices);
        file::write_vectored(this.fd, &slices[..used]).map(|count| state.buffer.advance(count, &mut done))
    });
    drop(done);
    match outcome {
        Ok(()) => {}
        Err(error) if would_block(&error) => return Ok(()),
        Err(error) => {
            this.state.with(py, |state| state.lost += 1);
            return fatal_error(transport, errors::from_io(&error));
        }
    }
    if !this.state.with(py, |state| state.buffer.is_empty()) {
        return Ok(());
    }
    pipe::unwatch(transport, Role::Writer);
    flow::maybe_resume(transport)?;
    // What was just called may have done anything.
    let ended = this.state.with(py, |state| state.pipe.closing && state.buffer.is_empty() && !state.pipe.is_lost());
    if ended { pipe::connection_lost(transport) } else { Ok(()) }
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cold]
fn fatal_error(transport: &Bound<'_, WritePipeTransport>, error: PyErr) -> PyResult<()> {
    report_fatal(transport, &error, FATAL)?;
    force_close(transport, Some(error))
}

/// Ends the connection whatever is buffered.
fn force_close(transport: &Bound<'_, WritePipeTransport>, error: Option<PyErr>) -> PyResult<()> {
    let mut unsent = Vec::new();
    transport.get().state.with(transport.py(), |state| {
        state.pipe.closing = true;
        state.buffer.clear(&mut unsent);
    });
    drop(unsent);
    pipe::unwatch(transport, Role::Writer);
    pipe::unwatch(transport, Role::Reader);
    pipe::queue_loss(transport, error)
}

#[cold]
fn dropped_write(transport: &Bound<'_, WritePipeTransport>) -> PyResult<()> {
    let py = transport.py();
    let dropped = transport.get().state.with(py, |state| {
        let dropped = state.lost;
        state.lost = state.lost.saturating_add(1);
        dropped
    });
    if dropped >= DROPPED_WRITES_BEFORE_WARNING {
        let text = "pipe closed by peer or os.write(pipe, data) raised exception.";
        imports::logger(py)?.call_method1("warning", (text,))?;
    }
    Ok(())
}

/// As asyncio's `assert` says it.
fn check_type(data: &Bound<'_, PyAny>) -> PyResult<()> {
    let known = data.is_instance_of::<PyBytes>()
        || data.is_instance_of::<PyByteArray>()
        || data.is_instance_of::<PyMemoryView>();
    if known { Ok(()) } else { Err(PyAssertionError::new_err(data.repr()?.to_string())) }
}

impl Endpoint for WritePipeTransport {
    fn owner<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Loop>> {
        self.state.with(py, |state| state.pipe.owner.as_ref().map(|owner| owner.bind(py).clone()))
    }

    fn protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.pipe.protocol.as_ref().map(|protocol| protocol.bind(py).clone()))
    }

    fn context(&self) -> &Py<PyAny> {
        &self.context
    }

    fn with_flow<R>(&self, py: Python<'_>, look: impl FnOnce(&mut FlowControl, usize) -> R) -> R {
        self.state.with(py, |state| look(&mut state.flow, state.buffer.len()))
    }
}

impl PipeTransport for WritePipeTransport {
    fn fd(&self) -> RawFd {
        self.fd
    }

    fn with_pipe<R>(&self, py: Python<'_>, look: impl FnOnce(&mut Pipe) -> R) -> R {
        self.state.with(py, |state| look(&mut state.pipe))
    }
}

#[pymethods]
impl WritePipeTransport {
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<&'py Bound<'py, PyAny>> {
        imports::write_transport(slf.py())
    }

    /// Write bytes, bytearray or memoryview; what cannot be written at once is buffered.
    fn write(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        check_type(data)?;
        let data = Data::from_object(data)?;
        if data.is_empty() {
            return Ok(());
        }
        let (refused, idle) =
            this.state.with(py, |state| (state.lost > 0 || state.pipe.closing, state.buffer.is_empty()));
        if refused {
            return dropped_write(slf);
        }
        let mut written = 0;
        if idle {
            match data.with(py, |bytes| file::write(this.fd, bytes)) {
                Ok(count) if count == data.len() => return Ok(()),
                Ok(count) => written = count,
                Err(error) if would_block(&error) => {}
                Err(error) => {
                    this.state.with(py, |state| state.lost += 1);
                    return fatal_error(slf, errors::from_io(&error));
                }
            }
            pipe::watch(slf, Role::Writer, on_writable)?;
        }
        let chunk = data.into_chunk(py, written);
        this.state.with(py, |state| state.buffer.push(chunk));
        flow::maybe_pause(slf)
    }

    /// Write an iterable of bytes-like objects.
    fn writelines(slf: &Bound<'_, Self>, list_of_data: &Bound<'_, PyAny>) -> PyResult<()> {
        let joined = PyBytes::new(slf.py(), b"").call_method1("join", (list_of_data,))?;
        Self::write(slf, &joined)
    }

    /// Close the pipe once everything buffered is written, which is how its reader sees the end.
    fn write_eof(slf: &Bound<'_, Self>) -> PyResult<()> {
        let now = slf.get().state.with(slf.py(), |state| {
            let now = !state.pipe.closing && state.buffer.is_empty();
            state.pipe.closing = true;
            now
        });
        if !now {
            return Ok(());
        }
        pipe::unwatch(slf, Role::Reader);
        pipe::queue_loss(slf, None)
    }

    /// Whether `write_eof()` is supported: it is.
    #[expect(clippy::unused_self, reason = "a transport's method")]
    fn can_write_eof(&self) -> bool {
        true
    }

    /// Close the pipe once everything buffered is written.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let open = slf.get().state.with(slf.py(), |state| state.pipe.object.is_some() && !state.pipe.closing);
        if open { Self::write_eof(slf) } else { Ok(()) }
    }

    /// Close the pipe now; what is buffered is lost.
    fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        force_close(slf, None)
    }

    /// Whether the pipe is closing or closed.
    fn is_closing(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.pipe.closing)
    }

    /// How many bytes wait to be written.
    fn get_write_buffer_size(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.buffer.len())
    }

    /// Set the water marks in bytes; None takes the default or derives one from the other.
    #[pyo3(signature = (high=None, low=None))]
    fn set_write_buffer_limits(slf: &Bound<'_, Self>, high: Option<i64>, low: Option<i64>) -> PyResult<()> {
        flow::set_limits(slf, high, low)
    }

    /// The water marks as (low, high), in bytes.
    fn get_write_buffer_limits(&self, py: Python<'_>) -> (usize, usize) {
        self.state.with(py, |state| (state.flow.low(), state.flow.high()))
    }

    /// Set another protocol; the old one is told nothing.
    fn set_protocol(&self, py: Python<'_>, protocol: Py<PyAny>) {
        let before = self.state.with(py, |state| state.pipe.protocol.replace(protocol));
        drop(before);
    }

    /// The current protocol.
    fn get_protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.protocol(py)
    }

    /// Optional information: "pipe"; `default` for what is not known.
    #[pyo3(signature = (name, default=None))]
    fn get_extra_info<'py>(
        &self,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        pipe::extra_info(self.extra.bind(name.py()), name, default)
    }

    fn _read_ready(slf: &Bound<'_, Self>) -> PyResult<()> {
        on_hangup(slf, 0)
    }

    #[getter]
    fn _pipe(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.pipe.object.as_ref().map(|object| object.clone_ref(py)))
    }

    #[setter(_pipe)]
    fn set_pipe(&self, py: Python<'_>, pipe: Option<Py<PyAny>>) {
        let before = self.state.with(py, |state| std::mem::replace(&mut state.pipe.object, pipe));
        drop(before);
    }

    #[getter]
    fn _fileno(&self) -> RawFd {
        self.fd
    }

    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Loop>> {
        self.owner(py)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        let (mut words, owner) = pipe::describe(slf, NAME);
        if let Some(owner) = owner {
            let polling = pipe::is_watched(slf, &owner, Role::Writer);
            words.push(if polling { "polling" } else { "idle" }.to_owned());
            words.push(format!("bufsize={}", slf.get().get_write_buffer_size(slf.py())));
        }
        format!("<{}>", words.join(" "))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.context)?;
        visit.call(&self.extra)?;
        self.state.traverse(&visit, |state| state.pipe.traverse(&visit)).transpose().map(drop)
    }

    fn __clear__(&self, py: Python<'_>) {
        let held = self.state.with(py, |state| (state.pipe.owner.take(), state.pipe.protocol.take()));
        drop(held);
    }
}

impl Drop for WritePipeTransport {
    fn drop(&mut self) {
        pipe::abandoned(NAME, self.fd, &mut self.state.get_mut().pipe);
    }
}
