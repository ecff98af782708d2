//! `WritePipeTransport`: the writing end of a pipe and its protocol.
//!
//! A pipe or socket is watched for reading too, because the system reports there that the reader has closed its end.
//! Writing itself is in `output.rs`.

mod output;
mod private_attributes;

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::buffer::Chunk;
use ferrio_cpython::capi::memory::Text;
use ferrio_engine::{FlowControl, Role, WriteBuffer};
use ferrio_sys::file::Kind;
use pyo3::PyClass;
use pyo3::exceptions::PyNotImplementedError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use pyo3::{PyTraverseError, PyVisit};

use crate::common::imports;
use crate::event_loop::Loop;
use crate::transports::endpoint::Endpoint;
use crate::transports::flow;
use crate::transports::pipe::{PipeEnd, PipeTransport, pipe_methods};

/// The writing end of a pipe; its `__class__` says `asyncio.Transport`, as asyncio's inherits from that.
#[pyclass(frozen, weakref, subclass, module = "ferrio")]
pub(crate) struct WritePipeTransport {
    end: PipeEnd,
    /// Whether the file reports a closed reader: true for a pipe or a socket.
    hangs_up: bool,
    state: GilCell<State>,
}

struct State {
    /// The poller watches for writing exactly while this holds data.
    buffer: WriteBuffer<Chunk>,
    flow: FlowControl,
    /// 0 while connected; then one more for each write that failed or was dropped, as asyncio counts.
    lost: u32,
}

/// Creates the transport of `pipe`. The next turn calls `connection_made`.
///
/// # Errors
/// `ValueError` unless `pipe` is a pipe, a socket or a character device.
pub(crate) fn connect<'py>(
    slf: &Bound<'py, Loop>,
    pipe: &Bound<'py, PyAny>,
    protocol: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, WritePipeTransport>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    super::connect(slf, pipe, protocol, &CLASS, begin)
}

fn begin(object: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    let transport = object.cast::<WritePipeTransport>()?;
    if !super::make_connection(transport)? || !transport.get().hangs_up {
        return Ok(());
    }
    super::watch(transport, Role::Reader, output::on_hangup)
        .or_else(|error| super::report(transport, "_read_ready", error))
}

impl Endpoint for WritePipeTransport {
    const STOCK: (&'static str, &'static str) = ("asyncio.unix_events", "_UnixWritePipeTransport");

    fn owner<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Loop>> {
        self.end.owner(py)
    }

    fn protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.end.protocol(py)
    }

    fn context(&self) -> &Py<PyAny> {
        self.end.context()
    }

    fn with_flow<R>(&self, py: Python<'_>, look: impl FnOnce(&mut FlowControl, usize) -> R) -> R {
        self.state.with(py, |state| look(&mut state.flow, state.buffer.len()))
    }
}

impl PipeTransport for WritePipeTransport {
    fn end(&self) -> &PipeEnd {
        &self.end
    }
}

pipe_methods!(WritePipeTransport);

#[pymethods]
impl WritePipeTransport {
    #[new]
    fn new(owner: &Bound<'_, Loop>, pipe: &Bound<'_, PyAny>, protocol: &Bound<'_, PyAny>) -> PyResult<Self> {
        let refusal = "Pipe transport is only for pipes, sockets and character devices";
        let (end, kind) = PipeEnd::open(owner, pipe, protocol, refusal)?;
        let state = GilCell::new(State { buffer: WriteBuffer::new(), flow: FlowControl::new(), lost: 0 });
        Ok(Self { end, hangs_up: matches!(kind, Kind::Pipe | Kind::Socket), state })
    }

    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<&'py Bound<'py, PyAny>> {
        imports::transport_class(slf.py())
    }

    /// How many bytes wait to be written.
    fn get_write_buffer_size(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.buffer.len())
    }

    /// Nothing is read from here: `NotImplementedError`, as asyncio's.
    fn is_reading(&self) -> PyResult<bool> {
        Err(ferrio_cpython::error::<PyNotImplementedError>(()))
    }

    /// Nothing is read from here: `NotImplementedError`, as asyncio's.
    fn pause_reading(&self) -> PyResult<()> {
        Err(ferrio_cpython::error::<PyNotImplementedError>(()))
    }

    /// Nothing is read from here: `NotImplementedError`, as asyncio's.
    fn resume_reading(&self) -> PyResult<()> {
        Err(ferrio_cpython::error::<PyNotImplementedError>(()))
    }

    /// Set the water marks in bytes; None takes the default or derives one from the other.
    #[pyo3(signature = (high=None, low=None))]
    fn set_write_buffer_limits<'py>(
        slf: &Bound<'py, Self>,
        high: Option<Bound<'py, PyAny>>,
        low: Option<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        flow::set_limits(slf, high, low)
    }

    /// The water marks as (low, high), in bytes.
    fn get_write_buffer_limits(&self, py: Python<'_>) -> (usize, usize) {
        self.state.with(py, |state| (state.flow.low(), state.flow.high()))
    }

    fn _read_ready(slf: &Bound<'_, Self>) -> PyResult<()> {
        output::on_hangup(slf, 0)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> Text {
        let (mut words, owner) = super::describe(slf);
        if let Some(owner) = owner {
            let polling = super::is_watched(slf, &owner, Role::Writer);
            words.push(if polling { "polling" } else { "idle" }.to_owned());
            words.push(format!("bufsize={}", slf.get().get_write_buffer_size(slf.py())));
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

impl Drop for WritePipeTransport {
    fn drop(&mut self) {
        self.end.finalize_unclosed(<Self as PyClass>::NAME);
    }
}
