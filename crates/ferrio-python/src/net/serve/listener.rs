//! `Listener`: accepts connections on one listening socket.
//!
//! It accepts up to `backlog` connections per turn, each as a bare descriptor; a Python socket object is created only
//! when a protocol requests it. If the system has no descriptors or memory left, it reports that and pauses for a
//! second, as asyncio does, because the socket stays readable.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use ferrio_cpython::capi::context;
use ferrio_cpython::capi::memory;
use ferrio_cpython::{GilFlag, HandleRef};
use ferrio_engine::Role;
use ferrio_sys::{SocketAddress, socket};
use pyo3::exceptions::PyBlockingIOError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};

use crate::common::imports;
use crate::event_loop::exception_handler;
use crate::event_loop::handler::Handler;
use crate::event_loop::recorded_calls;
use crate::event_loop::{Loop, base};
use crate::net::serve::server::Server;
use crate::transports;
use crate::transports::socket::Socket;
use crate::transports::socket::connect::Connection;
use crate::transports::{address, tls};

/// Seconds of pause if accepting fails for lack of resources (`constants.ACCEPT_RETRY_DELAY`).
const RETRY_DELAY: f64 = 1.0;

/// One listening socket of a server.
#[pyclass(frozen, weakref, module = "ferrio")]
pub(crate) struct Listener {
    server: Py<Server>,
    sock: Py<PyAny>,
    fd: RawFd,
    closed: GilFlag,
}

impl Listener {
    /// The server that it accepts for.
    pub(crate) fn server<'py>(&self, py: Python<'py>) -> &Bound<'py, Server> {
        self.server.bind(py)
    }
}

#[pymethods]
impl Listener {
    /// Resume accepting after a pause.
    fn _resume(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.get().closed.get() { Ok(()) } else { watch(slf) }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.server)?;
        visit.call(&self.sock)
    }
}

/// Starts to accept on `sock`.
pub(crate) fn open<'py>(server: &Bound<'py, Server>, sock: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Listener>> {
    let fd: RawFd = sock.call_method0(name!("fileno"))?.extract()?;
    let listener =
        Listener { server: server.clone().unbind(), sock: sock.clone().unbind(), fd, closed: GilFlag::default() };
    let owner = server.get().owner.bind(sock.py());
    if owner.get().io.tape.is_on() {
        let local = recorded_calls::local_address(owner, fd);
        // The replay of a recording has a stand-in for the socket.
        if let (Some(local), Some(bind)) = (local, sock.getattr_opt(name!("bound_by_recording"))?) {
            bind.call1((address::to_python(sock.py(), &local)?,))?;
        }
    }
    let listener = Bound::new(sock.py(), listener)?;
    watch(&listener)?;
    Ok(listener)
}

/// Stops accepting. The socket itself is closed by the server.
pub(crate) fn close(slf: &Bound<'_, Listener>) -> PyResult<()> {
    slf.get().closed.set(true);
    unwatch(slf)
}

fn owner<'py>(slf: &Bound<'py, Listener>) -> Bound<'py, Loop> {
    slf.get().server.get().owner.bind(slf.py()).clone()
}

fn watch(slf: &Bound<'_, Listener>) -> PyResult<()> {
    let py = slf.py();
    let owner = owner(slf);
    base(&owner).check_open()?;
    let replaced = owner.get().io.register(py, slf.get().fd, Role::Reader, Handler::native(slf, accept_waiting))?;
    replaced.into_iter().try_for_each(|handler| handler.retire(py))
}

fn unwatch(slf: &Bound<'_, Listener>) -> PyResult<()> {
    let py = slf.py();
    let owner = owner(slf);
    if base(&owner).closed.get() {
        return Ok(());
    }
    let handler = owner.get().io.unregister(py, slf.get().fd, Role::Reader);
    handler.map_or(Ok(()), |handler| handler.retire(py))
}

/// Accepts the pending connections.
fn accept_waiting(object: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    let slf = object.cast::<Listener>()?;
    let backlog = slf.get().server.get().backlog.count(slf.py()).max(1);
    let owner = owner(slf);
    let is_recorded = owner.get().io.tape.is_on();
    if base(&owner).has_simulated_io() && !is_recorded {
        return accept_simulated(slf, backlog);
    }
    for _ in 0..backlog {
        if slf.get().closed.get() {
            return Ok(());
        }
        let fd = slf.get().fd;
        match if is_recorded { recorded_calls::accept(&owner, fd) } else { socket::accept(fd) } {
            Ok((fd, peer)) => accept_one(slf, fd.as_raw_fd(), fd.into(), Some(peer))?,
            Err(error) => return refused(slf, &error),
        }
    }
    Ok(())
}

