//! The end of a connection: graceful, by force, by error, or abandoned.
//!
//! Invariant: the code that sets `Lifecycle::Lost` queues or makes the one call of `connection_lost`, and only that
//! call closes the socket. Data written before `close()` is sent first; `abort()` and errors drop it.

use ferrio_cpython::Runnable;
use ferrio_cpython::capi::finalizer::finalizing;
use ferrio_cpython::capi::memory;
use ferrio_engine::Role;
use ferrio_sys::socket;
use pyo3::prelude::*;

use super::lifecycle::Lifecycle;
use super::{Sink, Socket, SocketTransport};
use super::{joined_writes, write_coalescing};
use crate::common::imports;
use crate::event_loop::{base, recorded_calls};
use crate::transports::endpoint::{loss_failed, report_fatal};
use crate::transports::exclusive;
use crate::transports::info;

#[pymethods]
impl SocketTransport {
    /// Close the connection once everything buffered is sent; no more data is received.
    #[pyo3(name = "close")]
    fn close_method(slf: &Bound<'_, Self>) -> PyResult<()> {
        close(slf)
    }

    /// Close the connection now; what is buffered is lost.
    fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        force_close(slf, None)
    }

    /// Close the connection now, for a reason.
    fn _force_close(slf: &Bound<'_, Self>, exc: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        force_close(slf, exc.map(PyErr::from_value))
    }

    /// Whether the connection is closing or closed.
    fn is_closing(slf: &Bound<'_, Self>) -> PyResult<bool> {
        joined_writes::send(slf)?;
        Ok(slf.get().is_closing_now(slf.py()))
    }
}

/// Ends reading, and the connection as soon as the buffer is empty.
pub(crate) fn close(transport: &Bound<'_, SocketTransport>) -> PyResult<()> {
    let py = transport.py();
    write_coalescing::send(transport)?;
    let now = transport.get().state.with(py, |state| {
        if state.lifecycle.is_closing() {
            return false;
        }
        state.lifecycle = Lifecycle::Closing;
        let idle = state.buffer.is_empty();
        if idle {
            state.lifecycle.transition_to_lost();
        }
        idle
    });
    if now {
        queue_loss(transport, None);
    }
    Ok(())
}

/// Ends the connection and drops what is buffered.
pub(crate) fn force_close(transport: &Bound<'_, SocketTransport>, error: Option<PyErr>) -> PyResult<()> {
    let py = transport.py();
    let coalesced = write_coalescing::take(transport.get(), py);
    if !coalesced.is_empty() {
        // Written while the socket accepted data. What the socket does not accept now is dropped like buffered data.
        let this = transport.get();
        let _ = recorded_calls::send(py, || this.owner(py), this.fd, &coalesced);
    }
    joined_writes::send_or_drop(transport);
    let unsent = transport.get().state.with(py, |state| {
        if state.lifecycle.is_lost() {
            return None;
        }
        state.lifecycle.transition_to_lost();
        Some(state.buffer.clear())
    });
    if let Some(unsent) = unsent {
        drop(unsent);
        queue_loss(transport, error);
    }
    Ok(())
}

/// Reports an error and ends the connection. Network errors are reported in debug mode only; `SystemExit` and
/// `KeyboardInterrupt` propagate.
#[cold]
pub(crate) fn fatal_error(transport: &Bound<'_, SocketTransport>, error: PyErr, message: &str) -> PyResult<()> {
    report_fatal(transport, &error, message)?;
    force_close(transport, Some(error))
}

/// Queues the call of `connection_lost`.
fn queue_loss(transport: &Bound<'_, SocketTransport>, error: Option<PyErr>) {
    let py = transport.py();
    let Some(owner) = transport.get().owner(py) else { return };
    let runnable = match error {
        None => Runnable::native(transport.clone(), lose_cleanly, 0),
        Some(error) => {
            match Bound::new(py, Loss { transport: transport.clone().unbind(), error: error.into_value(py).into_any() })
            {
                Ok(loss) => Runnable::native(loss, lose_by_error, 0),
                Err(_) => Runnable::native(transport.clone(), lose_cleanly, 0),
            }
        }
    };
    base(&owner).push_reserved(py, runnable);
}

