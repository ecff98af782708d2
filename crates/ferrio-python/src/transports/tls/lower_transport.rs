//! The transport below a TLS connection: ferrio's own socket transport, called natively, or any other, called through
//! Python.

use ferrio_cpython::capi::buffer::Data;
use ferrio_cpython::capi::memory;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3::{PyTraverseError, PyVisit};

use crate::transports::socket::SocketTransport;
use crate::transports::socket::{close, write};

/// A lower transport.
pub(super) enum Lower {
    Socket(Py<SocketTransport>),
    Other(Py<PyAny>),
}

impl Lower {
    pub(super) fn of(transport: &Bound<'_, PyAny>) -> Self {
        match transport.cast_exact::<SocketTransport>() {
            Ok(socket) => Self::Socket(socket.clone().unbind()),
            Err(_) => Self::Other(transport.clone().unbind()),
        }
    }

    pub(super) fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Socket(socket) => Self::Socket(socket.clone_ref(py)),
            Self::Other(transport) => Self::Other(transport.clone_ref(py)),
        }
    }

    pub(super) fn bind<'a, 'py>(&'a self, py: Python<'py>) -> &'a Bound<'py, PyAny> {
        match self {
            Self::Socket(socket) => socket.bind(py).as_any(),
            Self::Other(transport) => transport.bind(py),
        }
    }

    pub(super) fn write(&self, data: Bound<'_, PyBytes>) -> PyResult<()> {
        let py = data.py();
        match self {
            Self::Socket(socket) => write::send(socket.bind(py), Data::Bytes(data)),
            Self::Other(transport) => transport.bind(py).call_method1(name!("write"), (data,)).map(drop),
        }
    }

    pub(super) fn write_all(&self, py: Python<'_>, list_of_data: Vec<Py<PyBytes>>) -> PyResult<()> {
        match self {
            Self::Socket(socket) => write::send_all(socket.bind(py), list_of_data),
            Self::Other(_) if list_of_data.is_empty() => Ok(()),
            Self::Other(transport) => {
                let joined = memory::bytes(py, b"")?.call_method1(pyo3::intern!(py, "join"), (list_of_data,))?;
                transport.bind(py).call_method1(name!("write"), (joined,)).map(drop)
            }
        }
    }

    pub(super) fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.bind(py).call_method0(name!("close")).map(drop)
    }

    /// Ends the connection at once. A foreign transport may have only `abort` for this.
    pub(super) fn force_close(&self, py: Python<'_>, error: Option<PyErr>) -> PyResult<()> {
        match self {
            Self::Socket(socket) => close::force_close(socket.bind(py), error),
            Self::Other(transport) => {
                let transport = transport.bind(py);
                match transport.getattr_opt(name!("_force_close"))? {
                    Some(force_close) => force_close.call1((error.map(|error| error.into_value(py)),)).map(drop),
                    None => transport.call_method0(name!("abort")).map(drop),
                }
            }
        }
    }

    pub(super) fn is_closing(&self, py: Python<'_>) -> PyResult<bool> {
        self.bind(py).call_method0(name!("is_closing"))?.is_truthy()
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Socket(socket) => visit.call(socket),
            Self::Other(transport) => visit.call(transport),
        }
    }
}
