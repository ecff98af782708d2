//! `create_server`: creates a `Server` from hosts, ports and options.

use ferrio_cpython::capi::context;
use ferrio_cpython::capi::memory;
use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyInt, PyList, PyString};

use crate::common::async_block::{Channel, Coroutine, Owned};
use crate::common::imports;
use crate::common::numbers::Truth;
use crate::event_loop::{Loop, base};
use crate::locks::optional_argument::Argument;
use crate::net::resolve::{Hints, ensure_resolved};
use crate::net::serve::server::{self, Backlog, Server};
use crate::tasks::gather_all;
use crate::transports::tls::options::Options as TlsOptions;

/// The arguments of `create_server` that are used after the first wait.
struct Options {
    protocol_factory: Owned<PyAny>,
    host: Option<Py<PyAny>>,
    port: Option<Py<PyAny>>,
    family: Py<PyAny>,
    flags: Py<PyAny>,
    sock: Option<Py<PyAny>>,
    backlog: Backlog,
    reuse_address: bool,
    reuse_port: bool,
    keep_alive: bool,
    start_serving: bool,
    tls: Option<TlsOptions>,
    context: Owned<PyAny>,
}

#[pymethods]
impl Loop {
    /// Create a TCP server on one or more hosts, or on a bound socket.
    #[pyo3(
        signature = (
            protocol_factory, host=None, port=None, *, family=Argument(None), flags=Argument(None), sock=None, backlog=Argument(None), ssl=None,
            reuse_address=None, reuse_port=None, keep_alive=None, ssl_handshake_timeout=None,
            ssl_shutdown_timeout=None, start_serving=Truth(true)
        ),
        text_signature = "($self, protocol_factory, host=None, port=None, *, family=0, flags=1, sock=None, \
            backlog=100, ssl=None, reuse_address=None, reuse_port=None, keep_alive=None, ssl_handshake_timeout=None, \
            ssl_shutdown_timeout=None, start_serving=True)"
    )]
    #[expect(clippy::too_many_arguments, reason = "asyncio's signature")]
    fn create_server(
        slf: &Bound<'_, Self>,
        protocol_factory: Py<PyAny>,
        host: Option<Py<PyAny>>,
        port: Option<Py<PyAny>>,
        family: Argument<'_>,
        flags: Argument<'_>,
        sock: Option<Py<PyAny>>,
        backlog: Argument<'_>,
        ssl: Option<Py<PyAny>>,
        reuse_address: Option<Truth>,
        reuse_port: Option<Truth>,
        keep_alive: Option<Truth>,
        ssl_handshake_timeout: Option<Py<PyAny>>,
        ssl_shutdown_timeout: Option<Py<PyAny>>,
        start_serving: Truth,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        if keep_alive.is_some() && imports::python_version(py) < (3, 13) {
            let text = "create_server() got an unexpected keyword argument 'keep_alive'";
            return Err(ferrio_cpython::error::<PyTypeError>(text));
        }
        let this = slf.clone().unbind();
        let backlog = Backlog::of(backlog);
        let family = family.0.map_or_else(|| PyInt::new(py, 0).into_any().unbind(), Bound::unbind);
        let flags = flags.0.map(Bound::unbind);
        Coroutine::spawn(py, "EventLoop.create_server", |channel| async move {
            let options = Python::attach(|py| {
                let timeouts = [ssl_handshake_timeout, ssl_shutdown_timeout];
                check_ssl(py, ssl.as_ref(), timeouts.each_ref().map(Option::is_some))?;
                Ok::<_, PyErr>(Options {
                    protocol_factory: channel.own(protocol_factory),
                    host,
                    port,
                    family,
                    flags: flags.map_or_else(
                        || ferrio_cpython::module(py, name!("socket"))?.getattr(name!("AI_PASSIVE")).map(Bound::unbind),
                        Ok,
                    )?,
                    sock,
                    backlog,
                    reuse_address: reuse_address.is_none_or(|wanted| wanted.0),
                    reuse_port: reuse_port.is_some_and(|wanted| wanted.0),
                    keep_alive: keep_alive.is_some_and(|wanted| wanted.0),
                    start_serving: start_serving.0,
                    tls: TlsOptions::of_server(py, ssl, timeouts)?,
                    context: channel.own(context::copy_current(py)?.unbind()),
                })
            })?;
            create(this, options, channel).await
        })
    }
}

