//! `create_connection` and `connect_accepted_socket`: create a transport and its protocol from a host or a socket.

use ferrio_cpython::capi::context;
use ferrio_cpython::objects::scheduling::seconds;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyInt;

use crate::common::async_block::{Channel, Coroutine};
use crate::common::close_guard::CloseGuard;
use crate::common::imports;
use crate::event_loop::{Loop, base};
use crate::locks::optional_argument::Argument;
use crate::net::connect::attempt::{Failures, connect_one};
use crate::net::connect::happy_eyeballs::race;
use crate::net::connect::staggered;
use crate::net::resolve::{Hints, interleave, resolved_or_error};
use crate::net::serve::create_server::refuse_ssl_socket;
use crate::net::sock::connect::is_overridden;
use crate::transports::tls::options::Options;
use crate::transports::{socket, tls};

/// The TLS arguments that are checked.
struct Tls {
    ssl: Option<Py<PyAny>>,
    server_hostname: Option<Py<PyAny>>,
    handshake_timeout: Option<Py<PyAny>>,
    shutdown_timeout: Option<Py<PyAny>>,
}

/// The arguments for finding and reaching the peer.
struct Route {
    host: Option<Py<PyAny>>,
    port: Option<Py<PyAny>>,
    hints: Hints,
    local_addr: Option<Py<PyAny>>,
    /// Seconds between parallel attempts; None for sequential ones.
    delay: Option<f64>,
    /// The number of addresses of the first family before families alternate; None to keep the order.
    interleave: Option<Py<PyAny>>,
    all_errors: bool,
}

/// A transport and its protocol.
pub(crate) type Pair = (Py<PyAny>, Py<PyAny>);

#[pymethods]
impl Loop {
    /// Connect to a TCP server, or use a connected socket; gives (transport, protocol).
    #[pyo3(
        signature = (
            protocol_factory, host=None, port=None, *, ssl=None, family=Argument(None), proto=Argument(None), flags=Argument(None), sock=None,
            local_addr=None, server_hostname=None, ssl_handshake_timeout=None, ssl_shutdown_timeout=None,
            happy_eyeballs_delay=None, interleave=None, all_errors=None
        ),
        text_signature = "($self, protocol_factory, host=None, port=None, *, ssl=None, family=0, proto=0, flags=0, \
            sock=None, local_addr=None, server_hostname=None, ssl_handshake_timeout=None, ssl_shutdown_timeout=None, \
            happy_eyeballs_delay=None, interleave=None, all_errors=False)"
    )]
    #[expect(clippy::too_many_arguments, reason = "asyncio's signature")]
    fn create_connection(
        slf: &Bound<'_, Self>,
        protocol_factory: Py<PyAny>,
        host: Option<Py<PyAny>>,
        port: Option<Py<PyAny>>,
        ssl: Option<Py<PyAny>>,
        family: Argument<'_>,
        proto: Argument<'_>,
        flags: Argument<'_>,
        sock: Option<Py<PyAny>>,
        local_addr: Option<Py<PyAny>>,
        server_hostname: Option<Py<PyAny>>,
        ssl_handshake_timeout: Option<Py<PyAny>>,
        ssl_shutdown_timeout: Option<Py<PyAny>>,
        happy_eyeballs_delay: Option<Bound<'_, PyAny>>,
        interleave: Option<Bound<'_, PyAny>>,
        all_errors: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let all_errors = wants_all_errors(py, all_errors)?;
        // For parallel attempts families alternate unless the caller passes another value.
        let delay = happy_eyeballs_delay.map(|delay| seconds(&delay)).transpose()?;
        let interleave = interleave.or_else(|| delay.map(|_| PyInt::new(py, 1).into_any()));
        let zero = |given: Argument<'_>| given.0.map_or_else(|| PyInt::new(py, 0).into_any().unbind(), Bound::unbind);
        let kind = imports::socket_sock_stream(py)?.clone().unbind();
        let route = Route {
            hints: Hints { family: zero(family), kind, proto: zero(proto), flags: zero(flags) },
            host,
            port,
            local_addr,
            delay,
            interleave: interleave.map(Bound::unbind),
            all_errors,
        };
        let (handshake_timeout, shutdown_timeout) = (ssl_handshake_timeout, ssl_shutdown_timeout);
        let tls = Tls { ssl, server_hostname, handshake_timeout, shutdown_timeout };
        let this = slf.clone().unbind();
        Coroutine::spawn(py, "EventLoop.create_connection", |channel| async move {
            create(this, protocol_factory, route, sock, tls, channel).await
        })
    }

    /// Make a transport for a socket that was accepted elsewhere; gives (transport, protocol).
    #[pyo3(signature = (protocol_factory, sock, *, ssl=None, ssl_handshake_timeout=None, ssl_shutdown_timeout=None))]
    fn connect_accepted_socket(
        slf: &Bound<'_, Self>,
        protocol_factory: Py<PyAny>,
        sock: Py<PyAny>,
        ssl: Option<Py<PyAny>>,
        ssl_handshake_timeout: Option<Py<PyAny>>,
        ssl_shutdown_timeout: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let (handshake_timeout, shutdown_timeout) = (ssl_handshake_timeout, ssl_shutdown_timeout);
        let this = slf.clone().unbind();
        Coroutine::spawn(slf.py(), "EventLoop.connect_accepted_socket", |channel| async move {
            let (this, protocol_factory) = (channel.own(this), channel.own(protocol_factory));
            let tls = Python::attach(|py| {
                check_stream(sock.bind(py))?;
                let tls = Tls { ssl, server_hostname: None, handshake_timeout, shutdown_timeout };
                tls.check_timeouts(py)?;
                refuse_ssl_socket(sock.bind(py))?;
                tls.into_server_options(py)
            })?;
            let pair = establish(&this, CloseGuard::passed_in(sock), &protocol_factory, tls, &channel).await?;
            Python::attach(|py| {
                if base(this.bind(py)).debug.get() {
                    let sock = pair.0.call_method1(py, name!("get_extra_info"), ("socket",))?;
                    imports::base_events_logger(py)?
                        .call_method1(name!("debug"), ("%r handled: (%r, %r)", sock, &pair.0, &pair.1))?;
                }
                Ok(pair)
            })
        })
    }
}

