//! `DatagramTransport`: a datagram socket and its protocol.
//!
//! The socket is a Python object, the user's or one that ferrio created. It is level-triggered: watched for reading
//! while the protocol receives datagrams, for writing while datagrams are queued. The system reports a socket as
//! writable after each datagram, so an edge-triggered registration would wake the loop once more for every message.
//! States: open, *closing* (no more reading; queued datagrams are sent), *lost* (the only call of `connection_lost` is
//! queued or done). Receiving, sending, closing and peer addresses have a file each.
//!
//! Protocol methods may do anything, including closing the transport: after each call the state is read again.

use std::collections::VecDeque;
use std::os::fd::RawFd;

use ferrio_cpython::capi::context;
use ferrio_cpython::capi::memory::{self, Text};
use ferrio_cpython::{GilCell, Runnable};
use ferrio_engine::{FlowControl, Operation, Role};
use ferrio_sys::socket;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{PyTraverseError, PyVisit};

use super::endpoint::{Endpoint, call_protocol, callback_failed, wake_waiter};
use crate::common::imports;
use crate::event_loop::readers;
use crate::event_loop::recorded_calls;
use crate::event_loop::recording;
use crate::event_loop::{Loop, base};

mod close;
mod peers;
mod private_attributes;
mod receive;
mod send;

use peers::{Family, Peers};
use send::{Datagram, Destination};

/// Bytes that each queued datagram counts in addition to its data, from 3.13 on.
const HEADER: usize = 8;

/// A datagram endpoint. Its `__class__` names asyncio's own: the one class that is both an `asyncio.Transport` and an
/// `asyncio.DatagramTransport`.
#[pyclass(frozen, weakref, module = "ferrio", name = "_SelectorDatagramTransport")]
pub(crate) struct DatagramTransport {
    fd: RawFd,
    family: Family,
    /// The context that protocol methods run in: a copy of the one in which the endpoint was created.
    context: Py<PyAny>,
    /// The only address to send to, if one was given: as the user passed it, and converted.
    remote: Option<(Py<PyAny>, Destination)>,
    /// Whether the socket is connected to a peer with an address: no other destination is possible.
    connected: bool,
    /// `HEADER`; 0 in older Pythons.
    header: usize,
    /// "socket", "sockname" and "peername".
    extra: Py<PyDict>,
    state: GilCell<State>,
}

/// The mutable state of a transport.
struct State {
    /// None once the connection is lost.
    owner: Option<Py<Loop>>,
    /// None once the connection is lost.
    protocol: Option<Py<PyAny>>,
    /// None once the socket is closed.
    sock: Option<Py<PyAny>>,
    queue: VecDeque<Datagram>,
    /// Size of the queue in bytes, headers included.
    queued: usize,
    flow: FlowControl,
    peers: Peers,
    /// Whether `connection_made` was called: reading may begin.
    started: bool,
    /// Whether `pause_reading` was called.
    paused: bool,
    closing: bool,
    /// 0 while open; then 1 plus the number of datagrams dropped since, as asyncio counts.
    lost: u32,
    /// The exception that `connection_lost` will get.
    error: Option<Py<PyAny>>,
}

/// Creates a transport. The next turn calls the protocol's `connection_made`, starts reading and sets the waiter's
/// result.
pub(crate) fn attach<'py>(
    slf: &Bound<'py, Loop>,
    sock: &Bound<'py, PyAny>,
    protocol: Bound<'py, PyAny>,
    remote: Option<Bound<'py, PyAny>>,
    waiter: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, DatagramTransport>> {
    let py = slf.py();
    base(slf).check_open()?;
    let fd: RawFd = sock.call_method0(name!("fileno"))?.extract()?;
    readers::refuse_used(slf, fd, sock)?;
    // The methods of a simulated socket know its addresses, its descriptor does not.
    let family =
        if base(slf).has_simulated_io() && !slf.get().io.tape.is_on() { Family::Other } else { Family::of(sock)? };
    let extra = extra_info(sock)?;
    let connected = extra.get_item(name!("peername"))?.is_some_and(|peer| peer.is_truthy().unwrap_or(false));
    let remote = match remote {
        Some(address) if address.is_truthy()? => {
            let destination = Destination::of(family, &address);
            Some((address.unbind(), destination))
        }
        Some(_) | None => None,
    };
    let state = State {
        owner: Some(slf.clone().unbind()),
        protocol: Some(protocol.unbind()),
        sock: Some(sock.clone().unbind()),
        queue: VecDeque::new(),
        queued: 0,
        flow: FlowControl::new(),
        peers: Peers::default(),
        started: false,
        paused: false,
        closing: false,
        lost: 0,
        error: None,
    };
    let transport = DatagramTransport {
        fd,
        family,
        context: context::copy_current(py)?.unbind(),
        remote,
        connected,
        header: if imports::python_version(py) >= (3, 13) { HEADER } else { 0 },
        extra: extra.unbind(),
        state: GilCell::new(state),
    };
    let transport = Bound::new(py, transport)?;
    base(slf).reserve(py, 2)?;
    base(slf).push_reserved(py, Runnable::native(transport.clone(), begin, 0));
    base(slf).push_reserved(py, Runnable::native(waiter, wake_waiter, 0));
    Ok(transport)
}

