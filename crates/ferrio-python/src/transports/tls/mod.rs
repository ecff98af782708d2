//! `TlsTransport`: a TLS connection between a user's protocol and a lower transport.
//!
//! The user's own `ssl.SSLContext` does the cryptography through memory BIOs; this module moves bytes and keeps the
//! state machine, which is that of asyncio's `SSLProtocol`:
//!
//! *unwrapped* → *handshake* → *wrapped* → *flushing* (after `close()` or the peer's end of file) → *shutdown*
//! (`close_notify` is sent, the peer's is awaited); from each of them back to *unwrapped* when the connection is lost
//! or aborted. Towards the protocol: *init* → *made* → *end of file* → *lost*, with at most one call for each step.
//!
//! The lower transport's protocol is a `TlsProtocol`. ferrio's own sockets pass received data straight to
//! `receive::received`; any other transport fills a buffer that the protocol lends. Protocol methods and the context's
//! callbacks may do anything, including closing the transport: after each call the state is read again. The files are
//! handshake, receive (from the lower transport to the session), read (from the session to the protocol), write, flow
//! (both directions), close, info and `start_tls`.

mod close;
mod flow;
mod handshake;
mod info;
mod joined_writes;
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
use self::receive::UnfedData;
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

/// The state of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Not started, or over.
    Unwrapped,
    Handshake,
    /// Data is exchanged.
    Wrapped,
    /// Closing: received data is still delivered to the protocol.
    Flushing,
    /// `close_notify` was sent or is being sent.
    Shutdown,
}

/// The last callback that the protocol received, as in asyncio's `AppProtocolState`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum AppProtocolState {
    Init,
    ConnectionMade,
    EndOfFile,
    ConnectionLost,
}

/// What is notified of the end of the handshake.
pub(crate) enum Waiter {
    Nobody,
    /// A future, which is completed.
    Future(Py<PyAny>),
    /// A server: a failure is reported in debug mode, and the connection is closed.
    Accepted,
}

/// The mutable state of a connection.
#[expect(clippy::struct_excessive_bools, reason = "independent facts; the states have enums")]
struct State {
    phase: Phase,
    app_protocol: AppProtocolState,
    /// None before its `connection_made` and after its `connection_lost`.
    lower: Option<Lower>,
    /// None once the connection is lost.
    protocol: Option<Py<PyAny>>,
    /// Whether the protocol is a `BufferedProtocol`, which lends the memory to read into.
    lends_buffer: bool,
    waiter: Waiter,
    handshake_timer: Option<Py<PyAny>>,
    shutdown_timer: Option<Py<PyAny>>,
    /// The loop's time in seconds at the start of the handshake; set in debug mode only.
    handshake_began: f64,
    /// Data that the protocol wrote and the session has not accepted yet.
    backlog: VecDeque<Py<PyBytes>>,
    /// Total length of the backlog in bytes.
    backlog_len: usize,
    /// Encrypted data that the lower transport was not given yet, in order; it precedes what is still in the session.
    outbox: Vec<Py<PyBytes>>,
    /// Data that the lower transport received and the session was not given yet.
    unfed: Option<UnfedData>,
    /// Whether `close()` or `abort()` was called, or the connection is lost.
    closed: bool,
    /// Whether the lower transport received end of file.
    eof_received: bool,
    /// The number of writes after the connection was closed.
    dropped_writes: u32,
    /// Parses the record headers in the data that the session is given.
    records: TlsRecords,
    /// Whether the records do not determine how often to read: the session is read until it wants more data.
    draining: bool,
    /// Whether the session may have produced a reply while reading, for example to a key update: a read found no data.
    answered: bool,
    /// Whether the protocol paused reading.
    reading_paused: bool,
    /// When, if that was recorded; else 0.
    reading_paused_at: u64,
    /// Whether this transport paused the lower one's reading.
    lower_reading_paused: bool,
    /// Whether the protocol's `pause_writing` was called.
    writing_paused: bool,
    /// When, if that was recorded; else 0.
    writing_paused_at: u64,
    /// Whether the lower transport called `pause_writing`.
    lower_writing_paused: bool,
    incoming_marks: Marks,
    outgoing_marks: Marks,
    /// Information that is known since the handshake, except "sslcontext".
    extra: Option<Py<PyDict>>,
}

/// Creates the transport of a connection that is not made yet. `calls_made`: whether to call the protocol's
/// `connection_made`.
///
/// # Errors
/// `ValueError` for timeouts that are not positive, and the context's errors.
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
    let session = Session::new(py, options, owner.get().io.tape.is_on())?;
    let lends_buffer = protocol.is_instance(imports::buffered_protocol(py)?)?;
    let state = State {
        phase: Phase::Unwrapped,
        app_protocol: if calls_made { AppProtocolState::Init } else { AppProtocolState::ConnectionMade },
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
        unfed: None,
        closed: false,
        eof_received: false,
        dropped_writes: 0,
        records: TlsRecords::new(),
        draining: false,
        answered: false,
        reading_paused: false,
        reading_paused_at: 0,
        lower_reading_paused: false,
        writing_paused: false,
        writing_paused_at: 0,
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
        // Programs recognise TLS by the name of this class.
        imports::ssl_transport_class(slf.py())
    }

    /// Set another protocol; the old one is told nothing.
    fn set_protocol(slf: &Bound<'_, Self>, protocol: Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let lends_buffer = protocol.is_instance(imports::buffered_protocol(py)?)?;
        slf.get().send_pending(py)?;
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

    /// Whether TLS can run over this transport: it can.
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
        close::finalize_unclosed(self);
    }
}
