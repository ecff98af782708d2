//! The TLS arguments of `create_connection`, `create_server` and similar functions, and the creation of TLS transports
//! from them.

use ferrio_cpython::capi::memory;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict};

use super::protocol::TlsProtocol;
use super::{TlsTransport, Waiter, make};
use crate::common::imports;
use crate::event_loop::Loop;
use crate::transports::socket;

/// The TLS arguments of a connection.
pub(crate) struct Options {
    /// None for a default context, which verifies peers by the system's certificates.
    context: Option<Py<PyAny>>,
    server_side: bool,
    /// On the client's side only.
    server_hostname: Option<Py<PyAny>>,
    handshake_timeout: Option<Py<PyAny>>,
    shutdown_timeout: Option<Py<PyAny>>,
}

impl Options {
    /// The options of a client; `ssl` is true or a context.
    pub(crate) fn client(
        py: Python<'_>,
        ssl: Py<PyAny>,
        server_hostname: Option<Py<PyAny>>,
        timeouts: [Option<Py<PyAny>>; 2],
    ) -> PyResult<Self> {
        let [handshake_timeout, shutdown_timeout] = timeouts;
        let context = Some(ssl).filter(|ssl| !ssl.bind(py).is_instance_of::<PyBool>());
        let named = server_hostname.as_ref().map_or(Ok(false), |name| name.is_truthy(py))?;
        let server_hostname = server_hostname.filter(|_| named);
        Ok(Self { context, server_side: false, server_hostname, handshake_timeout, shutdown_timeout })
    }

    /// The options of a server.
    pub(crate) fn server(context: Option<Py<PyAny>>, timeouts: [Option<Py<PyAny>>; 2]) -> Self {
        let [handshake_timeout, shutdown_timeout] = timeouts;
        Self { context, server_side: true, server_hostname: None, handshake_timeout, shutdown_timeout }
    }

    /// The options of a server; None if its `ssl` argument says not to use TLS.
    pub(crate) fn of_server(
        py: Python<'_>,
        ssl: Option<Py<PyAny>>,
        timeouts: [Option<Py<PyAny>>; 2],
    ) -> PyResult<Option<Self>> {
        let wanted = ssl.as_ref().map_or(Ok(false), |ssl| ssl.is_truthy(py))?;
        let context = ssl.filter(|ssl| !ssl.bind(py).is_instance_of::<PyBool>());
        Ok(wanted.then(|| Self::server(context, timeouts)))
    }

    pub(super) fn checked_handshake_timeout(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        positive(py, self.handshake_timeout.as_ref(), "ssl_handshake_timeout", "SSL_HANDSHAKE_TIMEOUT")
    }

    pub(super) fn checked_shutdown_timeout(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        positive(py, self.shutdown_timeout.as_ref(), "ssl_shutdown_timeout", "SSL_SHUTDOWN_TIMEOUT")
    }

    /// The context that was passed in.
    pub(crate) fn given_context<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.context.as_ref().map(|context| context.bind(py).clone())
    }

    /// The context; the result of asyncio's `_create_transport_context` if none was passed in.
    pub(super) fn ssl_context<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(context) = &self.context {
            return Ok(context.bind(py).clone());
        }
        if self.server_side {
            return Err(ferrio_cpython::error::<PyValueError>("Server side SSL needs a valid SSLContext"));
        }
        let context = ferrio_cpython::module(py, name!("ssl"))?.getattr(name!("create_default_context"))?.call0()?;
        if self.server_hostname.is_none() {
            context.setattr(name!("check_hostname"), false)?;
        }
        Ok(context)
    }

    /// The keyword arguments of `SSLContext.wrap_bio`.
    pub(super) fn wrapping<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let keywords = memory::dict(py)?;
        keywords.set_item(name!("server_side"), self.server_side)?;
        keywords.set_item(name!("server_hostname"), &self.server_hostname)?;
        Ok(keywords)
    }

    /// Whether this end is the server.
    pub(super) const fn is_server(&self) -> bool {
        self.server_side
    }

    pub(crate) fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.context)
    }
}

/// The given timeout or asyncio's default; asyncio's error unless it is positive.
fn positive(py: Python<'_>, given: Option<&Py<PyAny>>, name: &str, default: &str) -> PyResult<Py<PyAny>> {
    let Some(given) = given else {
        return Ok(imports::constants(py)?.getattr(default)?.unbind());
    };
    if given.bind(py).le(0)? {
        let text = format!("{name} should be a positive number, got {}", given.bind(py).str()?);
        return Err(ferrio_cpython::error::<PyValueError>(text));
    }
    Ok(given.clone_ref(py))
}

/// Creates the TLS transport of a connected socket, and the transport below it.
pub(crate) fn connect<'py>(
    slf: &Bound<'py, Loop>,
    sock: Bound<'py, PyAny>,
    protocol: Bound<'py, PyAny>,
    context: Bound<'py, PyAny>,
    options: &Options,
    waiter: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let transport = make(slf, protocol, options, Waiter::Future(waiter.unbind()), true)?;
    let below = Bound::new(slf.py(), TlsProtocol::of(&transport))?;
    match socket::connect::connect(slf, sock, below.into_any(), context, None) {
        Ok(_) => Ok(transport.into_any()),
        Err(error) => {
            transport.get().state.with(slf.py(), |state| state.closed = true);
            Err(error)
        }
    }
}

/// The lower protocol for a connection that a server accepted.
pub(crate) fn accept<'py>(
    slf: &Bound<'py, Loop>,
    protocol: Bound<'py, PyAny>,
    options: &Options,
) -> PyResult<Bound<'py, PyAny>> {
    let transport: Bound<'py, TlsTransport> = make(slf, protocol, options, Waiter::Accepted, true)?;
    Ok(Bound::new(slf.py(), TlsProtocol::of(&transport))?.into_any())
}
