//! Closing a datagram transport: gracefully, by `abort()`, after an error, or by its finalizer.
//!
//! Invariant: the code that raises `lost` from 0 queues (or makes) the only call of `connection_lost`, and only that
//! call closes the socket. Datagrams queued before `close()` are sent first; `abort()` and errors drop them.

use ferrio_cpython::Runnable;
use ferrio_cpython::capi::finalizer::finalizing;
use ferrio_cpython::capi::memory;
use pyo3::prelude::*;

use super::super::endpoint::{Endpoint, call_protocol, loss_failed, report_fatal};
use super::{DatagramTransport, receive, send};
use crate::common::imports;
use crate::event_loop::base;

#[pymethods]
impl DatagramTransport {
    /// Close the transport once everything queued is sent; no more datagrams are received.
    fn close(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let (first, idle) = slf.get().state.with(py, |state| {
            let first = !std::mem::replace(&mut state.closing, true);
            let idle = first && state.queue.is_empty() && state.lost == 0;
            state.lost += u32::from(idle);
            (first, idle)
        });
        if first {
            receive::unwatch(slf);
        }
        if idle {
            send::unwatch(slf);
            queue_loss(slf);
        }
    }

    /// Close the transport now; what is queued is lost.
    fn abort(slf: &Bound<'_, Self>) {
        force_close(slf, None);
    }

    /// Whether the transport is closing or closed.
    fn is_closing(slf: &Bound<'_, Self>) -> bool {
        slf.get().state.with(slf.py(), |state| state.closing)
    }
}

fn force_close(transport: &Bound<'_, DatagramTransport>, error: Option<PyErr>) {
    let py = transport.py();
    let error = error.map(|error| error.into_value(py).into_any());
    let unsent = transport.get().state.with(py, |state| {
        if state.lost > 0 {
            return None;
        }
        state.closing = true;
        state.lost += 1;
        state.queued = 0;
        state.error = error;
        Some(std::mem::take(&mut state.queue))
    });
    if unsent.is_some() {
        receive::unwatch(transport);
        send::unwatch(transport);
        queue_loss(transport);
    }
}

/// Ends the connection after an error, which is reported unless it is a system error; `SystemExit` and
/// `KeyboardInterrupt` propagate.
#[cold]
pub(super) fn fatal_error(transport: &Bound<'_, DatagramTransport>, error: PyErr, message: &str) -> PyResult<()> {
    report_fatal(transport, &error, message)?;
    force_close(transport, Some(error));
    Ok(())
}

/// Queues the call of `connection_lost`.
fn queue_loss(transport: &Bound<'_, DatagramTransport>) {
    let py = transport.py();
    if let Some(owner) = transport.get().owner(py) {
        let lose = |object: &Bound<'_, PyAny>, _: u32| connection_lost(object.cast::<DatagramTransport>()?);
        base(&owner).push_reserved(py, Runnable::native(transport.clone(), lose, 0));
    }
}

/// Calls the protocol's `connection_lost`, closes the socket and drops all references.
pub(super) fn connection_lost(transport: &Bound<'_, DatagramTransport>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let Some(protocol) = this.protocol(py) else { return Ok(()) };
    let error = this.state.with(py, |state| state.error.take());
    let called = call_protocol(this, &protocol, pyo3::intern!(py, "connection_lost"), (error.as_ref(),));
    let reported = match called {
        Ok(_) => Ok(()),
        Err(raised) => loss_failed(transport, error.as_ref().map(|error| error.bind(py)), raised),
    };
    let released = release(transport);
    reported.and(released)
}

/// Closes the socket and drops the transport's references.
fn release(transport: &Bound<'_, DatagramTransport>) -> PyResult<()> {
    let py = transport.py();
    receive::unwatch(transport);
    send::unwatch(transport);
    let (sock, protocol, owner) =
        transport.get().state.with(py, |state| (state.sock.take(), state.protocol.take(), state.owner.take()));
    drop((protocol, owner));
    sock.map_or(Ok(()), |sock| sock.call_method0(py, name!("close")).map(drop))
}

/// Finalizes a transport that was not closed: warns as asyncio does and closes the socket.
pub(super) fn finalize_unclosed(transport: &mut DatagramTransport) {
    let fd = transport.fd;
    let Some(sock) = transport.state.get_mut().sock.take() else { return };
    finalizing(|py| {
        let text = format!("unclosed transport <_SelectorDatagramTransport fd={fd}>");
        let text = std::ffi::CString::new(text).unwrap_or_default();
        let warned = imports::resource_warning(py).and_then(|category| memory::warn(py, category, &text));
        if let Err(error) = warned {
            // Where warnings are errors, asyncio too leaves closing to the socket's own finalizer.
            memory::unraisable(py, error);
            return;
        }
        // The garbage collector may have cleared the object already; its own finalizer has then closed the socket.
        drop(memory::catch_no_memory(py, || sock.call_method0(py, name!("close")).map(drop)));
    });
}
