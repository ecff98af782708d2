//! Sending: immediately if the queue is empty, otherwise in order as the socket accepts them; each datagram is sent as
//! a whole or not at all.
//!
//! Invariant: the poller watches for writing exactly while the queue holds datagrams, or held some when an error
//! occurred in between. The code that empties the queue also resumes the protocol and completes a pending close.

use std::io;

use ferrio_cpython::capi::buffer::{Chunk, Data};
use ferrio_cpython::capi::memory;
use ferrio_engine::Role;
use ferrio_sys::SocketAddress;
use pyo3::exceptions::{PyBlockingIOError, PyInterruptedError, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::super::endpoint::{Endpoint, call_protocol, callback_failed};
use super::super::flow;
use super::super::socket::write::{DROPPED_WRITES_BEFORE_WARNING, is_data, refused};
use super::peers::Family;
use super::{DatagramTransport, close};
use crate::common::imports;
use crate::event_loop::exception_handler;
use crate::event_loop::handler::Handler;

/// The destination of a datagram.
pub(super) enum Destination {
    /// To the peer that the socket is connected to.
    Peer,
    /// An address that is passed to the system as it is.
    Address(SocketAddress),
    /// An address that Python's socket object converts.
    Object(Py<PyAny>),
}

impl Destination {
    pub(super) fn of(family: Family, address: &Bound<'_, PyAny>) -> Self {
        match family.numeric(address) {
            Some(address) => Self::Address(address),
            None => Self::Object(address.clone().unbind()),
        }
    }

    fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Peer => Self::Peer,
            Self::Address(address) => Self::Address(address.clone()),
            Self::Object(address) => Self::Object(address.clone_ref(py)),
        }
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Peer | Self::Address(_) => Ok(()),
            Self::Object(address) => visit.call(address),
        }
    }
}

/// A datagram in the queue.
pub(super) struct Datagram {
    data: Chunk,
    pub(super) destination: Destination,
}

/// The outcome of an attempt to send.
enum Attempt {
    Sent,
    WouldBlock,
    Failed(PyErr),
}

#[pymethods]
impl DatagramTransport {
    /// Send bytes, bytearray or memoryview to `addr`, or to the remote address if one was given.
    #[pyo3(signature = (data, addr=None))]
    fn sendto(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>, addr: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if !is_data(data) {
            return Err(refused(data, "bytes-like object"));
        }
        if data.len()? == 0 && imports::python_version(py) < (3, 13) {
            return Ok(());
        }
        let destination = this.destination(py, addr)?;
        let (lost, closed, idle) =
            this.state.with(py, |state| (state.lost, state.sock.is_none(), state.queue.is_empty()));
        if lost > 0 && (this.remote.is_some() || closed) {
            return dropped(slf, lost);
        }
        let object = data;
        let data = match Data::from_object(object) {
            Ok(data) => data,
            Err(error) => return close::fatal_error(slf, error, "Fatal write error on datagram transport"),
        };
        if idle {
            let natively = data.with(py, |bytes| this.send_natively(py, &destination, bytes));
            match natively.map_or_else(|| send_by_object(slf, object, &destination), attempt) {
                Attempt::Sent => return Ok(()),
                Attempt::WouldBlock => watch(slf)?,
                Attempt::Failed(error) if error.is_instance_of::<PyOSError>(py) => {
                    return match this.protocol(py) {
                        Some(protocol) => protocol.call_method1(name!("error_received"), (error,)).map(drop),
                        None => Ok(()),
                    };
                }
                Attempt::Failed(error) => {
                    return close::fatal_error(slf, error, "Fatal write error on datagram transport");
                }
            }
        }
        let size = data.len() + this.header;
        let datagram = Datagram { data: data.into_chunk(py, 0)?, destination };
        if this.state.with(py, |state| state.queue.try_reserve(1).is_err()) {
            return Err(memory::out_of_memory(py));
        }
        this.state.with(py, |state| {
            state.queue.push_back(datagram);
            state.queued += size;
        });
        flow::maybe_pause(slf)
    }

    /// How many bytes wait to be sent.
    fn get_write_buffer_size(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.queued)
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

    #[getter]
    fn _protocol_paused(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.flow.is_paused())
    }
}

impl DatagramTransport {
    fn destination(&self, py: Python<'_>, given: Option<&Bound<'_, PyAny>>) -> PyResult<Destination> {
        if let Some((remote, destination)) = &self.remote {
            if let Some(given) = given
                && !given.is(remote)
                && !given.eq(remote)?
            {
                let text = format!("Invalid address: must be None or {}", remote.bind(py).str()?);
                return Err(ferrio_cpython::error::<PyValueError>(text));
            }
            return Ok(if self.connected { Destination::Peer } else { destination.clone_ref(py) });
        }
        if self.connected {
            return Ok(Destination::Peer);
        }
        Ok(match given {
            Some(given) => Destination::of(self.family, given),
            None => Destination::Object(py.None()),
        })
    }
}

