//! `create_unix_server`: binds a socket and serves on it.

use ferrio_cpython::capi::context;
use ferrio_cpython::capi::raise::raised;
use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBool;

use crate::common::async_block::{Channel, Coroutine};
use crate::common::close_guard::CloseGuard;
use crate::common::imports;
use crate::common::numbers::Truth;
use crate::event_loop::Loop;
use crate::locks::optional_argument::Argument;
use crate::net::serve::server::{self, Backlog, Server};
use crate::net::unix::connect::{check_stream, file_system_path, make_socket};
use crate::net::unix::socket_path::{SocketFile, remove_stale};
use crate::transports::tls::options::Options as TlsOptions;

/// The arguments that are used after the checks.
struct Options {
    protocol_factory: Py<PyAny>,
    path: Option<Py<PyAny>>,
    sock: Option<Py<PyAny>>,
    backlog: Backlog,
    start_serving: bool,
    cleanup_socket: bool,
}

#[pymethods]
impl Loop {
    /// Create a server at a path of the file system or an abstract name, or on a bound socket.
    #[pyo3(
        signature = (
            protocol_factory, path=None, *, sock=None, backlog=Argument(None), ssl=None,
            ssl_handshake_timeout=None, ssl_shutdown_timeout=None, start_serving=Truth(true), cleanup_socket=None
        ),
        text_signature = "($self, protocol_factory, path=None, *, sock=None, backlog=100, ssl=None, \
                          ssl_handshake_timeout=None, ssl_shutdown_timeout=None, start_serving=True, \
                          cleanup_socket=True)"
    )]
    #[expect(clippy::too_many_arguments, reason = "asyncio's signature")]
    fn create_unix_server(
        slf: &Bound<'_, Self>,
        protocol_factory: Py<PyAny>,
        path: Option<Py<PyAny>>,
        sock: Option<Py<PyAny>>,
        backlog: Argument<'_>,
        ssl: Option<Py<PyAny>>,
        ssl_handshake_timeout: Option<Py<PyAny>>,
        ssl_shutdown_timeout: Option<Py<PyAny>>,
        start_serving: Truth,
        cleanup_socket: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let cleanup_socket = wants_cleanup(py, cleanup_socket)?;
        let options = Options {
            protocol_factory,
            path,
            sock,
            backlog: Backlog::of(backlog),
            start_serving: start_serving.0,
            cleanup_socket,
        };
        let this = slf.clone().unbind();
        Coroutine::spawn(py, "EventLoop.create_unix_server", |channel| async move {
            let this = channel.own(this);
            let tls = Python::attach(|py| {
                let timeouts = [ssl_handshake_timeout, ssl_shutdown_timeout];
                check_tls(py, ssl.as_ref(), timeouts.each_ref().map(Option::is_some))?;
                check_source(py, &options)?;
                TlsOptions::of_server(py, ssl, timeouts)
            })?;
            create(&this, options, tls, &channel).await
        })
    }
}

fn wants_cleanup(py: Python<'_>, given: Option<Py<PyAny>>) -> PyResult<bool> {
    let new = imports::python_version(py) >= (3, 13);
    let Some(given) = given else { return Ok(new) };
    if !new {
        let text = "_UnixSelectorEventLoop.create_unix_server() got an unexpected keyword argument 'cleanup_socket'";
        return Err(ferrio_cpython::error::<PyTypeError>(text));
    }
    given.is_truthy(py)
}

fn check_tls(py: Python<'_>, ssl: Option<&Py<PyAny>>, timeouts: [bool; 2]) -> PyResult<()> {
    if ssl.is_some_and(|ssl| ssl.bind(py).is_instance_of::<PyBool>()) {
        return Err(ferrio_cpython::error::<PyTypeError>("ssl argument must be an SSLContext or None"));
    }
    let wanted = ssl.map_or(Ok(false), |ssl| ssl.is_truthy(py))?;
    for (name, given) in ["ssl_handshake_timeout", "ssl_shutdown_timeout"].into_iter().zip(timeouts) {
        if given && !wanted {
            return Err(ferrio_cpython::error::<PyValueError>(format!("{name} is only meaningful with ssl")));
        }
    }
    Ok(())
}

fn check_source(py: Python<'_>, options: &Options) -> PyResult<()> {
    match (&options.path, &options.sock) {
        (Some(_), Some(_)) => {
            Err(ferrio_cpython::error::<PyValueError>("path and sock can not be specified at the same time"))
        }
        (Some(_), None) => Ok(()),
        (None, Some(sock)) => check_stream(sock.bind(py)),
        (None, None) => Err(ferrio_cpython::error::<PyValueError>("path was not specified, and no sock specified")),
    }
}

async fn create(this: &Py<Loop>, options: Options, tls: Option<TlsOptions>, channel: &Channel) -> PyResult<Py<Server>> {
    let starts = options.start_serving;
    let server = Python::attach(|py| {
        let Options { protocol_factory, path, sock, backlog, cleanup_socket, .. } = options;
        let sock = match (path, sock) {
            (Some(path), _) => bind(path.bind(py))?,
            (None, Some(sock)) => CloseGuard::passed_in(sock),
            (None, None) => {
                return Err(ferrio_cpython::error::<PyValueError>("path was not specified, and no sock specified"));
            }
        };
        let file = if cleanup_socket { SocketFile::of(sock.bind(py))? } else { None };
        sock.bind(py).call_method1(name!("setblocking"), (false,))?;
        let context = context::copy_current(py)?.unbind();
        let sockets = vec![sock.keep()];
        let server = Bound::new(py, Server::new(this.bind(py), sockets, protocol_factory, backlog, context, tls))?;
        server.get().own_file(py, file);
        if starts {
            server::start(&server)?;
        }
        Ok::<_, PyErr>(server.unbind())
    })?;
    let server = channel.own(server);
    if starts {
        channel.pass_turn().await?;
    }
    Ok(server.handed_over())
}

fn bind(path: &Bound<'_, PyAny>) -> PyResult<CloseGuard> {
    let py = path.py();
    let path = file_system_path(path)?;
    let sock = make_socket(py)?;
    remove_stale(&path)?;
    let Err(error) = sock.bind(py).call_method1(name!("bind"), (&path,)) else { return Ok(sock) };
    let in_use = ferrio_cpython::module(py, name!("errno"))?.getattr(name!("EADDRINUSE"))?;
    if error.is_instance_of::<PyOSError>(py) && error.value(py).getattr(name!("errno"))?.eq(&in_use)? {
        let text = format!("Address {} is already in use", path.repr()?);
        return Err(raised(&py.get_type::<PyOSError>().call1((in_use, text))?));
    }
    Err(error)
}
