//! `Server`: the result of `create_server`; its sockets, its connections and `wait_closed`.
//!
//! States: created, *serving* (listeners registered), *closed* (`sockets` is None). Invariant: `clients` holds exactly
//! the accepted transports whose connection is not lost; once the server is closed and the last of them is lost, all
//! waiters are woken, once. Whether `wait_closed` waits for connections depends on the running Python, as in asyncio.

use std::collections::HashSet;
use std::os::fd::RawFd;

use ferrio_cpython::capi::memory::{self, Text};
use ferrio_cpython::{GilCell, GilFlag};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::common::async_block::{Channel, Coroutine};
use crate::common::imports;
use crate::event_loop::Loop;
use crate::locks::optional_argument::Argument;
use crate::net::serve::listener::{self, Listener};
use crate::net::unix::socket_path::SocketFile;
use crate::transports::socket::SocketTransport;
use crate::transports::socket::server_link::ServerLink;
use crate::transports::tls::options::Options;

/// A server; its `__class__` says `asyncio.Server`.
#[pyclass(frozen, weakref, module = "ferrio")]
pub(crate) struct Server {
    pub(crate) owner: Py<Loop>,
    pub(crate) protocol_factory: Py<PyAny>,
    pub(crate) backlog: Backlog,
    /// The context that connections are accepted in.
    pub(crate) context: Py<PyAny>,
    /// None for connections without TLS.
    pub(crate) tls: Option<Options>,
    serving: GilFlag,
    state: GilCell<State>,
}

struct State {
    /// The Python socket objects; None once the server is closed.
    sockets: Option<Vec<Py<PyAny>>>,
    listeners: Vec<Py<Listener>>,
    /// The descriptors of the connections; the server does not keep the transports alive.
    clients: HashSet<RawFd>,
    /// How many connections there were.
    accepted: u64,
    /// The futures of `wait_closed`; None once they were woken.
    waiters: Option<Vec<Py<PyAny>>>,
    /// The future of `serve_forever`.
    forever: Option<Py<PyAny>>,
    /// The socket file to remove once the socket is closed.
    file: Option<SocketFile>,
}

/// The default backlog.
const DEFAULT_BACKLOG: usize = 100;

/// The number of connections that the system queues for the server, as the user passed it; `listen()` checks it.
pub(crate) struct Backlog(Option<Py<PyAny>>);

impl Backlog {
    pub(crate) fn of(given: Argument<'_>) -> Self {
        Self(given.0.map(Bound::unbind))
    }

    fn shown(&self, py: Python<'_>) -> Py<PyAny> {
        self.0.as_ref().map_or_else(|| PyInt::new(py, DEFAULT_BACKLOG).into_any().unbind(), |given| given.clone_ref(py))
    }

    /// The number of connections to accept per turn.
    pub(crate) fn count(&self, py: Python<'_>) -> usize {
        let count = self.0.as_ref().map_or(Ok(DEFAULT_BACKLOG), |given| given.extract(py));
        // `listen()` has accepted the value; one that does not fit a usize is no limit.
        count.unwrap_or(usize::MAX)
    }
}

impl Server {
    pub(crate) fn new(
        owner: &Bound<'_, Loop>,
        sockets: Vec<Py<PyAny>>,
        protocol_factory: Py<PyAny>,
        backlog: Backlog,
        context: Py<PyAny>,
        tls: Option<Options>,
    ) -> Self {
        let state = State {
            sockets: Some(sockets),
            listeners: Vec::new(),
            clients: HashSet::new(),
            accepted: 0,
            waiters: Some(Vec::new()),
            forever: None,
            file: None,
        };
        let owner = owner.clone().unbind();
        Self { owner, protocol_factory, backlog, context, tls, serving: GilFlag::default(), state: GilCell::new(state) }
    }

    /// The link to the server that an accepted connection gets.
    pub(crate) fn link(slf: &Bound<'_, Self>) -> ServerLink {
        ServerLink { server: slf.clone().into_any().unbind(), attach, detach }
    }

