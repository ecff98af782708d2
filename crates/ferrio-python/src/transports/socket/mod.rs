//! `SocketTransport`: a connected stream socket and its protocol.
//!
//! One edge-triggered registration serves a connection for its whole life, so a message needs no call to the poller.
//! `Lifecycle` and `Input` are the states. `connection_lost` is called exactly once. Connecting, reading, writing,
//! flow control, closing and `get_extra_info` have a file each.
//!
//! Protocol methods may do anything, also close the transport, so the state is read again after each call.

pub(crate) mod close;
pub(crate) mod connect;
pub(crate) mod joined_writes;
pub(crate) mod lifecycle;
pub(crate) mod liveness;
mod read;
pub(crate) mod server_link;
pub(crate) mod write;
pub(crate) mod write_coalescing;

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::buffer::Chunk;
use ferrio_cpython::capi::memory::Text;
use ferrio_engine::{FlowControl, WriteBuffer};
use ferrio_sys::SocketAddress;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{PyTraverseError, PyVisit};

use self::joined_writes::JoinedWrites;
use self::lifecycle::{Input, Lifecycle};
use self::server_link::ServerLink;
use super::endpoint::{Endpoint, call_protocol};
use super::exclusive::Exclusive;
use super::info;
use super::tls::{TlsProtocol, TlsTransport};
use crate::common::imports;
use crate::event_loop::Loop;

/// A stream connection; its `__class__` says `asyncio.Transport`.
#[pyclass(frozen, weakref, module = "ferrio")]
pub(crate) struct SocketTransport {
    pub(crate) fd: RawFd,
    /// The context that protocol methods run in: a copy of the one the connection was made in.
    pub(crate) context: Py<PyAny>,
    pub(crate) state: GilCell<State>,
}

/// The owner of the descriptor, which closes it.
pub(crate) enum Socket {
    /// The transport.
    Descriptor(OwnedFd),
    /// A Python socket object, created for `get_extra_info("socket")`.
    Object(Py<PyAny>),
    /// The program's socket object. The transport is counted among its users, so an early `close()` takes effect only
    /// when the transport is done.
    Counted(Py<PyAny>),
    /// None: it is closed.
    Closed,
}

/// Where received data goes.
pub(crate) enum Sink {
    /// To the protocol, as a bytes object.
    Bytes,
    /// Into the buffer of a `BufferedProtocol`.
    Lent,
    /// To the TLS transport above, with no protocol call between.
    Tls(Py<TlsTransport>),
}

/// When reading begins.
#[derive(Clone, Copy)]
pub(crate) enum FirstData {
    /// Right after `connection_made`: the protocol is ferrio's own and calls no other code.
    Immediate,
    /// In the turn after it.
    NextTurn,
    /// In the turn after the waiter was woken.
    AfterWaiter,
    /// `connection_made` was called, and the start of reading is scheduled.
    UnderWay,
}

/// The mutable part of a transport.
pub(crate) struct State {
    /// None once the connection is lost.
    pub(crate) owner: Option<Py<Loop>>,
    /// None once the connection is lost.
    pub(crate) protocol: Option<Py<PyAny>>,
    pub(crate) server: Option<ServerLink>,
    pub(crate) socket: Socket,
    pub(crate) peer: Option<SocketAddress>,
    pub(crate) local: Option<SocketAddress>,
    /// Created when `get_extra_info` first returns something that must stay the same.
    pub(crate) extra: Option<Py<PyDict>>,
    pub(crate) buffer: WriteBuffer<Chunk>,
    /// Written in this turn, and sent before it ends.
    pub(crate) coalesced: Vec<u8>,
    /// Whether the transport is in the loop's `end_of_turn` list.
    pub(crate) listed: bool,
    pub(crate) joined: JoinedWrites,
    /// Whether the program has got the socket object, and so may use it without the transport.
    pub(crate) shown: bool,
    pub(crate) flow: FlowControl,
    /// Always that of `protocol`.
    pub(crate) sink: Sink,
    /// Whether the last receive was large: the next one then avoids a copy.
    pub(crate) bulk: bool,
    pub(crate) first_data: FirstData,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) input: Input,
    /// `pause_reading` was called.
    pub(crate) paused: bool,
    /// When it was called, if that was recorded; else 0.
    pub(crate) paused_at: u64,
    /// The registration keeps the transport alive.
    pub(crate) keeps_alive: bool,
    /// While a sendfile runs, no other code may write.
    pub(crate) exclusive: Exclusive,
    /// `write_eof` was called.
    pub(crate) eof_written: bool,
}

impl State {
    /// Whether received data goes to the protocol.
    #[inline]
    pub(crate) fn is_reading(&self) -> bool {
        self.lifecycle.is_open() && !self.paused && self.input != Input::Ended
    }
}

impl Endpoint for SocketTransport {
    const STOCK: (&'static str, &'static str) = ("asyncio.selector_events", "_SelectorSocketTransport");

