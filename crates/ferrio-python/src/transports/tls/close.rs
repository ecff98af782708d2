//! Closing a connection: with `close_notify` both ways, by `abort()`, after an error, or when the lower connection is
//! lost.
//!
//! Invariant: `connection_lost` is called once, by `lost`, and only on a protocol whose `connection_made` was called.
//! From the first step of closing a timer runs until the lower connection is lost: it cuts off a peer that neither
//! answers nor reads.

use ferrio_cpython::HandleRef;
use ferrio_cpython::capi::finalizer::finalizing;
use ferrio_cpython::capi::memory;
use pyo3::exceptions::{PyException, PyOSError, PyTimeoutError};
use pyo3::prelude::*;

use super::lower_transport::Lower;
use super::{AppProtocolState, Phase, TlsTransport, handshake, read, write};
use crate::common::imports;
use crate::event_loop::exception_handler;

/// asyncio's message for an error that has no message of its own.
pub(super) const FATAL: &str = "Fatal error on transport";

#[pymethods]
impl TlsTransport {
    /// Close the connection once everything buffered is sent; no more data is received.
    #[pyo3(name = "close")]
    fn close_method(slf: &Bound<'_, Self>) -> PyResult<()> {
        close(slf)
    }

    /// Close the connection now; what is buffered is lost.
    #[pyo3(name = "abort")]
    fn abort_method(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().state.with(slf.py(), |state| state.closed = true);
        abort(slf, None)
    }

    /// Close the connection now, with an exception.
    fn _force_close(slf: &Bound<'_, Self>, exc: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        slf.get().state.with(slf.py(), |state| state.closed = true);
        abort(slf, exc.map(PyErr::from_value))
    }

    /// Whether the connection is closing or closed.
    fn is_closing(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        if slf.get().state.with(py, |state| state.closed) {
            return Ok(true);
        }
        slf.get().lower(py).map_or(Ok(false), |lower| lower.is_closing(py))
    }

    /// Handle the shutdown timeout.
    fn _check_shutdown_timeout(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        match (slf.get().phase(py), slf.get().lower(py)) {
            (Phase::Flushing | Phase::Shutdown, Some(lower)) => {
                lower.force_close(py, Some(ferrio_cpython::error::<PyTimeoutError>("SSL shutdown timed out")))
            }
            _ => Ok(()),
        }
    }
}

/// Begins to close, if closing has not begun.
pub(super) fn close(transport: &Bound<'_, TlsTransport>) -> PyResult<()> {
    let before = transport.get().state.with(transport.py(), |state| std::mem::replace(&mut state.closed, true));
    if before { Ok(()) } else { start_shutdown(transport) }
}

fn start_shutdown(transport: &Bound<'_, TlsTransport>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    match this.phase(py) {
        Phase::Flushing | Phase::Shutdown | Phase::Unwrapped => Ok(()),
        Phase::Handshake => {
            this.state.with(py, |state| state.closed = true);
            abort(transport, None)
        }
        Phase::Wrapped => {
            this.state.with(py, |state| {
                state.closed = true;
                state.phase = Phase::Flushing;
            });
            start_timer(transport)?;
            flush(transport)
        }
    }
}

fn start_timer(transport: &Bound<'_, TlsTransport>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    if this.state.with(py, |state| state.shutdown_timer.is_some()) {
        return Ok(());
    }
    let check = transport.getattr(name!("_check_shutdown_timeout"))?;
    let timer = this.owner(py).call_method1(name!("call_later"), (&this.shutdown_timeout, check))?.unbind();
    this.state.with(py, |state| state.shutdown_timer = Some(timer));
    Ok(())
}

/// Delivers received data to the protocol and continues with `close_notify`.
pub(super) fn flush(transport: &Bound<'_, TlsTransport>) -> PyResult<()> {
    let py = transport.py();
    read::read(transport)?;
    if transport.get().phase(py) != Phase::Flushing {
        // The protocol, or the peer's `close_notify`, has already moved the connection to a later phase.
        return Ok(());
    }
    transport.get().set_phase(py, Phase::Shutdown);
    shut_down(transport)
}