fn check_ssl(
    py: Python<'_>,
    ssl: Option<&Py<PyAny>>,
    [handshake_timeout, shutdown_timeout]: [bool; 2],
) -> PyResult<()> {
    if ssl.is_some_and(|ssl| ssl.bind(py).is_instance_of::<PyBool>()) {
        return Err(ferrio_cpython::error::<PyTypeError>("ssl argument must be an SSLContext or None"));
    }
    if handshake_timeout && ssl.is_none() {
        return Err(ferrio_cpython::error::<PyValueError>("ssl_handshake_timeout is only meaningful with ssl"));
    }
    if shutdown_timeout && ssl.is_none() {
        return Err(ferrio_cpython::error::<PyValueError>("ssl_shutdown_timeout is only meaningful with ssl"));
    }
    Ok(())
}

async fn create(this: Py<Loop>, options: Options, channel: Channel) -> PyResult<Py<Server>> {
    let this = channel.own(this);
    let by_name = options.host.is_some() || options.port.is_some();
    if let Some(sock) = &options.sock {
        Python::attach(|py| refuse_ssl_socket(sock.bind(py)))?;
        if by_name {
            return Err(ferrio_cpython::error::<PyValueError>(
                "host/port and sock can not be specified at the same time",
            ));
        }
    }
    let sockets = if by_name {
        let infos = resolve(&this, &options, &channel).await?;
        Python::attach(|py| bind_all(this.bind(py), infos.bind(py), &options))?
    } else {
        Python::attach(|py| given_socket(py, options.sock.as_ref()))?
    };
    let starts = options.start_serving;
    let server = Python::attach(|py| {
        for sock in &sockets {
            sock.call_method1(py, name!("setblocking"), (false,))?;
        }
        let Options { protocol_factory, backlog, context, tls, .. } = options;
        let (protocol_factory, context) = (protocol_factory.handed_over(), context.handed_over());
        let server = Bound::new(py, Server::new(this.bind(py), sockets, protocol_factory, backlog, context, tls))?;
        if starts {
            server::start(&server)?;
        }
        Ok::<_, PyErr>(server.unbind())
    })?;
    let server = channel.own(server);
    if starts {
        channel.pass_turn().await?;
    }
    Python::attach(|py| {
        if base(this.bind(py)).debug.get() {
            imports::base_events_logger(py)?.call_method1(name!("info"), ("%r is serving", &*server))?;
        }
        Ok(server.handed_over())
    })
}

fn given_socket(py: Python<'_>, sock: Option<&Py<PyAny>>) -> PyResult<Vec<Py<PyAny>>> {
    let Some(sock) = sock else {
        return Err(ferrio_cpython::error::<PyValueError>("Neither host/port nor sock were specified"));
    };
    let stream = ferrio_cpython::module(py, name!("socket"))?.getattr(name!("SOCK_STREAM"))?;
    if !sock.bind(py).getattr(name!("type"))?.eq(stream)? {
        return Err(ferrio_cpython::error::<PyValueError>(format!(
            "A Stream Socket was expected, got {}",
            sock.bind(py).repr()?
        )));
    }
    Ok(vec![sock.clone_ref(py)])
}

/// The address infos of all hosts in order, without duplicates.
async fn resolve(this: &Py<Loop>, options: &Options, channel: &Channel) -> PyResult<Py<PyList>> {
    let lookups = Python::attach(|py| {
        let hosts = host_list(py, options.host.as_ref())?;
        let lookups: Vec<_> =
            hosts.into_iter().map(|host| look_up(this, py, host, options)).collect::<PyResult<_>>()?;
        gather_all(&memory::tuple(py, lookups)?, false).map(Bound::unbind)
    })?;
    let found = channel.wait(lookups).await?;
    Python::attach(|py| {
        let distinct = memory::dict(py)?;
        for infos in found.bind(py).try_iter()? {
            for info in infos?.try_iter()? {
                distinct.set_item(info?, py.None())?;
            }
        }
        Ok(distinct.keys().unbind())
    })
}