/// Accepts the pending connections of a simulated socket, which is no listening socket of the system's.
#[cold]
fn accept_simulated(slf: &Bound<'_, Listener>, backlog: usize) -> PyResult<()> {
    let py = slf.py();
    for _ in 0..backlog {
        if slf.get().closed.get() {
            return Ok(());
        }
        let accepted = match slf.get().sock.bind(py).call_method0(name!("accept")) {
            Ok(accepted) => accepted,
            Err(error) if error.is_instance_of::<PyBlockingIOError>(py) => return Ok(()),
            Err(error) => return Err(error),
        };
        let (sock, peer): (Bound<'_, PyAny>, Bound<'_, PyAny>) = accepted.extract()?;
        sock.call_method1(name!("setblocking"), (false,))?;
        let fd = sock.call_method0(name!("fileno"))?.extract()?;
        accept_one(slf, fd, Socket::Object(sock.unbind()), address::from_python(&peer))?;
    }
    Ok(())
}

/// Handles a failed accept: no connection pending, out of resources, or broken.
fn refused(slf: &Bound<'_, Listener>, error: &io::Error) -> PyResult<()> {
    let py = slf.py();
    let kind = error.kind();
    if matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted) {
        return Ok(());
    }
    let owner = owner(slf);
    let raised = exception_handler::from_io(error);
    if !socket::is_out_of_resources(error) {
        let handle = HandleRef::unscheduled(owner.as_super(), &slf.getattr(name!("_resume"))?, &PyTuple::empty(py))?;
        return handle.report_error(py, raised);
    }
    let shown = imports::transport_socket(py)?.call1((&slf.get().sock,))?;
    exception_handler::report(&owner, "socket.accept() out of system resource", &raised, &[("socket", &shown)])?;
    unwatch(slf)?;
    owner.call_method1(name!("call_later"), (RETRY_DELAY, slf.getattr(name!("_resume"))?))?;
    Ok(())
}

/// Creates the protocol and transport of a new connection, in a context of its own.
fn accept_one(slf: &Bound<'_, Listener>, fd: RawFd, socket: Socket, peer: Option<SocketAddress>) -> PyResult<()> {
    let py = slf.py();
    let owner = owner(slf);
    let server = slf.get().server.bind(py);
    if base(&owner).debug.get() {
        log_connection(server, fd, peer.as_ref())?;
    }
    let own_context = context::copy(server.get().context.bind(py))?;
    let mut protocol = None;
    let outcome =
        context::run_in(py, &own_context, || server.get().protocol_factory.bind(py).call0()).and_then(|made| {
            protocol = Some(made.clone());
            let made = match &server.get().tls {
                Some(options) => tls::options::accept(&owner, made, options)?,
                None => made,
            };
            let connection = Connection {
                fd,
                socket,
                peer,
                protocol: made,
                server: Some(Server::link(server)),
                context: own_context.clone(),
            };
            transports::socket::connect::attach(&owner, connection, None)
        });
    let Err(error) = outcome else { return Ok(()) };
    if exception_handler::must_propagate(py, &error) {
        return Err(error);
    }
    if !base(&owner).debug.get() {
        // asyncio reports it in debug mode only; the connection is closed.
        return Ok(());
    }
    let message = "Error on transport creation for incoming connection";
    match &protocol {
        Some(protocol) => exception_handler::report(&owner, message, &error, &[("protocol", protocol)]),
        None => exception_handler::report(&owner, message, &error, &[]),
    }
}

fn log_connection(server: &Bound<'_, Server>, fd: RawFd, peer: Option<&SocketAddress>) -> PyResult<()> {
    let py = server.py();
    let keywords = memory::dict(py)?;
    let duplicate = ferrio_cpython::module(py, name!("os"))?.call_method1(name!("dup"), (fd,))?;
    keywords.set_item(name!("fileno"), duplicate)?;
    let sock = imports::socket_class(py)?.call((), Some(&keywords))?;
    let peer = peer.map(|peer| address::to_python(py, peer)).transpose()?;
    imports::selector_events_logger(py)?
        .call_method1(name!("debug"), ("%r got a new connection from %r: %r", server, peer, &sock))?;
    sock.call_method0(name!("close")).map(drop)
}
