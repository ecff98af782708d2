//! `TlsTransport`: a TLS connection between a user's protocol and a lower transport.
//!
//! The user's own `ssl.SSLContext` does the cryptography through memory BIOs; this module moves bytes and keeps the state
//! machine, which is that of asyncio's `SSLProtocol`:
//!
//! *unwrapped* → *handshake* → *wrapped* → *flushing* (close was asked for, or the peer's end of file came) → *shutdown*
//! (`close_notify` goes out, the peer's is awaited); from each of them back to *unwrapped* when the connection is lost or
//! given up. Towards the protocol: *init* → *made* → *end of file* → *lost*, each step told at most once.
//!
//! The lower transport has a `TlsProtocol` for its protocol. Our own sockets hand what they receive straight to
//! `read::received`; any other transport lends and fills a buffer. Protocol methods and the context's callbacks may do
//! anything, also close the transport: after each the state is read afresh. A file each: handshake, arriving (from the lower
//! transport to the session), reading (from there to the protocol), writing, flow (of both directions), closing, info,
//! upgrade (`start_tls`).

mod close;
mod flow;
mod handshake;
mod info;
mod lower_transport;
pub(crate) mod options;
mod private_attributes;
pub(crate) mod protocol;
mod read;
mod receive;
mod session;
mod start_tls;
mod write;

use std::collections::VecDeque;

use ferrio_cpython::GilCell;
use ferrio_engine::TlsRecords;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use pyo3::{PyTraverseError, PyVisit};

use self::flow::Marks;
use self::lower_transport::Lower;
use self::options::Options;
pub(crate) use self::protocol::TlsProtocol;
use self::receive::Arrived;
pub(crate) use self::receive::received;
use self::session::Session;
use crate::common::imports;
use crate::event_loop::Loop;

/// A TLS connection; its `__class__` says that it is asyncio's own, an `asyncio.Transport`.
///
/// Programs that must know of TLS look for "SSL" in the name of a transport's type, which asyncio and uvloop keep to.
#[pyclass(frozen, weakref, module = "ferrio", name = "SSLTransport")]
pub(crate) struct TlsTransport {
    owner: Py<Loop>,
    session: Session,
    handshake_timeout: Py<PyAny>,
    shutdown_timeout: Py<PyAny>,
    state: GilCell<State>,
}

/// Where the connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Not begun, or over.
    Unwrapped,
    Handshake,
    /// Data flows.
    Wrapped,
    /// Closing: what came is still given to the protocol.
    Flushing,
    /// `close_notify` is sent or being sent.
    Shutdown,
}

/// Which of its callbacks the protocol has had, as in asyncio's `AppProtocolState`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum AppProtocolState {
    Init,
    ConnectionMade,
    EndOfFile,
    ConnectionLost,
}

/// Who waits for the handshake.
pub(crate) enum Waiter {
    Nobody,
    /// A future.
    Future(Py<PyAny>),
    /// A server: what fails is reported in debug mode and the connection closed.
    Accepted,
}

/// What changes during a connection's life.
#[expect(clippy::struct_excessive_bools, reason = "independent facts; the states have enums")]
struct State {
    phase: Phase,
    app_state: AppProtocolState,
    /// None before its `connection_made` and after its `connection_lost`.
    lower: Option<Lower>,
    /// None once the connection is lost.
    protocol: Option<Py<PyAny>>,
    /// The protocol is a `BufferedProtocol`: it lends the memory to read into.
    lends_buffer: bool,
    waiter: Waiter,
    handshake_timer: Option<Py<PyAny>>,
    shutdown_timer: Option<Py<PyAny>>,
    /// The loop's time when the handshake began; in debug mode only.
    handshake_began: f64,
    /// What the protocol wrote and the session has not taken, as bytes.
    backlog: VecDeque<Py<PyBytes>>,
    /// Length of the backlog.
    backlog_len: usize,
    /// What the session made and the lower transport was not given, in order and before what the session still has.
    outbox: Vec<Py<PyBytes>>,
    /// What the lower transport received and the session was not given.
    arrived: Option<Arrived>,
    /// `close()` or `abort()` was called, or the connection is lost.
    closed: bool,
    /// The lower transport received end of file.
    eof_received: bool,
    /// Writes that came too late.
    dropped_writes: u32,
    /// Follows what was given to the session.
    records: TlsRecords,
    /// The records do not tell how often to read: the session is asked until it wants more.
    draining: bool,
    /// The session may have answered what it read, as a request to update keys: a read that found no data.
    answered: bool,
    /// The protocol paused reading.
    reading_paused: bool,
    /// We paused the lower transport.
    lower_reading_paused: bool,
    /// The protocol was told to pause writing.
    writing_paused: bool,
    /// The lower transport told us to pause writing.
    lower_writing_paused: bool,
    incoming_marks: Marks,
    outgoing_marks: Marks,
    /// What is known since the handshake, "sslcontext" excepted.
    extra: Option<Py<PyDict>>,
}