/// asyncio's `_create_server_getaddrinfo`.
fn look_up(this: &Py<Loop>, py: Python<'_>, host: Py<PyAny>, options: &Options) -> PyResult<Py<PyAny>> {
    let hints = Hints {
        family: options.family.clone_ref(py),
        kind: imports::socket_sock_stream(py)?.clone().unbind(),
        proto: PyInt::new(py, 0).into_any().unbind(),
        flags: options.flags.clone_ref(py),
    };
    let address = (&host, &options.port).into_pyobject(py)?.into_any().unbind();
    let this = this.clone_ref(py);
    Coroutine::spawn(py, "EventLoop._create_server_getaddrinfo", |channel| {
        // The lookup runs in a task, which may be cancelled before it starts.
        let this = channel.own(this);
        async move {
            let infos = ensure_resolved(&this, address, &hints, &channel).await?;
            Python::attach(|py| {
                if infos.bind(py).is_empty()? {
                    let text = format!("getaddrinfo({}) returned empty list", host.bind(py).repr()?);
                    return Err(ferrio_cpython::error::<PyOSError>(text));
                }
                Ok(infos)
            })
        }
    })
}

/// asyncio's `_check_ssl_socket`.
pub(crate) fn refuse_ssl_socket(sock: &Bound<'_, PyAny>) -> PyResult<()> {
    // Without the `ssl` module there are no such sockets.
    let Ok(module) = ferrio_cpython::module(sock.py(), name!("ssl")) else { return Ok(()) };
    if sock.is_instance(&module.getattr(name!("SSLSocket"))?)? {
        return Err(ferrio_cpython::error::<PyTypeError>("Socket cannot be of type SSLSocket"));
    }
    Ok(())
}

fn host_list(py: Python<'_>, host: Option<&Py<PyAny>>) -> PyResult<Vec<Py<PyAny>>> {
    let Some(host) = host else { return Ok(vec![py.None()]) };
    let bound = host.bind(py);
    if bound.is_instance_of::<PyString>() {
        let any = bound.len()? == 0;
        return Ok(vec![if any { py.None() } else { host.clone_ref(py) }]);
    }
    match bound.try_iter() {
        Ok(hosts) if !bound.is_instance_of::<pyo3::types::PyBytes>() => {
            hosts.map(|host| host.map(Bound::unbind)).collect()
        }
        Ok(_) | Err(_) => Ok(vec![host.clone_ref(py)]),
    }
}

fn bind_all(slf: &Bound<'_, Loop>, infos: &Bound<'_, PyList>, options: &Options) -> PyResult<Vec<Py<PyAny>>> {
    let py = slf.py();
    let mut sockets = Vec::new();
    for info in infos {
        match bind_one(slf, &info, options) {
            Ok(Some(sock)) => sockets.push(sock.unbind()),
            Ok(None) => {}
            Err(error) => {
                for sock in sockets {
                    sock.call_method0(py, name!("close"))?;
                }
                return Err(error);
            }
        }
    }
    if sockets.is_empty() {
        let addresses = memory::empty_list(py)?;
        for info in infos {
            addresses.append(info.get_item(4)?)?;
        }
        return Err(ferrio_cpython::error::<PyOSError>(format!(
            "could not bind on any address out of {}",
            addresses.repr()?
        )));
    }
    Ok(sockets)
}