impl Tls {
    /// The checks of `create_connection` that precede everything else.
    fn check(&self, py: Python<'_>, host: Option<&Py<PyAny>>) -> PyResult<()> {
        let wanted = self.wanted(py)?;
        if self.server_hostname.is_some() && !wanted {
            return Err(ferrio_cpython::error::<PyValueError>("server_hostname is only meaningful with ssl"));
        }
        if self.server_hostname.is_none() && wanted && !host.map_or(Ok(false), |host| host.is_truthy(py))? {
            return Err(ferrio_cpython::error::<PyValueError>(
                "You must set server_hostname when using ssl without a host",
            ));
        }
        self.check_timeouts(py)
    }

    fn check_timeouts(&self, py: Python<'_>) -> PyResult<()> {
        let wanted = self.wanted(py)?;
        if self.handshake_timeout.is_some() && !wanted {
            return Err(ferrio_cpython::error::<PyValueError>("ssl_handshake_timeout is only meaningful with ssl"));
        }
        if self.shutdown_timeout.is_some() && !wanted {
            return Err(ferrio_cpython::error::<PyValueError>("ssl_shutdown_timeout is only meaningful with ssl"));
        }
        Ok(())
    }

    /// The TLS options; the certificate's name defaults to the host.
    fn into_client_options(self, py: Python<'_>, host: Option<&Py<PyAny>>) -> PyResult<Option<Options>> {
        if !self.wanted(py)? {
            return Ok(None);
        }
        let Self { ssl, server_hostname, handshake_timeout, shutdown_timeout } = self;
        let hostname = server_hostname.or_else(|| host.map(|host| host.clone_ref(py)));
        ssl.map(|ssl| Options::client(py, ssl, hostname, [handshake_timeout, shutdown_timeout])).transpose()
    }

    fn into_server_options(self, py: Python<'_>) -> PyResult<Option<Options>> {
        Options::of_server(py, self.ssl, [self.handshake_timeout, self.shutdown_timeout])
    }

    fn wanted(&self, py: Python<'_>) -> PyResult<bool> {
        self.ssl.as_ref().map_or(Ok(false), |ssl| ssl.is_truthy(py))
    }
}

async fn create(
    this: Py<Loop>,
    factory: Py<PyAny>,
    route: Route,
    sock: Option<Py<PyAny>>,
    tls: Tls,
    channel: Channel,
) -> PyResult<Pair> {
    let (this, factory) = (channel.own(this), channel.own(factory));
    let by_name = route.host.is_some() || route.port.is_some();
    Python::attach(|py| {
        tls.check(py, route.host.as_ref())?;
        check_socket(py, sock.as_ref(), by_name)
    })?;
    let sock = match sock {
        Some(sock) => CloseGuard::passed_in(sock),
        None => CloseGuard::created(open(&this, &route, &channel).await?),
    };
    let tls = Python::attach(|py| tls.into_client_options(py, route.host.as_ref()))?;
    let pair = establish(&this, sock, &factory, tls, &channel).await?;
    Python::attach(|py| {
        if base(this.bind(py)).debug.get() {
            let sock = pair.0.call_method1(py, name!("get_extra_info"), ("socket",))?;
            let arguments = ("%r connected to %s:%r: (%r, %r)", sock, &route.host, &route.port, &pair.0, &pair.1);
            imports::base_events_logger(py)?.call_method1(name!("debug"), arguments)?;
        }
        Ok(pair)
    })
}

