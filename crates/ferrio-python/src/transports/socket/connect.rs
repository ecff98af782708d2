//! The first turns of a transport: created for a connected socket, it calls `connection_made`, then begins to read.

use std::os::fd::RawFd;

use ferrio_cpython::{GilCell, Runnable};
use ferrio_engine::{FlowControl, Role, WriteBuffer};
use ferrio_sys::{SocketAddress, socket};
use pyo3::prelude::*;

use super::joined_writes::JoinedWrites;
use super::lifecycle::{Input, Lifecycle};
use super::server_link::ServerLink;
use super::{FirstData, Sink, Socket, SocketTransport, State, read};
use crate::common::imports;
use crate::event_loop::handler::Handler;
use crate::event_loop::readers;
use crate::event_loop::recorded_calls;
use crate::event_loop::{Loop, base};
use crate::transports::address;
use crate::transports::endpoint::{callback_failed, wake_waiter};
use crate::transports::exclusive::Exclusive;

/// The parts of a new transport.
pub(crate) struct Connection<'py> {
    pub(crate) socket: Socket,
    pub(crate) fd: RawFd,
    pub(crate) peer: Option<SocketAddress>,
    pub(crate) protocol: Bound<'py, PyAny>,
    pub(crate) server: Option<ServerLink>,
    pub(crate) context: Bound<'py, PyAny>,
}

/// Creates the transport of a connected socket. In the next turn it calls `connection_made`, begins to read and sets
/// the waiter's result, all in `context`, which belongs to the connection.
pub(crate) fn connect<'py>(
    slf: &Bound<'py, Loop>,
    sock: Bound<'py, PyAny>,
    protocol: Bound<'py, PyAny>,
    context: Bound<'py, PyAny>,
    waiter: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    let fd: RawFd = sock.call_method0(name!("fileno"))?.extract()?;
    readers::refuse_used(slf, fd, &sock)?;
    let peer = if base(slf).has_simulated_io() {
        address::of_simulated(&sock, "getpeername")
    } else {
        socket::peer_address(fd).ok()
    };
    let connection =
        Connection { peer, socket: Socket::Object(sock.clone().unbind()), fd, protocol, server: None, context };
    let transport = attach(slf, connection, waiter)?;
    if sock.is_instance(imports::socket_class(py)?)? {
        count_in(&sock)?;
        let sock = Socket::Counted(sock.unbind());
        let before = transport.get().state.with(py, |state| std::mem::replace(&mut state.socket, sock));
        drop(before);
    }
    Ok(transport.into_any())
}

/// Counts the transport among the users of a socket object, as `makefile` does, so that `close()` waits for it. If the
/// descriptor were closed under the transport, another file could get its number.
fn count_in(sock: &Bound<'_, PyAny>) -> PyResult<()> {
    let name = pyo3::intern!(sock.py(), "_io_refs");
    sock.setattr(name, sock.getattr(name)?.extract::<isize>()? + 1)
}

/// Creates a transport; see `connect`.
pub(crate) fn attach<'py>(
    slf: &Bound<'py, Loop>,
    connection: Connection<'py>,
    waiter: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, SocketTransport>> {
    let py = slf.py();
    base(slf).check_open()?;
    let Connection { socket, fd, peer, protocol, server, context } = connection;
    if matches!(peer, Some(SocketAddress::V4 { .. } | SocketAddress::V6 { .. })) {
        // Small writes need not wait for acknowledgements. Other sockets than TCP refuse this.
        let _ = socket::set_nodelay(fd);
    }
    // asyncio looks the method up here, so a protocol without it gets no connection.
    protocol.getattr(pyo3::intern!(py, "connection_made"))?;
    let local = if slf.get().io.tape.is_on() { recorded_calls::local_address(slf, fd) } else { None };
    let sink = Sink::of(&protocol)?;
    let first_data = match (&sink, &waiter) {
        (Sink::Tls(_), _) => FirstData::Immediate,
        (_, None) => FirstData::NextTurn,
        (_, Some(_)) => FirstData::AfterWaiter,
    };
    let state = State {
        first_data,
        owner: Some(slf.clone().unbind()),
        protocol: Some(protocol.unbind()),
        server,
        socket,
        peer,
        local,
        extra: None,
        buffer: WriteBuffer::new(),
        coalesced: Vec::new(),
        listed: false,
        joined: JoinedWrites::new(),
        shown: false,
        flow: FlowControl::new(),
        sink,
        bulk: false,
        lifecycle: Lifecycle::Starting,
        input: Input::Drained,
        paused: false,
        paused_at: 0,
        keeps_alive: true,
        exclusive: Exclusive::No,
        eof_written: false,
    };
    let transport = Bound::new(py, SocketTransport { fd, context: context.unbind(), state: GilCell::new(state) })?;
    base(slf).reserve(py, 3)?;
    let replaced = slf.get().io.register(py, fd, Role::Stream, Handler::native(&transport, read::on_event))?;
    for handler in replaced {
        handler.retire(py)?;
    }
    if let Some(server) =
        transport.get().state.with(py, |state| state.server.as_ref().map(|server| server.clone_ref(py)))
    {
        server.attach(py, fd)?;
    }
    base(slf).push_reserved(py, Runnable::native(transport.clone(), begin, 0));
    if let Some(waiter) = waiter {
        base(slf).push_reserved(py, Runnable::native(waiter, wake_waiter, 0));
        base(slf).push_reserved(py, Runnable::native(transport.clone(), start_next_turn, 0));
    }
    Ok(transport)
}

/// First turn of a connection: calls `connection_made`. Data comes in the second turn, after the tasks that this woke,
/// so that the code that awaited the connection can pause it or set another protocol first.
fn begin(object: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    let transport = object.cast::<SocketTransport>()?;
    let py = transport.py();
    let this = transport.get();
    if let Some(protocol) = this.protocol(py) {
        let made = this.call_protocol(&protocol, pyo3::intern!(py, "connection_made"), (transport,));
        if let Err(error) = made {
            callback_failed(transport, &protocol, "connection_made", error)?;
        }
    }
    match this.state.with(py, |state| std::mem::replace(&mut state.first_data, FirstData::UnderWay)) {
        FirstData::Immediate => start(object, 0),
        FirstData::NextTurn => start_next_turn(object, 0),
        FirstData::AfterWaiter | FirstData::UnderWay => Ok(()),
    }
}

fn start_next_turn(object: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    let transport = object.cast::<SocketTransport>()?;
    if let Some(owner) = transport.get().owner(transport.py()) {
        base(&owner).push_reserved(transport.py(), Runnable::native(transport.clone(), start, 0));
    }
    Ok(())
}

/// Reading begins.
fn start(object: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    let transport = object.cast::<SocketTransport>()?;
    let readable = transport.get().state.with(transport.py(), |state| {
        state.lifecycle.start();
        state.input.may_read()
    });
    if readable { read::read(transport) } else { Ok(()) }
}
