//! `WritePipeTransport`: the writing end of a pipe and its protocol.
//!
//! A pipe or socket is watched for reading too: the system reports there that the reader is gone. How data is written is
//! in `writing.rs`.

mod writing;

use std::os::fd::RawFd;

use ferrio_cpython::buffer::Chunk;
use ferrio_cpython::{GilCell, Runnable, context};
use ferrio_engine::{FlowControl, Role, WriteBuffer};
use ferrio_sys::file::Kind;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};
use pyo3::{PyTraverseError, PyVisit};

use super::endpoint::Endpoint;
use super::pipe::{self, Pipe, PipeTransport};
use super::{classes, flow};
use crate::event_loop::{Loop, base};
use crate::imports;

const NAME: &str = "WritePipeTransport";

/// The writing end of a pipe; its `__class__` says `asyncio.WriteTransport`.
#[pyclass(frozen, weakref, subclass, module = "ferrio")]
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
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let class = classes::open::<WritePipeTransport>(slf.py(), &CLASS)?;
    let transport = class.call1((slf, pipe, protocol))?.cast_into::<WritePipeTransport>()?;
    base(slf).push(slf.py(), Runnable::native(transport.clone(), begin, 0));
    Ok(transport)
}

fn begin(object: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    let transport = object.cast::<WritePipeTransport>()?;
    if !pipe::make_connection(transport)? || !transport.get().hangs_up {
        return Ok(());
    }
    pipe::watch(transport, Role::Reader, writing::on_hangup)
        .or_else(|error| pipe::report(transport, "_read_ready", error))
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
    #[new]
    fn new(owner: &Bound<'_, Loop>, pipe: &Bound<'_, PyAny>, protocol: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = owner.py();
        let (fd, kind) = pipe::open(pipe, "Pipe transport is only for pipes, sockets and character devices")?;
        let extra = PyDict::new(py);
        extra.set_item("pipe", pipe)?;
        let pipe = Pipe::new(owner, pipe, protocol);
        let state = GilCell::new(State { pipe, buffer: WriteBuffer::new(), flow: FlowControl::new(), lost: 0 });
        let context = context::copy_current(py)?.unbind();
        let hangs_up = matches!(kind, Kind::Pipe | Kind::Socket);
        Ok(Self { fd, hangs_up, context, extra: extra.unbind(), state })
    }

    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<&'py Bound<'py, PyAny>> {
        imports::write_transport(slf.py())
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
        writing::on_hangup(slf, 0)
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