    fn owner<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Loop>> {
        self.owner(py)
    }

    #[inline]
    fn protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.protocol(py)
    }

    #[inline]
    fn context(&self) -> &Py<PyAny> {
        &self.context
    }

    fn with_flow<R>(&self, py: Python<'_>, look: impl FnOnce(&mut FlowControl, usize) -> R) -> R {
        self.state.with(py, |state| look(&mut state.flow, state.buffer.len()))
    }
}

impl SocketTransport {
    pub(crate) fn owner<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Loop>> {
        self.state.with(py, |state| state.owner.as_ref().map(|owner| owner.bind(py).clone()))
    }

    #[inline]
    pub(crate) fn protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.protocol.as_ref().map(|protocol| protocol.bind(py).clone()))
    }

    /// See `endpoint::call_protocol`.
    #[inline]
    pub(crate) fn call_protocol<'py, A>(
        &self,
        protocol: &Bound<'py, PyAny>,
        method: &Bound<'py, pyo3::types::PyString>,
        arguments: A,
    ) -> PyResult<Bound<'py, PyAny>>
    where
        A: pyo3::call::PyCallArgs<'py>,
    {
        call_protocol(self, protocol, method, arguments)
    }

    /// Whether the connection is open, and holds no bytes that its callback has written.
    #[inline]
    pub(crate) fn is_open_with_nothing_pending(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| !state.lifecycle.is_closing() && !state.joined.are_pending())
    }

    pub(crate) fn is_closing_now(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.lifecycle.is_closing())
    }
}

#[pymethods]
impl SocketTransport {
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<&'py Bound<'py, PyAny>> {
        imports::transport_class(slf.py())
    }

    /// Set another protocol; the old one is told nothing.
    fn set_protocol(slf: &Bound<'_, Self>, protocol: Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let sink = Sink::of(&protocol)?;
        write_coalescing::send(slf)?;
        let before = slf
            .get()
            .state
            .with(py, |state| (std::mem::replace(&mut state.sink, sink), state.protocol.replace(protocol.unbind())));
        drop(before);
        Ok(())
    }

    /// The current protocol.
    fn get_protocol<'py>(slf: &Bound<'py, Self>) -> Option<Bound<'py, PyAny>> {
        slf.get().protocol(slf.py())
    }

    #[getter]
    fn _protocol<'py>(slf: &Bound<'py, Self>) -> Option<Bound<'py, PyAny>> {
        slf.get().protocol(slf.py())
    }

    #[getter]
    fn _loop<'py>(slf: &Bound<'py, Self>) -> Option<Bound<'py, Loop>> {
        slf.get().owner(slf.py())
    }

    /// TLS may run over it.
    #[classattr]
    fn _start_tls_compatible() -> bool {
        true
    }

    fn __repr__(slf: &Bound<'_, Self>) -> Text {
        Text(info::describe(slf))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.context)?;
        let outcome = self.state.traverse(&visit, |state| {
            visit.call(&state.owner)?;
            visit.call(&state.protocol)?;
            state.server.as_ref().map_or(Ok(()), |server| server.traverse(&visit))?;
            visit.call(&state.extra)?;
            visit.call(state.exclusive.future())?;
            if let Sink::Tls(above) = &state.sink {
                visit.call(above)?;
            }
            if let Socket::Object(sock) | Socket::Counted(sock) = &state.socket {
                visit.call(sock)?;
            }
            Ok(())
        });
        outcome.transpose().map(drop)
    }

    fn __clear__(&self, py: Python<'_>) {
        let taken = self.state.with(py, |state| {
            let sink = std::mem::replace(&mut state.sink, Sink::Bytes);
            // The loop and the server stay: they do not refer to the transport, and are called when it is freed.
            (state.protocol.take(), sink)
        });
        drop(taken);
    }
}

impl Drop for SocketTransport {
    fn drop(&mut self) {
        close::finalize_unclosed(self);
    }
}

impl Sink {
    /// The sink for a protocol.
    fn of(protocol: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(below) = protocol.cast_exact::<TlsProtocol>() {
            return Ok(Self::Tls(below.get().transport.clone_ref(protocol.py())));
        }
        let lends = protocol.is_instance(imports::buffered_protocol(protocol.py())?)?;
        Ok(if lends { Self::Lent } else { Self::Bytes })
    }

    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Bytes => Self::Bytes,
            Self::Lent => Self::Lent,
            Self::Tls(above) => Self::Tls(above.clone_ref(py)),
        }
    }
}

impl Socket {
    /// The descriptor, for messages.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }
}

impl From<OwnedFd> for Socket {
    fn from(fd: OwnedFd) -> Self {
        debug_assert!(fd.as_raw_fd() >= 0, "an owned descriptor is open");
        Self::Descriptor(fd)
    }
}
