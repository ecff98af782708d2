//! The handshake: started by the lower connection, advanced by the peer's data, ended by success, failure or timeout.
//!
//! Invariant: the waiter is completed exactly once, on success after `connection_made`.

use pyo3::exceptions::PyConnectionAbortedError;
use pyo3::prelude::*;

use super::lower_transport::Lower;
use super::{AppProtocolState, Phase, TlsTransport, Waiter, close, read, write};
use crate::common::imports;
use crate::event_loop::exception_handler;

/// Starts the handshake, once the lower connection is made.
pub(super) fn begin(transport: &Bound<'_, TlsTransport>, lower: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let lower = Lower::of(lower);
    let given_up = this.state.with(py, |state| {
        state.lower = Some(lower);
        state.closed
    });
    if given_up {
        return close::abort(transport, None);
    }
    if this.debug(py) {
        imports::sslproto_logger(py)?.call_method1(name!("debug"), ("%r starts SSL handshake", transport))?;
        let now = this.owner(py).call_method0(name!("time"))?.extract()?;
        this.state.with(py, |state| state.handshake_began = now);
    }
    this.set_phase(py, Phase::Handshake);
    let check = transport.getattr(name!("_check_handshake_timeout"))?;
    let timer = this.owner(py).call_method1(name!("call_later"), (&this.handshake_timeout, check))?.unbind();
    this.state.with(py, |state| state.handshake_timer = Some(timer));
    if this.session.is_unpatched && this.session.is_server && this.session.incoming_pending(py)? == 0 {
        // The client sends the first message.
        return Ok(());
    }
    step(transport)
}

/// Advances the handshake as far as the peer's data allows.
pub(super) fn step(transport: &Bound<'_, TlsTransport>) -> PyResult<()> {
    let py = transport.py();
    match transport.get().session.advance(py, pyo3::intern!(py, "do_handshake")) {
        Ok(true) => complete(transport),
        Ok(false) => write::send_outgoing(transport),
        Err(error) if error.matches(py, imports::ssl_error(py)?)? => fail(transport, error),
        Err(error) => Err(error),
    }
}

fn complete(transport: &Bound<'_, TlsTransport>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    if this.phase(py) != Phase::Handshake {
        // A callback of the context closed the connection.
        return Ok(());
    }
    stop_timer(transport)?;
    let extra = match super::info::after_handshake(&this.session, py) {
        Ok(extra) => extra,
        Err(error) => return fail(transport, error),
    };
    if this.debug(py) {
        let now: f64 = this.owner(py).call_method0(name!("time"))?.extract()?;
        let took = (now - this.state.with(py, |state| state.handshake_began)) * 1e3;
        imports::sslproto_logger(py)?
            .call_method1(name!("debug"), ("%r: SSL handshake took %.1f ms", transport, took))?;
    }
    let is_first = this.state.with(py, |state| {
        state.phase = Phase::Wrapped;
        // Data after the last handshake message arrived with it and is not counted as records.
        state.draining = true;
        state.answered = true;
        state.extra = Some(extra.unbind());
        let is_first = state.app_protocol == AppProtocolState::Init;
        if is_first {
            state.app_protocol = AppProtocolState::ConnectionMade;
        }
        is_first
    });
    if let (true, Some(protocol)) = (is_first, this.protocol(py)) {
        protocol.call_method1(pyo3::intern!(py, "connection_made"), (transport,))?;
    }
    wake_waiter(transport, None)?;
    read::read(transport)
}

/// Ends the handshake without a connection.
pub(super) fn fail(transport: &Bound<'_, TlsTransport>, error: PyErr) -> PyResult<()> {
    let py = transport.py();
    stop_timer(transport)?;
    transport.get().set_phase(py, Phase::Unwrapped);
    let by_certificate = error.matches(py, imports::ssl_certificate_error(py)?)?;
    let message =
        if by_certificate { "SSL handshake failed on verifying the certificate" } else { "SSL handshake failed" };
    close::fatal_error(transport, &error, message)?;
    wake_waiter(transport, Some(error))
}

fn stop_timer(transport: &Bound<'_, TlsTransport>) -> PyResult<()> {
    let py = transport.py();
    let timer = transport.get().state.with(py, |state| state.handshake_timer.take());
    timer.map_or(Ok(()), |timer| timer.call_method0(py, name!("cancel")).map(drop))
}

/// Completes the waiter of the handshake.
pub(super) fn wake_waiter(transport: &Bound<'_, TlsTransport>, error: Option<PyErr>) -> PyResult<()> {
    let py = transport.py();
    let waiter = transport.get().state.with(py, |state| std::mem::replace(&mut state.waiter, Waiter::Nobody));
    match (waiter, error) {
        (Waiter::Nobody, _) | (Waiter::Accepted, None) => Ok(()),
        (Waiter::Future(future), error) => {
            let future = future.bind(py);
            if future.call_method0(name!("done"))?.is_truthy()? {
                return Ok(());
            }
            match error {
                Some(error) => future.call_method1(name!("set_exception"), (error.into_value(py),)).map(drop),
                None => future.call_method1(name!("set_result"), (py.None(),)).map(drop),
            }
        }
        (Waiter::Accepted, Some(error)) => refused(transport, error),
    }
}

/// Reports that a connection that a server accepted has failed, as asyncio's `_accept_connection2` does.
fn refused(transport: &Bound<'_, TlsTransport>, error: PyErr) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let protocol = this.protocol(py);
    close::close(transport)?;
    if exception_handler::must_propagate(py, &error) {
        return Err(error);
    }
    if !this.debug(py) {
        return Ok(());
    }
    let message = "Error on transport creation for incoming connection";
    let protocol = protocol.unwrap_or_else(|| py.None().into_bound(py));
    exception_handler::report(
        this.owner(py),
        message,
        &error,
        &[("protocol", &protocol), ("transport", transport.as_any())],
    )
}

#[pymethods]
impl TlsTransport {
    /// Handle the handshake timeout.
    fn _check_handshake_timeout(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.phase(py) != Phase::Handshake {
            return Ok(());
        }
        let timeout = this.handshake_timeout.bind(py).str()?;
        let text = format!("SSL handshake is taking longer than {timeout} seconds: aborting the connection");
        close::fatal_error(slf, &ferrio_cpython::error::<PyConnectionAbortedError>(text), close::FATAL)
    }
}