/// A bound socket; None if the system does not support the family.
fn bind_one<'py>(
    slf: &Bound<'py, Loop>,
    info: &Bound<'py, PyAny>,
    options: &Options,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = slf.py();
    let module = ferrio_cpython::module(py, name!("socket"))?;
    let (family, kind, proto) = (info.get_item(0)?, info.get_item(1)?, info.get_item(2)?);
    let sock = match module.getattr(name!("socket"))?.call1((&family, &kind, &proto)) {
        Ok(sock) => sock,
        Err(error) if error.is_instance_of::<PyOSError>(py) => {
            if base(slf).debug.get() {
                let text = "create_server() failed to create socket.socket(%r, %r, %r)";
                let keywords = memory::dict(py)?;
                keywords.set_item(name!("exc_info"), error.clone_ref(py).into_value(py))?;
                imports::base_events_logger(py)?.call_method(
                    name!("warning"),
                    (text, family, kind, proto),
                    Some(&keywords),
                )?;
            }
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    match prepare(slf, &module, &sock, &family, &info.get_item(4)?, options) {
        Ok(true) => Ok(Some(sock)),
        Ok(false) => {
            sock.call_method0(name!("close"))?;
            Ok(None)
        }
        Err(error) => {
            sock.call_method0(name!("close"))?;
            Err(error)
        }
    }
}

/// Sets the options and binds; false if the address is not available, as for a family that is switched off.
fn prepare<'py>(
    slf: &Bound<'py, Loop>,
    module: &Bound<'py, PyModule>,
    sock: &Bound<'py, PyAny>,
    family: &Bound<'py, PyAny>,
    address: &Bound<'py, PyAny>,
    options: &Options,
) -> PyResult<bool> {
    let py = slf.py();
    let set = |level: &str, name: &str| {
        let arguments = (module.getattr(level)?, module.getattr(name)?, true);
        sock.call_method1(name!("setsockopt"), arguments).map(drop)
    };
    if options.reuse_address {
        set("SOL_SOCKET", "SO_REUSEADDR")?;
    }
    let six = family.eq(module.getattr(name!("AF_INET6"))?)?;
    let internet = six || family.eq(module.getattr(name!("AF_INET"))?)?;
    // Linux allows the option on internet sockets only, from 6.12.9 on.
    if options.reuse_port && internet {
        let refused = "reuse_port not supported by socket module, SO_REUSEPORT defined but not implemented.";
        set("SOL_SOCKET", "SO_REUSEPORT").map_err(|_| ferrio_cpython::error::<PyValueError>(refused))?;
    }
    if options.keep_alive {
        set("SOL_SOCKET", "SO_KEEPALIVE")?;
    }
    if six {
        // Otherwise the socket would also occupy the port of the IPv4 socket.
        set("IPPROTO_IPV6", "IPV6_V6ONLY")?;
    }
    let Err(error) = sock.call_method1(name!("bind"), (address,)) else { return Ok(true) };
    if !error.is_instance_of::<PyOSError>(py) {
        return Err(error);
    }
    refused_bind(slf, address, &error)
}

/// Whether the running Python's asyncio skips an address that is not available, as newer patch releases do.
fn passes_over_unavailable(py: Python<'_>) -> PyResult<bool> {
    let stock = ferrio_cpython::module(py, name!("asyncio.base_events"))?
        .getattr(name!("BaseEventLoop"))?
        .getattr(name!("create_server"))?;
    stock.getattr(name!("__code__"))?.getattr(name!("co_names"))?.contains("EADDRNOTAVAIL")
}

/// Returns false if an address whose bind failed is skipped; otherwise raises asyncio's error.
fn refused_bind(slf: &Bound<'_, Loop>, address: &Bound<'_, PyAny>, error: &PyErr) -> PyResult<bool> {
    let py = slf.py();
    let new = passes_over_unavailable(py)?;
    let number = error.value(py).getattr(name!("errno"))?;
    let reason =
        if new { error.value(py).str()?.to_string() } else { error.value(py).getattr(name!("strerror"))?.to_string() };
    let text = format!("error while attempting to bind on address {}: {}", address.repr()?, reason.to_lowercase());
    if new && number.eq(ferrio_cpython::module(py, name!("errno"))?.getattr(name!("EADDRNOTAVAIL"))?)? {
        if base(slf).debug.get() {
            imports::base_events_logger(py)?.call_method1(name!("warning"), (text,))?;
        }
        return Ok(false);
    }
    Err(ferrio_cpython::error::<PyOSError>((number.unbind(), text)))
}