    /// Makes the server responsible for its socket's file.
    pub(crate) fn own_file(&self, py: Python<'_>, file: Option<SocketFile>) {
        let before = self.state.with(py, |state| std::mem::replace(&mut state.file, file));
        drop(before);
    }

    fn wake_waiters(&self, py: Python<'_>) -> PyResult<()> {
        let waiters = self.state.with(py, |state| state.waiters.take());
        for waiter in waiters.into_iter().flatten() {
            crate::transports::endpoint::wake_waiter(waiter.bind(py), 0)?;
        }
        Ok(())
    }

    /// How many connections it has accepted, and how many of them are open.
    pub(crate) fn connections(&self, py: Python<'_>) -> (u64, usize) {
        self.state.with(py, |state| (state.accepted, state.clients.len()))
    }

    fn sockets(&self, py: Python<'_>) -> Option<Vec<Py<PyAny>>> {
        self.state.with(py, |state| {
            state.sockets.as_ref().map(|sockets| sockets.iter().map(|sock| sock.clone_ref(py)).collect())
        })
    }

    fn clients<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, SocketTransport>> {
        let fds: Vec<_> = self.state.with(py, |state| state.clients.iter().copied().collect());
        let io = &self.owner.get().io;
        let transport_of = |fd| {
            io.registrations
                .with(py, |registrations| registrations.get(fd)?.stream().and_then(|known| known.target(py)))
        };
        fds.into_iter().filter_map(|fd| transport_of(fd)?.cast_into().ok()).collect()
    }
}

/// Starts to listen and accept, unless the server does already.
pub(crate) fn start(slf: &Bound<'_, Server>) -> PyResult<()> {
    let py = slf.py();
    let this = slf.get();
    if this.serving.get() {
        return Ok(());
    }
    let Some(sockets) = this.sockets(py) else {
        return Err(ferrio_cpython::error::<PyRuntimeError>(format!("server {} is closed", slf.repr()?)));
    };
    this.serving.set(true);
    for sock in sockets {
        sock.call_method1(py, name!("listen"), (this.backlog.shown(py),))?;
        let listener = listener::open(slf, sock.bind(py))?;
        this.state.with(py, |state| state.listeners.push(listener.unbind()));
    }
    Ok(())
}

/// Records that a connection with this descriptor was accepted.
fn attach(server: &Bound<'_, PyAny>, fd: RawFd) -> PyResult<()> {
    server.cast::<Server>()?.get().state.with(server.py(), |state| {
        state.accepted += 1;
        state.clients.insert(fd)
    });
    Ok(())
}

/// Records that the connection with this descriptor is lost.
fn detach(server: &Bound<'_, PyAny>, fd: RawFd) -> PyResult<()> {
    let py = server.py();
    let server = server.cast::<Server>()?.get();
    let over = server.state.with(py, |state| {
        state.clients.remove(&fd);
        state.clients.is_empty() && state.sockets.is_none()
    });
    if over { server.wake_waiters(py) } else { Ok(()) }
}

#[pymethods]
impl Server {
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<&'py Bound<'py, PyAny>> {
        imports::abstract_server(slf.py())
    }

    /// The loop it belongs to.
    fn get_loop<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Loop> {
        slf.get().owner.bind(slf.py()).clone()
    }

    #[getter]
    fn _loop<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Loop> {
        Self::get_loop(slf)
    }

