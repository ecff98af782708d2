//! Receiving: from the poller to the protocol, several datagrams per event.

use std::io;

use ferrio_cpython::HandleRef;
use ferrio_cpython::capi::context;
use ferrio_cpython::capi::memory;
use ferrio_engine::Role;
use ferrio_sys::SocketAddress;
use pyo3::exceptions::{PyBlockingIOError, PyInterruptedError, PyOSError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use super::super::address;
use super::super::endpoint::Endpoint;
use super::peers::Family;
use super::{DatagramTransport, close};
use crate::common::imports;
use crate::event_loop::exception_handler;
use crate::event_loop::handler::Handler;
use crate::event_loop::recorded_calls;
use crate::event_loop::{Loop, base};

/// Maximum number of datagrams per turn, so that other handlers get to run.
const DATAGRAMS_PER_TURN: usize = 16;

/// The largest datagram in bytes that is received whole (`_SelectorTransport.max_size`).
pub(super) const LARGEST: usize = 256 * 1024;

/// Starts watching for datagrams, if the protocol is to receive them.
pub(super) fn watch(transport: &Bound<'_, DatagramTransport>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let Some(owner) = this.owner(py).filter(|_| this.reads(py)) else { return Ok(()) };
    let watched = owner.get().io.register(py, this.fd, Role::Reader, Handler::transport(transport, on_readable));
    match watched {
        Ok(replaced) => replaced.into_iter().try_for_each(|handler| handler.retire(py)),
        Err(error) => report(transport, &owner, error),
    }
}

/// Stops watching for datagrams.
pub(super) fn unwatch(transport: &Bound<'_, DatagramTransport>) {
    let py = transport.py();
    let handler =
        transport.get().owner(py).and_then(|owner| owner.get().io.unregister(py, transport.get().fd, Role::Reader));
    drop(handler);
}

/// Handles a read event of the poller. Datagrams beyond this turn's limit are reported again.
fn on_readable(object: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    let transport = object.cast::<DatagramTransport>()?;
    let py = transport.py();
    let this = transport.get();
    let Some(owner) = this.owner(py) else { return Ok(()) };
    context::run_in(py, this.context.bind(py), || {
        for _ in 0..DATAGRAMS_PER_TURN {
            let (true, Some(protocol)) = (this.reads(py), this.protocol(py)) else { return Ok(()) };
            let called = match receive(transport, &owner) {
                Received::Datagram(data, sender) => {
                    protocol.call_method1(pyo3::intern!(py, "datagram_received"), (data, sender))
                }
                Received::Nothing => return Ok(()),
                Received::Failed(error) if error.is_instance_of::<PyOSError>(py) => {
                    protocol.call_method1(pyo3::intern!(py, "error_received"), (error,))
                }
                Received::Failed(error) => {
                    return close::fatal_error(transport, error, "Fatal read error on datagram transport");
                }
            };
            if let Err(error) = called {
                report(transport, &owner, error)?;
            }
        }
        Ok(())
    })
}

/// The outcome of a receive.
enum Received<'py> {
    Datagram(Bound<'py, PyBytes>, Bound<'py, PyAny>),
    Nothing,
    Failed(PyErr),
}

fn receive<'py>(transport: &Bound<'py, DatagramTransport>, owner: &Bound<'py, Loop>) -> Received<'py> {
    let py = transport.py();
    let this = transport.get();
    if this.family == Family::Other {
        return receive_by_object(transport);
    }
    let received = owner.get().io.with_receive_buffer(py, |buffer| {
        let (count, sender) = recorded_calls::receive_from(owner, this.fd, buffer)?;
        Ok((memory::bytes(py, &buffer[..count]), sender))
    });
    match received {
        Ok((data, sender)) => match data.and_then(|data| Ok((data, show(transport, sender)?))) {
            Ok((data, sender)) => Received::Datagram(data, sender),
            Err(error) => Received::Failed(error),
        },
        Err(error) => refused(&error),
    }
}

fn refused<'py>(error: &io::Error) -> Received<'py> {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Received::Nothing,
        _ => Received::Failed(exception_handler::from_io(error)),
    }
}

/// The sender in the form of Python's socket module; None if it has no address.
#[inline]
fn show<'py>(transport: &Bound<'py, DatagramTransport>, sender: Option<SocketAddress>) -> PyResult<Bound<'py, PyAny>> {
    let py = transport.py();
    let state = &transport.get().state;
    let Some(sender) = sender else { return Ok(py.None().into_bound(py)) };
    if let Some(known) = state.with(py, |state| state.peers.find(py, &sender)) {
        return Ok(known);
    }
    let shown = address::to_python(py, &sender)?;
    let owned = shown.clone().unbind();
    let before = state.with(py, |state| state.peers.remember(sender, owned));
    drop(before);
    Ok(shown)
}

fn receive_by_object<'py>(transport: &Bound<'py, DatagramTransport>) -> Received<'py> {
    let py = transport.py();
    let sock = transport.get().state.with(py, |state| state.sock.as_ref().map(|sock| sock.bind(py).clone()));
    let Some(sock) = sock else { return Received::Nothing };
    match sock.call_method1(name!("recvfrom"), (LARGEST,)).and_then(|received| received.extract()) {
        Ok((data, sender)) => Received::Datagram(data, sender),
        Err(error)
            if error.is_instance_of::<PyBlockingIOError>(py) || error.is_instance_of::<PyInterruptedError>(py) =>
        {
            Received::Nothing
        }
        Err(error) => Received::Failed(error),
    }
}

/// Reports an exception from the protocol, as asyncio reports one from its own `_read_ready`; the transport stays open.
#[cold]
fn report(transport: &Bound<'_, DatagramTransport>, owner: &Bound<'_, Loop>, error: PyErr) -> PyResult<()> {
    let py = transport.py();
    if exception_handler::must_propagate(py, &error) {
        return Err(error);
    }
    let callback = transport.getattr(name!("_read_ready"))?;
    HandleRef::unscheduled(owner.as_super(), &callback, &PyTuple::empty(py))?.report_error(py, error)
}

#[pymethods]
impl DatagramTransport {
    /// Receive pending datagrams.
    fn _read_ready(slf: &Bound<'_, Self>) -> PyResult<()> {
        on_readable(slf.as_any(), 0)
    }

    /// Whether the protocol is being told of datagrams.
    fn is_reading(slf: &Bound<'_, Self>) -> bool {
        slf.get().state.with(slf.py(), |state| !state.closing && !state.paused)
    }

    /// Tell the protocol of no datagrams until `resume_reading()`.
    fn pause_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let paused = slf.get().state.with(py, |state| {
            let reading = !state.closing && !state.paused;
            state.paused |= reading;
            reading
        });
        if !paused {
            return Ok(());
        }
        unwatch(slf);
        log(slf, "%r pauses reading")
    }

    /// Tell the protocol of datagrams again.
    fn resume_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let resumed = slf.get().state.with(py, |state| {
            let resumed = !state.closing && state.paused;
            state.paused &= !resumed;
            resumed
        });
        if !resumed {
            return Ok(());
        }
        watch(slf)?;
        log(slf, "%r resumes reading")
    }
}

fn log(transport: &Bound<'_, DatagramTransport>, text: &str) -> PyResult<()> {
    let py = transport.py();
    if transport.get().owner(py).is_some_and(|owner| base(&owner).debug.get()) {
        imports::selector_events_logger(py)?.call_method1(name!("debug"), (text, transport))?;
    }
    Ok(())
}
