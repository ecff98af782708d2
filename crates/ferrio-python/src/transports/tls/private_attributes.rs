//! Private attributes of asyncio's TLS transport and its `_ssl_protocol` that tools read.

use pyo3::prelude::*;

use super::TlsTransport;
use super::protocol::TlsProtocol;
use crate::event_loop::Loop;

#[pymethods]
impl TlsTransport {
    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> Bound<'py, Loop> {
        self.owner(py).clone()
    }

    #[getter]
    fn _closed(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.closed)
    }

    /// The protocol of the lower transport.
    #[getter]
    fn _ssl_protocol<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, TlsProtocol>> {
        Bound::new(slf.py(), TlsProtocol::of(slf))
    }
}

#[pymethods]
impl TlsProtocol {
    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> Bound<'py, Loop> {
        self.transport.get().owner(py).clone()
    }

    /// The transport below; None before the connection is made and once it is lost.
    #[getter]
    fn _transport<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.transport.get().lower(py).map(|lower| lower.bind(py).clone())
    }

    #[getter]
    fn _app_transport<'py>(&self, py: Python<'py>) -> Bound<'py, TlsTransport> {
        self.transport.bind(py).clone()
    }

    #[getter]
    fn _app_protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.transport.get().protocol(py)
    }

    #[getter]
    fn _app_reading_paused(&self, py: Python<'_>) -> bool {
        !TlsTransport::is_reading(self.transport.bind(py))
    }

    #[getter]
    fn _sslcontext<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.transport.get().session.context.bind(py).clone()
    }

    #[getter]
    fn _sslobj<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.transport.get().session.object.bind(py).clone()
    }

    #[getter]
    fn _server_side(&self) -> bool {
        self.transport.get().session.is_server
    }

    #[getter]
    fn _server_hostname<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.transport.get().session.object.bind(py).getattr(pyo3::intern!(py, "server_hostname"))
    }
}