    #[getter]
    fn _ssl_context<'py>(slf: &Bound<'py, Self>) -> Option<Bound<'py, PyAny>> {
        slf.get().tls.as_ref().and_then(|tls| tls.given_context(slf.py()))
    }

    #[getter]
    fn _protocol_factory(&self, py: Python<'_>) -> Py<PyAny> {
        self.protocol_factory.clone_ref(py)
    }

    #[getter]
    fn _backlog(&self, py: Python<'_>) -> Py<PyAny> {
        self.backlog.shown(py)
    }

    #[getter]
    fn _serving(&self) -> bool {
        self.serving.get()
    }

    /// Whether it accepts connections.
    fn is_serving(&self) -> bool {
        self.serving.get()
    }

    /// The listening sockets, none once it is closed.
    #[getter]
    #[pyo3(name = "sockets")]
    fn transport_sockets<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let class = imports::transport_socket(py)?;
        let sockets = slf.get().sockets(py).unwrap_or_default();
        let wrapped: Vec<_> = sockets.into_iter().map(|sock| class.call1((sock,))).collect::<PyResult<_>>()?;
        memory::tuple(py, wrapped)
    }

    #[getter]
    fn _sockets(slf: &Bound<'_, Self>) -> Option<Vec<Py<PyAny>>> {
        slf.get().sockets(slf.py())
    }

    /// The futures of `wait_closed()`; None once they were woken.
    #[getter]
    fn _waiters(slf: &Bound<'_, Self>) -> Option<Vec<Py<PyAny>>> {
        let py = slf.py();
        slf.get().state.with(py, |state| {
            state.waiters.as_ref().map(|waiters| waiters.iter().map(|waiter| waiter.clone_ref(py)).collect())
        })
    }

    #[getter]
    fn _active_count(slf: &Bound<'_, Self>) -> usize {
        slf.get().state.with(slf.py(), |state| state.clients.len())
    }

    /// Stop listening; existing connections stay.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let closed = this.state.with(py, |state| {
            let sockets = state.sockets.take()?;
            Some((sockets, std::mem::take(&mut state.listeners), state.forever.take(), state.file.take()))
        });
        let Some((sockets, listeners, forever, file)) = closed else { return Ok(()) };
        for listener in listeners {
            listener::close(listener.bind(py))?;
        }
        for sock in sockets {
            sock.call_method0(py, name!("close"))?;
        }
        if let Some(file) = file {
            file.remove(py)?;
        }
        this.serving.set(false);
        if let Some(forever) = forever {
            // Cancelling a completed future has no effect.
            forever.call_method0(py, name!("cancel"))?;
        }
        if this.state.with(py, |state| state.clients.is_empty()) { this.wake_waiters(py) } else { Ok(()) }
    }

    /// Close all connections that it accepted.
    fn close_clients(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().clients(slf.py()).iter().try_for_each(|client| client.call_method0(name!("close")).map(drop))
    }

    /// Close all connections that it accepted at once; what they have buffered is lost.
    fn abort_clients(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().clients(slf.py()).iter().try_for_each(|client| client.call_method0(name!("abort")).map(drop))
    }

    /// Begin to accept connections.
    fn start_serving(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let this = slf.clone().unbind();
        Coroutine::spawn(slf.py(), "Server.start_serving", |channel| async move {
            let this = channel.own(this);
            Python::attach(|py| start(this.bind(py)))?;
            channel.pass_turn().await
        })
    }

    /// Accept connections until cancelled; then the server is closed.
    fn serve_forever(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let this = slf.clone().unbind();
        Coroutine::spawn(slf.py(), "Server.serve_forever", |channel| serve_forever(this, channel))
    }

    /// Wait until the server is closed and its connections are gone, as the running Python's asyncio does.
    fn wait_closed(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let this = slf.clone().unbind();
        Coroutine::spawn(slf.py(), "Server.wait_closed", |channel| async move {
            wait_closed(&channel.own(this), &channel).await
        })
    }

    fn _start_serving(slf: &Bound<'_, Self>) -> PyResult<()> {
        start(slf)
    }

    fn __aenter__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let this = slf.clone().unbind();
        Coroutine::spawn(slf.py(), "Server.__aenter__", |_| async move { Ok(this) })
    }

    fn __aexit__(
        slf: &Bound<'_, Self>,
        _exc_type: &Bound<'_, PyAny>,
        _exc: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        let this = slf.clone().unbind();
        Coroutine::spawn(slf.py(), "Server.__aexit__", |channel| async move {
            let this = channel.own(this);
            Python::attach(|py| Self::close(this.bind(py)))?;
            wait_closed(&this, &channel).await
        })
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text> {
        Ok(Text(format!("<Server sockets={}>", Self::transport_sockets(slf)?.repr()?)))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.owner)?;
        visit.call(&self.protocol_factory)?;
        visit.call(&self.context)?;
        if let Some(tls) = &self.tls {
            tls.traverse(&visit)?;
        }
        let outcome = self.state.traverse(&visit, |state| {
            state.sockets.iter().flatten().try_for_each(|sock| visit.call(sock))?;
            state.listeners.iter().try_for_each(|listener| visit.call(listener))?;
            state.waiters.iter().flatten().try_for_each(|waiter| visit.call(waiter))?;
            visit.call(&state.forever)
        });
        outcome.transpose().map(drop)
    }

    fn __clear__(&self, py: Python<'_>) {
        let taken = self.state.with(py, |state| (std::mem::take(&mut state.listeners), state.forever.take()));
        drop(taken);
    }
}