/// A connection whose loss by an error is queued.
#[pyclass(frozen, module = "ferrio")]
pub(crate) struct Loss {
    transport: Py<SocketTransport>,
    error: Py<PyAny>,
}

fn lose_cleanly(object: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    connection_lost(object.cast::<SocketTransport>()?, None)
}

fn lose_by_error(object: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    let loss = object.cast::<Loss>()?.get();
    let py = object.py();
    connection_lost(loss.transport.bind(py), Some(loss.error.bind(py).clone()))
}

/// Calls `connection_lost`, closes the socket and releases what the transport owns.
pub(crate) fn connection_lost(transport: &Bound<'_, SocketTransport>, error: Option<Bound<'_, PyAny>>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let Some(protocol) = this.protocol(py) else { return Ok(()) };
    let called = this.call_protocol(&protocol, pyo3::intern!(py, "connection_lost"), (error.clone(),));
    let reported = match called {
        Ok(_) => Ok(()),
        Err(raised) => loss_failed(transport, error.as_ref(), raised),
    };
    let released = release(transport);
    exclusive::fail(transport, error.as_ref())?;
    reported.and(released)
}

/// Closes the socket and releases what the transport owns.
pub(crate) fn release(transport: &Bound<'_, SocketTransport>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let Some(owner) = this.owner(py) else { return Ok(()) };
    if base(&owner).has_simulated_io() && !owner.get().io.tape.is_on() {
        info::keep_simulated_address(transport);
    }
    let handler = owner.get().io.unregister(py, this.fd, Role::Stream);
    drop(handler);
    let (taken, server, protocol, sink) = this.state.with(py, |state| {
        if state.local.is_none() {
            // get_extra_info("sockname") must still work after the close.
            state.local = socket::local_address(this.fd).ok();
        }
        let taken = std::mem::replace(&mut state.socket, Socket::Closed);
        state.owner = None;
        let sink = std::mem::replace(&mut state.sink, Sink::Bytes);
        (taken, state.server.take(), state.protocol.take(), sink)
    });
    drop((protocol, sink));
    // Before the close, which frees the descriptor number that identifies the connection to the server.
    let detached = server.map_or(Ok(()), |server| server.detach(py, this.fd));
    close_socket(py, taken).and(detached)
}

fn close_socket(py: Python<'_>, taken: Socket) -> PyResult<()> {
    match taken {
        Socket::Descriptor(fd) => {
            socket::close(fd);
            Ok(())
        }
        Socket::Object(sock) => sock.bind(py).call_method0(name!("close")).map(drop),
        Socket::Counted(sock) => {
            sock.bind(py).call_method0(name!("_decref_socketios"))?;
            sock.bind(py).call_method0(name!("close")).map(drop)
        }
        Socket::Closed => Ok(()),
    }
}

/// Handles a transport that is freed without being closed: warns as asyncio does, and closes the socket.
pub(crate) fn finalize_unclosed(transport: &mut SocketTransport) {
    let fd = transport.fd;
    let state = transport.state.get_mut();
    let taken = std::mem::replace(&mut state.socket, Socket::Closed);
    if taken.is_closed() {
        return;
    }
    let (owner, server, weakly) = (state.owner.take(), state.server.take(), !state.keeps_alive);
    finalizing(|py| {
        if let Some(owner) = owner.filter(|_| weakly) {
            let handler = owner.get().io.unregister(py, fd, Role::Stream);
            drop(handler);
        }
        let text = std::ffi::CString::new(format!("unclosed transport <SocketTransport fd={fd}>")).unwrap_or_default();
        let warned = imports::resource_warning(py).and_then(|category| memory::warn(py, category, &text));
        // The garbage collector may have cleared the socket object already; its own finalizer has then closed the
        // socket.
        drop(memory::catch_no_memory(py, || close_socket(py, taken)));
        let detached = memory::catch_no_memory(py, || server.map_or(Ok(()), |server| server.detach(py, fd)));
        for error in [warned, detached].into_iter().filter_map(Result::err) {
            memory::unraisable(py, error);
        }
    });
}
