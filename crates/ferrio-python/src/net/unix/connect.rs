//! Unix sockets: `create_unix_connection`, and functions that servers and datagram endpoints share with it.

use pyo3::exceptions::{PyAssertionError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::common::async_block::{Channel, Coroutine};
use crate::common::close_guard::CloseGuard;
use crate::common::imports;
use crate::event_loop::Loop;
use crate::net::connect::create_connection::establish;
use crate::net::sock::connect::connect_by_loop;
use crate::transports::tls::options::Options;

#[pymethods]
impl Loop {
    /// Connect to the Unix stream socket at `path`, or use a connected socket; gives (transport, protocol).
    #[pyo3(signature = (
        protocol_factory, path=None, *, ssl=None, sock=None, server_hostname=None, ssl_handshake_timeout=None,
        ssl_shutdown_timeout=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "asyncio's signature")]
    fn create_unix_connection(
        slf: &Bound<'_, Self>,
        protocol_factory: Py<PyAny>,
        path: Option<Py<PyAny>>,
        ssl: Option<Py<PyAny>>,
        sock: Option<Py<PyAny>>,
        server_hostname: Option<Py<PyAny>>,
        ssl_handshake_timeout: Option<Py<PyAny>>,
        ssl_shutdown_timeout: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let this = slf.clone().unbind();
        Coroutine::spawn(slf.py(), "EventLoop.create_unix_connection", |channel| async move {
            let (this, protocol_factory) = (channel.own(this), channel.own(protocol_factory));
            let wanted = Python::attach(|py| {
                let wanted = ssl.as_ref().map_or(Ok(false), |ssl| ssl.is_truthy(py))?;
                let timeouts = [ssl_handshake_timeout.is_some(), ssl_shutdown_timeout.is_some()];
                check_tls(py, wanted, server_hostname.as_ref(), timeouts)?;
                check_source(py, path.as_ref(), sock.as_ref())?;
                Ok::<_, PyErr>(wanted)
            })?;
            let sock = match (sock, path) {
                (Some(sock), _) => CloseGuard::passed_in(sock),
                (None, Some(path)) => connect_to(&this, &path, &channel).await?,
                (None, None) => return Err(ferrio_cpython::error::<PyValueError>("no path and sock were specified")),
            };
            let timeouts = [ssl_handshake_timeout, ssl_shutdown_timeout];
            let options = Python::attach(|py| {
                ssl.filter(|_| wanted).map(|ssl| Options::client(py, ssl, server_hostname, timeouts)).transpose()
            })?;
            establish(&this, sock, &protocol_factory, options, &channel).await
        })
    }
}

fn check_tls(py: Python<'_>, wanted: bool, hostname: Option<&Py<PyAny>>, timeouts: [bool; 2]) -> PyResult<()> {
    if hostname.is_some_and(|hostname| !hostname.bind(py).is_instance_of::<PyString>()) {
        return Err(ferrio_cpython::error::<PyAssertionError>(()));
    }
    if wanted {
        return match hostname {
            Some(_) => Ok(()),
            None => Err(ferrio_cpython::error::<PyValueError>("you have to pass server_hostname when using ssl")),
        };
    }
    let given = [("server_hostname", hostname.is_some())]
        .into_iter()
        .chain(["ssl_handshake_timeout", "ssl_shutdown_timeout"].into_iter().zip(timeouts));
    for (name, given) in given {
        if given {
            return Err(ferrio_cpython::error::<PyValueError>(format!("{name} is only meaningful with ssl")));
        }
    }
    Ok(())
}

fn check_source(py: Python<'_>, path: Option<&Py<PyAny>>, sock: Option<&Py<PyAny>>) -> PyResult<()> {
    match (path, sock) {
        (Some(_), Some(_)) => {
            Err(ferrio_cpython::error::<PyValueError>("path and sock can not be specified at the same time"))
        }
        (Some(_), None) => Ok(()),
        (None, Some(sock)) => check_stream(sock.bind(py)),
        (None, None) => Err(ferrio_cpython::error::<PyValueError>("no path and sock were specified")),
    }
}

/// Refuses everything but Unix stream sockets.
pub(crate) fn check_stream(sock: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = sock.py();
    let unix = sock.getattr(name!("family"))?.eq(imports::socket_af_unix(py)?)?;
    if unix && sock.getattr(name!("type"))?.eq(imports::socket_sock_stream(py)?)? {
        return Ok(());
    }
    Err(ferrio_cpython::error::<PyValueError>(format!(
        "A UNIX Domain Stream Socket was expected, got {}",
        sock.repr()?
    )))
}

async fn connect_to(this: &Py<Loop>, path: &Py<PyAny>, channel: &Channel) -> PyResult<CloseGuard> {
    let (sock, owned, path) = Python::attach(|py| {
        let path = file_system_path(path.bind(py))?.unbind();
        let sock = make_socket(py)?;
        sock.bind(py).call_method1(name!("setblocking"), (false,))?;
        let owned = sock.bind(py).clone().unbind();
        Ok::<_, PyErr>((sock, owned, path))
    })?;
    connect_by_loop(this, &owned, path, channel).await?;
    Ok(sock)
}

/// Creates a Unix stream socket.
pub(crate) fn make_socket(py: Python<'_>) -> PyResult<CloseGuard> {
    let arguments = (imports::socket_af_unix(py)?, imports::socket_sock_stream(py)?);
    Ok(CloseGuard::created(
        ferrio_cpython::module(py, name!("socket"))?.getattr(name!("socket"))?.call1(arguments)?.unbind(),
    ))
}

/// `os.fspath(path)`.
pub(crate) fn file_system_path<'py>(path: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    ferrio_cpython::module(path.py(), name!("os"))?.call_method1(name!("fspath"), (path,))
}

/// Whether a socket name, str or bytes, is abstract, so that it names no file.
pub(crate) fn is_abstract(name: &Bound<'_, PyAny>) -> PyResult<bool> {
    let first = name.get_item(0)?;
    Ok(first.eq(0)? || first.eq("\0")?)
}