async fn serve_forever(this: Py<Server>, channel: Channel) -> PyResult<()> {
    let this = channel.own(this);
    let forever = Python::attach(|py| {
        let slf = this.bind(py);
        let (already, closed) = this.get().state.with(py, |state| (state.forever.is_some(), state.sockets.is_none()));
        if already {
            let text = format!("server {} is already being awaited on serve_forever()", slf.repr()?);
            return Err(ferrio_cpython::error::<PyRuntimeError>(text));
        }
        if closed {
            return Err(ferrio_cpython::error::<PyRuntimeError>(format!("server {} is closed", slf.repr()?)));
        }
        start(slf)?;
        let forever = Loop::waiter(this.get().owner.bind(py))?.unbind();
        let owned = forever.clone_ref(py);
        this.get().state.with(py, |state| state.forever = Some(owned));
        Ok(forever)
    })?;
    let outcome = channel.wait(forever).await;
    let forget = |py: Python<'_>| {
        let forever = this.get().state.with(py, |state| state.forever.take());
        drop(forever);
    };
    let Err(error) = outcome else {
        Python::attach(forget);
        return Ok(());
    };
    let cancelled =
        Python::attach(|py| imports::cancelled_error(py).is_ok_and(|class| error.matches(py, class).unwrap_or(false)));
    if cancelled {
        let closing = Python::attach(|py| {
            closes_clients_when_cancelled(py).and_then(|all| {
                let slf = this.bind(py);
                Server::close(slf)?;
                if all { Server::close_clients(slf) } else { Ok(()) }
            })
        });
        if closing.is_ok() {
            // As with asyncio's try/finally, the cancellation takes precedence over an error of the wait.
            let _ = wait_closed(&this, &channel).await;
        }
    }
    Python::attach(forget);
    Err(error)
}

/// Since 3.14 a cancelled `serve_forever()` also closes the connections.
fn closes_clients_when_cancelled(py: Python<'_>) -> PyResult<bool> {
    let code = ferrio_cpython::module(py, name!("asyncio.base_events"))?
        .getattr(name!("Server"))?
        .getattr(name!("serve_forever"))?
        .getattr(name!("__code__"))?;
    code.getattr(name!("co_names"))?.contains("close_clients")
}

async fn wait_closed(this: &Py<Server>, channel: &Channel) -> PyResult<()> {
    let waiter = Python::attach(|py| {
        let old = imports::python_version(py) < (3, 12);
        let (over, closed) = this.get().state.with(py, |state| (state.waiters.is_none(), state.sockets.is_none()));
        // 3.11 returns immediately if the server is closed, regardless of its connections.
        if over || (old && closed) {
            return Ok::<_, PyErr>(None);
        }
        let waiter = Loop::waiter(this.get().owner.bind(py))?.unbind();
        let owned = waiter.clone_ref(py);
        this.get().state.with(py, |state| state.waiters.get_or_insert_default().push(owned));
        Ok(Some(waiter))
    })?;
    match waiter {
        Some(waiter) => channel.wait(waiter).await.map(drop),
        None => Ok(()),
    }
}