/// Sends `close_notify` and waits for the peer's.
pub(super) fn shut_down(transport: &Bound<'_, TlsTransport>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let done = if this.state.with(py, |state| state.eof_received) {
        Ok(true)
    } else {
        this.session.advance(py, pyo3::intern!(py, "unwrap"))
    };
    match done {
        Ok(true) => {
            write::send_outgoing(transport)?;
            call_eof_received(transport)?;
            start_timer(transport)?;
            match this.lower(py) {
                Some(lower) => {
                    let close = lower.bind(py).getattr(name!("close"))?;
                    this.owner(py).call_method1(name!("call_soon"), (close,)).map(drop)
                }
                None => Ok(()),
            }
        }
        Ok(false) => write::send_outgoing(transport),
        Err(error) if error.matches(py, imports::ssl_error(py)?)? => {
            stop_timer(transport)?;
            fatal_error(transport, &error, FATAL)
        }
        Err(error) => Err(error),
    }
}

/// Handles the peer's `close_notify`.
pub(super) fn peer_closed(transport: &Bound<'_, TlsTransport>) -> PyResult<()> {
    call_eof_received(transport)?;
    start_shutdown(transport)
}

fn call_eof_received(transport: &Bound<'_, TlsTransport>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let is_first = this.state.with(py, |state| {
        let is_first = state.app_protocol == AppProtocolState::ConnectionMade;
        if is_first {
            state.app_protocol = AppProtocolState::EndOfFile;
        }
        is_first
    });
    let (true, Some(protocol)) = (is_first, this.protocol(py)) else { return Ok(()) };
    match protocol.call_method0(pyo3::intern!(py, "eof_received")).and_then(|answer| answer.is_truthy()) {
        Ok(true) => {
            let text = "returning true from eof_received() has no effect when using ssl";
            imports::sslproto_logger(py)?.call_method1(name!("warning"), (text,)).map(drop)
        }
        Ok(false) => Ok(()),
        Err(error) if exception_handler::must_propagate(py, &error) => Err(error),
        Err(error) => fatal_error(transport, &error, "Error calling eof_received()"),
    }
}

/// Handles end of file from the lower transport. True to keep the transport open.
pub(super) fn end_of_file(transport: &Bound<'_, TlsTransport>) -> PyResult<bool> {
    let py = transport.py();
    let this = transport.get();
    this.state.with(py, |state| state.eof_received = true);
    match after_end_of_file(transport) {
        Err(error) if error.is_instance_of::<PyException>(py) => {
            if let Some(lower) = this.lower(py) {
                lower.close(py)?;
            }
            Err(error)
        }
        outcome => outcome,
    }
}

fn after_end_of_file(transport: &Bound<'_, TlsTransport>) -> PyResult<bool> {
    let py = transport.py();
    let this = transport.get();
    if this.debug(py) {
        imports::sslproto_logger(py)?.call_method1(name!("debug"), ("%r received EOF", transport))?;
    }
    match this.phase(py) {
        Phase::Unwrapped => Ok(false),
        Phase::Handshake => {
            let reset = PyErr::new::<pyo3::exceptions::PyConnectionResetError, _>(());
            handshake::fail(transport, reset).map(|()| false)
        }
        Phase::Wrapped => {
            this.set_phase(py, Phase::Flushing);
            if this.state.with(py, |state| state.reading_paused) {
                return Ok(true);
            }
            flush(transport).map(|()| false)
        }
        Phase::Flushing => {
            write::write_backlog(transport)?;
            this.set_phase(py, Phase::Shutdown);
            shut_down(transport).map(|()| false)
        }
        Phase::Shutdown => shut_down(transport).map(|()| false),
    }
}

/// Ends the connection at once, without `close_notify`.
pub(super) fn abort(transport: &Bound<'_, TlsTransport>, error: Option<PyErr>) -> PyResult<()> {
    let py = transport.py();
    transport.get().set_phase(py, Phase::Unwrapped);
    transport.get().lower(py).map_or(Ok(()), |lower| lower.force_close(py, error))
}