fn attempt(outcome: io::Result<()>) -> Attempt {
    match outcome {
        Ok(()) => Attempt::Sent,
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
            Attempt::WouldBlock
        }
        Err(error) => Attempt::Failed(exception_handler::from_io(&error)),
    }
}

/// Sends through Python's socket object, which looks up names and scopes and refuses everything that is no address.
#[cold]
fn send_by_object(
    transport: &Bound<'_, DatagramTransport>,
    data: &Bound<'_, PyAny>,
    destination: &Destination,
) -> Attempt {
    let py = transport.py();
    let sock = transport.get().state.with(py, |state| state.sock.as_ref().map(|sock| sock.bind(py).clone()));
    let (Some(sock), Destination::Object(address)) = (sock, destination) else { return Attempt::Sent };
    match sock.call_method1(name!("sendto"), (data, address)) {
        Ok(_) => Attempt::Sent,
        Err(error)
            if error.is_instance_of::<PyBlockingIOError>(py) || error.is_instance_of::<PyInterruptedError>(py) =>
        {
            Attempt::WouldBlock
        }
        Err(error) => Attempt::Failed(error),
    }
}

fn watch(transport: &Bound<'_, DatagramTransport>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let Some(owner) = this.owner(py) else { return Ok(()) };
    let replaced = owner.get().io.register(py, this.fd, Role::Writer, Handler::transport(transport, on_writable))?;
    replaced.into_iter().try_for_each(|handler| handler.retire(py))
}

/// Stops watching for writing.
pub(super) fn unwatch(transport: &Bound<'_, DatagramTransport>) {
    let py = transport.py();
    let handler =
        transport.get().owner(py).and_then(|owner| owner.get().io.unregister(py, transport.get().fd, Role::Writer));
    drop(handler);
}

/// Handles a write event: the socket accepts datagrams again.
fn on_writable(object: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    let transport = object.cast::<DatagramTransport>()?;
    let py = transport.py();
    let this = transport.get();
    if this.state.with(py, |state| state.lost > 0) {
        return Ok(());
    }
    match send_queued(transport) {
        Attempt::Sent | Attempt::WouldBlock => {}
        // The poller reports the socket as writable again immediately; the remaining datagrams are sent then.
        Attempt::Failed(error) if error.is_instance_of::<PyOSError>(py) => {
            let Some(protocol) = this.protocol(py) else { return Ok(()) };
            return match call_protocol(this, &protocol, pyo3::intern!(py, "error_received"), (error,)) {
                Ok(_) => Ok(()),
                Err(raised) => callback_failed(transport, &protocol, "error_received", raised),
            };
        }
        Attempt::Failed(error) => {
            return close::fatal_error(transport, error, "Fatal write error on datagram transport");
        }
    }
    flow::maybe_resume(transport)?;
    let (empty, closing) = this.state.with(py, |state| (state.queue.is_empty() && state.lost == 0, state.closing));
    if empty {
        unwatch(transport);
        if closing {
            this.state.with(py, |state| state.lost += 1);
            return close::connection_lost(transport);
        }
    }
    Ok(())
}

/// Sends until the queue is empty, the socket would block or an error occurs; the datagram with the error is dropped.
fn send_queued(transport: &Bound<'_, DatagramTransport>) -> Attempt {
    let py = transport.py();
    let this = transport.get();
    while let Some(datagram) = this.state.with(py, |state| state.queue.pop_front()) {
        let bytes = datagram.data.as_ref();
        let size = bytes.len() + this.header;
        let natively = this.send_natively(py, &datagram.destination, bytes);
        let outcome = natively.map_or_else(
            || match memory::bytes(py, bytes) {
                Ok(bytes) => send_by_object(transport, bytes.as_any(), &datagram.destination),
                Err(error) => Attempt::Failed(error),
            },
            attempt,
        );
        let left = this.state.with(py, |state| match outcome {
            Attempt::WouldBlock => {
                state.queue.push_front(datagram);
                None
            }
            Attempt::Sent | Attempt::Failed(_) => {
                state.queued = state.queued.saturating_sub(size);
                Some(datagram)
            }
        });
        drop(left);
        match outcome {
            Attempt::Sent => {}
            Attempt::WouldBlock | Attempt::Failed(_) => return outcome,
        }
    }
    Attempt::Sent
}

#[cold]
fn dropped(transport: &Bound<'_, DatagramTransport>, lost: u32) -> PyResult<()> {
    let py = transport.py();
    if lost >= DROPPED_WRITES_BEFORE_WARNING {
        imports::selector_events_logger(py)?.call_method1(name!("warning"), ("socket.send() raised exception.",))?;
    }
    transport.get().state.with(py, |state| state.lost = state.lost.saturating_add(1));
    Ok(())
}