fn check_socket(py: Python<'_>, sock: Option<&Py<PyAny>>, by_name: bool) -> PyResult<()> {
    match sock {
        Some(sock) => {
            refuse_ssl_socket(sock.bind(py))?;
            if by_name {
                return Err(ferrio_cpython::error::<PyValueError>(
                    "host/port and sock can not be specified at the same time",
                ));
            }
            check_stream(sock.bind(py))
        }
        None if by_name => Ok(()),
        None => Err(ferrio_cpython::error::<PyValueError>("host and port was not specified and no sock specified")),
    }
}

fn check_stream(sock: &Bound<'_, PyAny>) -> PyResult<()> {
    let kind = sock.getattr(pyo3::intern!(sock.py(), "type"))?;
    if !kind.eq(imports::socket_sock_stream(sock.py())?)? {
        return Err(ferrio_cpython::error::<PyValueError>(format!(
            "A Stream Socket was expected, got {}",
            sock.repr()?
        )));
    }
    Ok(())
}

/// Opens a socket that is connected to one of the addresses.
async fn open(this: &Py<Loop>, route: &Route, channel: &Channel) -> PyResult<Py<PyAny>> {
    let destination = Python::attach(|py| {
        let pair = (&route.host, &route.port).into_pyobject(py)?;
        Ok::<_, PyErr>(pair.into_any().unbind())
    })?;
    let infos = resolved_or_error(this, destination, &route.hints, channel).await?;
    let local = match &route.local_addr {
        Some(address) => {
            let address = Python::attach(|py| address.clone_ref(py));
            Some(resolved_or_error(this, address, &route.hints, channel).await?)
        }
        None => None,
    };
    let infos = Python::attach(|py| {
        let infos = match &route.interleave {
            Some(first) if first.is_truthy(py)? => interleave(infos.bind(py), first.bind(py))?,
            Some(_) | None => infos.bind(py).try_iter()?.collect::<PyResult<_>>()?,
        };
        Ok::<Vec<Py<PyAny>>, PyErr>(infos.into_iter().map(Bound::unbind).collect())
    })?;
    let mut failures = Failures::default();
    let connected = match route.delay {
        Some(delay) if Python::attach(|py| is_overridden(this.bind(py)))? => {
            staggered::race(this, infos, local.as_ref(), delay, &mut failures, channel).await?
        }
        Some(delay) => race(this, infos, local.as_ref(), delay, &mut failures, channel).await?,
        None => one_by_one(this, infos, local.as_ref(), &mut failures, channel).await?,
    };
    match connected {
        Some(sock) => Ok(sock),
        None => Err(Python::attach(|py| failures.into_error(py, route.all_errors))),
    }
}

/// Connects to the first address that accepts, one after the other; None if none does.
async fn one_by_one(
    this: &Py<Loop>,
    infos: Vec<Py<PyAny>>,
    local: Option<&Py<PyAny>>,
    failures: &mut Failures,
    channel: &Channel,
) -> PyResult<Option<Py<PyAny>>> {
    for info in infos {
        let connected = connect_one(this, &info, local, failures, channel).await?;
        if connected.is_some() {
            return Ok(connected);
        }
    }
    Ok(None)
}

/// Creates protocol and transport, and waits until `connection_made` was called; asyncio's
/// `_create_connection_transport`.
pub(crate) async fn establish(
    this: &Py<Loop>,
    sock: CloseGuard,
    factory: &Py<PyAny>,
    tls: Option<Options>,
    channel: &Channel,
) -> PyResult<Pair> {
    let (transport, protocol, waiter) = Python::attach(|py| {
        let slf = this.bind(py);
        if !sock.is_ours() {
            sock.bind(py).call_method1(pyo3::intern!(py, "setblocking"), (false,))?;
        }
        // Since 3.15 context variables that the factory sets do not affect the connection.
        let early = (imports::python_version(py) >= (3, 15)).then(|| context::copy_current(py)).transpose()?;
        let protocol = factory.bind(py).call0()?;
        let context = early.map_or_else(|| context::copy_current(py), Ok)?;
        let waiter = Loop::waiter(slf)?;
        let transport = match tls {
            Some(options) => {
                tls::options::connect(slf, sock.bind(py).clone(), protocol.clone(), context, &options, waiter.clone())?
            }
            None => {
                socket::connect::connect(slf, sock.bind(py).clone(), protocol.clone(), context, Some(waiter.clone()))?
            }
        };
        Ok::<_, PyErr>((CloseGuard::created(transport.unbind()), protocol.unbind(), waiter.unbind()))
    })?;
    // From here on the transport closes the socket.
    sock.keep();
    let (transport, protocol) = (transport.owned(channel), channel.own(protocol));
    channel.wait(waiter).await?;
    Ok((transport.keep(), protocol.handed_over()))
}

fn wants_all_errors(py: Python<'_>, given: Option<Py<PyAny>>) -> PyResult<bool> {
    let Some(given) = given else { return Ok(false) };
    if imports::python_version(py) < (3, 12) {
        let text = "BaseEventLoop.create_connection() got an unexpected keyword argument 'all_errors'";
        return Err(ferrio_cpython::error::<PyTypeError>(text));
    }
    given.is_truthy(py)
}
