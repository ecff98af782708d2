//! Connections and servers of a loop, for snapshots: what the registrations lead to. Nothing here changes a connection,
//! as some of asyncio's private attributes do that make a socket object when they are first read.

use std::os::fd::RawFd;

use ferrio_sys::SocketAddress;
use ferrio_sys::socket::{self, Counters};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::event_loop::Loop;
use crate::net::serve::server::Server;
use crate::transports::socket::SocketTransport;
use crate::transports::tls::TlsProtocol;

/// The objects whose descriptors a loop watches: transports, listeners, and what else has a native handler.
#[pyfunction]
#[pyo3(name = "_watched_by")]
pub(crate) fn watched_by<'py>(owner: &Bound<'py, Loop>) -> Vec<Bound<'py, PyAny>> {
    let py = owner.py();
    owner
        .get()
        .io
        .registrations
        .with(py, |registrations| registrations.handlers().filter_map(|handler| handler.target(py)).collect())
}

/// The loop and the protocol, None once the connection is lost; the descriptor, the local and the peer's address, how
/// many bytes are buffered, since when reading and writing are paused (nanoseconds, 0 for unknown), whether it is
/// closing, the TLS object with its information, and the server.
type Connection<'py> = (
    Option<Bound<'py, Loop>>,
    Option<Bound<'py, PyAny>>,
    RawFd,
    Option<String>,
    Option<String>,
    usize,
    (Option<u64>, Option<u64>),
    bool,
    Option<(Bound<'py, PyAny>, Option<Bound<'py, PyDict>>)>,
    Option<Bound<'py, PyAny>>,
);

/// What is known of a connection; None for other objects, and once its socket is closed.
#[pyfunction]
#[pyo3(name = "_connection_of")]
pub(crate) fn connection_of<'py>(transport: &Bound<'py, PyAny>) -> Option<Connection<'py>> {
    let py = transport.py();
    let transport = transport.cast_exact::<SocketTransport>().ok()?.get();
    let fd = transport.fd;
    let mut known: Connection<'py> = transport.state.with(py, |state| {
        if state.socket.is_closed() {
            return None;
        }
        let local = state.local.clone().or_else(|| socket::local_address(fd).ok());
        let buffered = state.buffer.len() + state.coalesced.len() + state.joined.len();
        let paused = (state.paused.then_some(state.paused_at), state.flow.paused_since());
        Some((
            state.owner.as_ref().map(|owner| owner.bind(py).clone()),
            state.protocol.as_ref().map(|protocol| protocol.bind(py).clone()),
            fd,
            local.as_ref().and_then(shown),
            state.peer.as_ref().and_then(shown),
            buffered,
            paused,
            state.lifecycle.is_closing(),
            None,
            state.server.as_ref().map(|server| server.server.bind(py).clone()),
        ))
    })?;
    let above = known.1.as_ref().and_then(|protocol| protocol.cast_exact::<TlsProtocol>().ok()).cloned();
    if let Some(above) = above {
        let facts = above.get().transport.get().facts(py);
        known.1 = facts.protocol;
        known.5 += facts.buffered;
        // The pauses below are those of TLS.
        known.6 = (facts.reading_paused, facts.writing_paused);
        known.7 |= facts.closing;
        known.8 = Some((facts.object, facts.extra));
    }
    Some(known)
}

/// How many stream connections there are, how many bytes they have buffered, in how many of them reading and writing are
/// paused; and the other objects whose descriptors the loop watches.
type Totals<'py> = (usize, usize, usize, usize, Vec<Bound<'py, PyAny>>);

/// What a loop's connections are together.
#[pyfunction]
#[pyo3(name = "_connection_totals")]
pub(crate) fn connection_totals<'py>(owner: &Bound<'py, Loop>) -> Totals<'py> {
    let (mut count, mut buffered, mut reading, mut writing, mut others) = (0, 0, 0, 0, Vec::new());
    for watched in watched_by(owner) {
        match connection_of(&watched) {
            Some(known) => {
                count += 1;
                buffered += known.5;
                reading += usize::from(known.6.0.is_some());
                writing += usize::from(known.6.1.is_some());
            }
            None => others.push(watched),
        }
    }
    (count, buffered, reading, writing, others)
}

/// The server of a listener; None for other objects.
#[pyfunction]
#[pyo3(name = "_server_of")]
pub(crate) fn server_of<'py>(listener: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let listener = listener.cast_exact::<crate::net::serve::listener::Listener>().ok()?;
    Some(listener.get().server(listener.py()).clone().into_any())
}

/// How many connections a server has accepted, and how many of them are open; None for other objects.
#[pyfunction]
#[pyo3(name = "_count_connections")]
pub(crate) fn count_connections(server: &Bound<'_, PyAny>) -> Option<(u64, usize)> {
    Some(server.cast_exact::<Server>().ok()?.get().connections(server.py()))
}

/// What the system has counted for a TCP socket: bytes received and sent, or for a listening one how many connections
/// wait, and how many may. None where it does not tell.
#[pyfunction]
#[pyo3(name = "_tcp_counters")]
pub(crate) fn tcp_counters(fd: RawFd) -> Option<(bool, u64, u64)> {
    match socket::counters(fd).ok()? {
        Counters::Connection { received, sent } => Some((false, received, sent)),
        Counters::Listening { waiting, limit } => Some((true, waiting.into(), limit.into())),
    }
}

/// An address as text; None for a socket without a name.
fn shown(address: &SocketAddress) -> Option<String> {
    match address {
        SocketAddress::V4 { ip, port } => Some(format!("{ip}:{port}")),
        SocketAddress::V6 { ip, port, .. } => Some(format!("[{ip}]:{port}")),
        SocketAddress::Unix(name) => match name.split_first() {
            None => None,
            Some((0, abstract_name)) => Some(format!("@{}", String::from_utf8_lossy(abstract_name))),
            Some(_) => Some(String::from_utf8_lossy(name).into_owned()),
        },
        SocketAddress::Other(_) => None,
    }
}