fn extra_info<'py>(sock: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    let py = sock.py();
    let extra = memory::dict(py)?;
    extra.set_item(name!("socket"), imports::transport_socket(py)?.call1((sock,))?)?;
    for (name, method) in [("sockname", "getsockname"), ("peername", "getpeername")] {
        let address = match sock.call_method0(method) {
            Ok(address) => address,
            Err(error) if error.is_instance_of::<PyOSError>(py) => py.None().into_bound(py),
            Err(error) => return Err(error),
        };
        extra.set_item(name, address)?;
    }
    Ok(extra)
}

/// Starts a transport in its first turn.
fn begin(object: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    let transport = object.cast::<DatagramTransport>()?;
    let py = transport.py();
    if let Some(protocol) = transport.get().protocol(py) {
        let made = call_protocol(transport.get(), &protocol, pyo3::intern!(py, "connection_made"), (transport,));
        if let Err(error) = made {
            callback_failed(transport, &protocol, "connection_made", error)?;
        }
    }
    transport.get().state.with(py, |state| state.started = true);
    receive::watch(transport)
}

impl Endpoint for DatagramTransport {
    const STOCK: (&'static str, &'static str) = ("asyncio.selector_events", "_SelectorDatagramTransport");

    fn owner<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Loop>> {
        self.state.with(py, |state| state.owner.as_ref().map(|owner| owner.bind(py).clone()))
    }

    fn protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.protocol.as_ref().map(|protocol| protocol.bind(py).clone()))
    }

    fn context(&self) -> &Py<PyAny> {
        &self.context
    }

    fn with_flow<R>(&self, py: Python<'_>, look: impl FnOnce(&mut FlowControl, usize) -> R) -> R {
        self.state.with(py, |state| look(&mut state.flow, state.queued))
    }
}

#[pymethods]
impl DatagramTransport {
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<&'py Bound<'py, PyAny>> {
        imports::datagram_transport_class(slf.py())
    }

    /// Optional information: "peername", "sockname", "socket"; `default` for what is not known.
    #[pyo3(signature = (name, default=None))]
    fn get_extra_info<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(slf.get().extra.bind(slf.py()).get_item(name)?.or(default))
    }

    /// Set another protocol; the old one is told nothing.
    fn set_protocol(slf: &Bound<'_, Self>, protocol: Py<PyAny>) {
        let before = slf.get().state.with(slf.py(), |state| state.protocol.replace(protocol));
        drop(before);
    }

    /// The current protocol.
    fn get_protocol<'py>(slf: &Bound<'py, Self>) -> Option<Bound<'py, PyAny>> {
        slf.get().protocol(slf.py())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> Text {
        let py = slf.py();
        let this = slf.get();
        let (closed, closing, size) = this.state.with(py, |state| (state.sock.is_none(), state.closing, state.queued));
        let name = "_SelectorDatagramTransport";
        let state_text = if closed {
            " closed"
        } else if closing {
            " closing"
        } else {
            ""
        };
        let fd = this.fd;
        let Some(owner) = this.owner(py).filter(|owner| !base(owner).closed.get()) else {
            return Text(format!("<{name}{state_text} fd={fd}>"));
        };
        let polled = |role| {
            let watched = owner.get().io.registrations.with(py, |registrations| {
                registrations.get(fd).is_some_and(|entry| match role {
                    Role::Reader => entry.reader().is_some(),
                    Role::Writer => entry.writer().is_some(),
                    Role::Stream => false,
                })
            });
            if watched { "polling" } else { "idle" }
        };
        let (reading, writing) = (polled(Role::Reader), polled(Role::Writer));
        Text(format!("<{name}{state_text} fd={fd} read={reading} write=<{writing}, bufsize={size}>>"))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.context)?;
        visit.call(&self.extra)?;
        if let Some((address, destination)) = &self.remote {
            visit.call(address)?;
            destination.traverse(&visit)?;
        }
        let outcome = self.state.traverse(&visit, |state| {
            visit.call(&state.owner)?;
            visit.call(&state.protocol)?;
            visit.call(&state.sock)?;
            visit.call(&state.error)?;
            state.queue.iter().try_for_each(|datagram| datagram.destination.traverse(&visit))
        });
        outcome.transpose().map(drop)
    }

    fn __clear__(&self, py: Python<'_>) {
        let taken = self.state.with(py, |state| (state.owner.take(), state.protocol.take(), state.error.take()));
        drop(taken);
    }
}

impl Drop for DatagramTransport {
    fn drop(&mut self) {
        close::finalize_unclosed(self);
    }
}

impl DatagramTransport {
    /// Whether the protocol is to receive datagrams.
    fn reads(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.started && !state.closing && !state.paused && state.lost == 0)
    }

    /// Sends one datagram by a system call; None if the destination needs Python's socket object.
    fn send_natively(&self, py: Python<'_>, destination: &Destination, data: &[u8]) -> Option<std::io::Result<()>> {
        let send = || match destination {
            Destination::Peer => socket::send(self.fd, data).map(drop),
            Destination::Address(address) => socket::send_to(self.fd, data, address),
            Destination::Object(_) => Ok(()),
        };
        if matches!(destination, Destination::Object(_)) {
            return None;
        }
        if !recording::is_any() {
            return Some(send());
        }
        let outcome =
            recorded_calls::number(py, || self.owner(py), Operation::SendTo, data.len(), || send().map(|()| 0));
        Some(outcome.map(drop))
    }
}