/// Handles the loss of the lower connection.
pub(super) fn lost(transport: &Bound<'_, TlsTransport>, error: Option<Bound<'_, PyAny>>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let (protocol, app_protocol, timers, lower, unsent) = this.state.with(py, |state| {
        state.closed = true;
        state.dropped_writes = state.dropped_writes.saturating_add(1);
        state.backlog_len = 0;
        let informed = matches!(state.app_protocol, AppProtocolState::ConnectionMade | AppProtocolState::EndOfFile);
        let app_protocol = state.phase != Phase::Handshake && informed;
        if app_protocol {
            state.app_protocol = AppProtocolState::ConnectionLost;
        }
        state.phase = Phase::Unwrapped;
        let timers = [state.handshake_timer.take(), state.shutdown_timer.take()];
        let unsent = (std::mem::take(&mut state.backlog), std::mem::take(&mut state.outbox));
        (state.protocol.take(), app_protocol, timers, state.lower.take(), unsent)
    });
    // ferrio's own sockets call this from the loop itself; other transports may call it in the middle of any operation.
    let immediately = matches!(lower, Some(Lower::Socket(_)));
    drop((lower, unsent));
    this.session.take(py)?;
    handshake::wake_waiter(transport, error.clone().map(PyErr::from_value))?;
    for timer in timers.into_iter().flatten() {
        timer.call_method0(py, name!("cancel"))?;
    }
    match protocol {
        Some(protocol) if app_protocol => call_connection_lost(transport, protocol.bind(py), error, immediately),
        _ => Ok(()),
    }
}

fn call_connection_lost<'py>(
    transport: &Bound<'py, TlsTransport>,
    protocol: &Bound<'py, PyAny>,
    error: Option<Bound<'py, PyAny>>,
    immediately: bool,
) -> PyResult<()> {
    let py = transport.py();
    let owner = transport.get().owner(py);
    let connection_lost = protocol.getattr(pyo3::intern!(py, "connection_lost"))?;
    if !immediately {
        return owner.call_method1(name!("call_soon"), (connection_lost, error)).map(drop);
    }
    let arguments = memory::tuple(py, [error])?;
    match connection_lost.call1(&arguments) {
        Ok(_) => Ok(()),
        Err(error) if exception_handler::must_propagate(py, &error) => Err(error),
        Err(error) => HandleRef::unscheduled(owner.as_super(), &connection_lost, &arguments)?.report_error(py, error),
    }
}

fn stop_timer(transport: &Bound<'_, TlsTransport>) -> PyResult<()> {
    let py = transport.py();
    let timer = transport.get().state.with(py, |state| state.shutdown_timer.take());
    timer.map_or(Ok(()), |timer| timer.call_method0(py, name!("cancel")).map(drop))
}

/// Ends the connection after an exception; those that are no `Exception`, such as `KeyboardInterrupt`, propagate.
#[cold]
pub(super) fn contain(transport: &Bound<'_, TlsTransport>, error: PyErr, message: &str) -> PyResult<()> {
    if error.is_instance_of::<PyException>(transport.py()) {
        fatal_error(transport, &error, message)
    } else {
        Err(error)
    }
}

/// Ends the connection after an error, which is reported unless it comes from the system or the TLS session.
#[cold]
pub(super) fn fatal_error(transport: &Bound<'_, TlsTransport>, error: &PyErr, message: &str) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let lower = this.lower(py);
    if let Some(lower) = &lower {
        lower.force_close(py, Some(error.clone_ref(py)))?;
    }
    if error.is_instance_of::<PyOSError>(py) {
        if this.debug(py) {
            let keywords = memory::dict(py)?;
            keywords.set_item(name!("exc_info"), error.clone_ref(py).into_value(py))?;
            imports::sslproto_logger(py)?.call_method(
                name!("debug"),
                ("%r: %s", transport, message),
                Some(&keywords),
            )?;
        }
        return Ok(());
    }
    if error.matches(py, imports::cancelled_error(py)?)? {
        return Ok(());
    }
    let lower = lower.map_or_else(|| py.None().into_bound(py), |lower| lower.bind(py).clone());
    exception_handler::report(
        this.owner(py),
        message,
        error,
        &[("transport", &lower), ("protocol", transport.as_any())],
    )
}

/// Finalizes a transport that was not closed: warns as asyncio does.
pub(super) fn finalize_unclosed(transport: &mut TlsTransport) {
    if transport.state.get_mut().closed {
        return;
    }
    finalizing(|py| {
        let text = c"unclosed transport <SSLTransport>";
        let warned = imports::resource_warning(py).and_then(|category| memory::warn(py, category, text));
        if let Err(error) = warned {
            memory::unraisable(py, error);
        }
    });
}