/// Makes the transport of a connection to come. `calls_made`: whether the protocol is to be told of its making.
///
/// # Errors
/// `ValueError` for timeouts that are not positive, and what the context refuses.
pub(crate) fn make<'py>(
    owner: &Bound<'py, Loop>,
    protocol: Bound<'py, PyAny>,
    options: &Options,
    waiter: Waiter,
    calls_made: bool,
) -> PyResult<Bound<'py, TlsTransport>> {
    let py = owner.py();
    let handshake_timeout = options.checked_handshake_timeout(py)?;
    let shutdown_timeout = options.checked_shutdown_timeout(py)?;
    let session = Session::new(py, options)?;
    let lends_buffer = protocol.is_instance(imports::buffered_protocol(py)?)?;
    let state = State {
        phase: Phase::Unwrapped,
        app_state: if calls_made { AppProtocolState::Init } else { AppProtocolState::ConnectionMade },
        lower: None,
        protocol: Some(protocol.unbind()),
        lends_buffer,
        waiter,
        handshake_timer: None,
        shutdown_timer: None,
        handshake_began: 0.0,
        backlog: VecDeque::new(),
        backlog_len: 0,
        outbox: Vec::new(),
        arrived: None,
        closed: false,
        eof_received: false,
        dropped_writes: 0,
        records: TlsRecords::new(),
        draining: false,
        answered: false,
        reading_paused: false,
        lower_reading_paused: false,
        writing_paused: false,
        lower_writing_paused: false,
        incoming_marks: Marks::incoming(),
        outgoing_marks: Marks::outgoing(),
        extra: None,
    };
    let owner = owner.clone().unbind();
    Bound::new(py, TlsTransport { owner, session, handshake_timeout, shutdown_timeout, state: GilCell::new(state) })
}

impl TlsTransport {
    fn owner<'py>(&self, py: Python<'py>) -> &Bound<'py, Loop> {
        self.owner.bind(py)
    }

    fn phase(&self, py: Python<'_>) -> Phase {
        self.state.with(py, |state| state.phase)
    }

    fn set_phase(&self, py: Python<'_>, phase: Phase) {
        self.state.with(py, |state| state.phase = phase);
    }

    fn protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.protocol.as_ref().map(|protocol| protocol.bind(py).clone()))
    }

    fn lower(&self, py: Python<'_>) -> Option<Lower> {
        self.state.with(py, |state| state.lower.as_ref().map(|lower| lower.clone_ref(py)))
    }

    fn debug(&self, py: Python<'_>) -> bool {
        self.owner.bind(py).as_super().get().debug.get()
    }
}

#[pymethods]
impl TlsTransport {
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<&'py Bound<'py, PyAny>> {
        // Programs tell TLS by the name of this class.
        imports::ssl_transport_class(slf.py())
    }

    /// Set another protocol; the old one is told nothing.
    fn set_protocol(slf: &Bound<'_, Self>, protocol: Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let lends_buffer = protocol.is_instance(imports::buffered_protocol(py)?)?;
        let before = slf.get().state.with(py, |state| {
            state.lends_buffer = lends_buffer;
            state.protocol.replace(protocol.unbind())
        });
        drop(before);
        Ok(())
    }

    /// The current protocol.
    fn get_protocol<'py>(slf: &Bound<'py, Self>) -> Option<Bound<'py, PyAny>> {
        slf.get().protocol(slf.py())
    }

    /// TLS may run over it.
    #[classattr]
    fn _start_tls_compatible() -> bool {
        true
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.owner)?;
        self.session.traverse(&visit)?;
        let outcome = self.state.traverse(&visit, |state| {
            if let Some(lower) = &state.lower {
                lower.traverse(&visit)?;
            }
            if let Waiter::Future(future) = &state.waiter {
                visit.call(future)?;
            }
            visit.call(&state.protocol)?;
            visit.call(&state.handshake_timer)?;
            visit.call(&state.shutdown_timer)?;
            visit.call(&state.extra)
        });
        outcome.transpose().map(drop)
    }

    fn __clear__(&self, py: Python<'_>) {
        let taken = self.state.with(py, |state| {
            let waiter = std::mem::replace(&mut state.waiter, Waiter::Nobody);
            let timers = (state.handshake_timer.take(), state.shutdown_timer.take());
            (state.lower.take(), state.protocol.take(), waiter, timers, state.extra.take())
        });
        drop(taken);
    }
}

impl Drop for TlsTransport {
    fn drop(&mut self) {
        close::abandoned(self);
    }
}
