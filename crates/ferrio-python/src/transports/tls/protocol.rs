//! `TlsProtocol`: the `asyncio.BufferedProtocol` of a TLS connection's lower transport.
//!
//! ferrio's own sockets recognise its type and pass received data natively; they call only its less frequent methods.

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::memory::Text;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};
use pyo3::{PyTraverseError, PyVisit};

use super::{TlsTransport, close, handshake, receive, write};
use crate::common::imports;
use crate::common::slices::slice;

/// Size in bytes of the buffer that a foreign transport receives into.
const ROOM: usize = 256 * 1024;

/// The lower end of a `TlsTransport`.
#[pyclass(frozen, weakref, module = "ferrio")]
pub(crate) struct TlsProtocol {
    pub(crate) transport: Py<TlsTransport>,
    /// The buffer lent to foreign transports; created for the first one.
    buffer_view: GilCell<Option<Py<PyMemoryView>>>,
}

impl TlsProtocol {
    pub(crate) fn of(transport: &Bound<'_, TlsTransport>) -> Self {
        Self { transport: transport.clone().unbind(), buffer_view: GilCell::new(None) }
    }

    fn buffer_view<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        if let Some(buffer_view) = self
            .buffer_view
            .with(py, |buffer_view| buffer_view.as_ref().map(|buffer_view| buffer_view.bind(py).clone()))
        {
            return Ok(buffer_view);
        }
        let memory = PyByteArray::new_with(py, ROOM, |_| Ok(()))?;
        let buffer_view = PyMemoryView::from(memory.as_any())?;
        self.buffer_view.with(py, |place| *place = Some(buffer_view.clone().unbind()));
        Ok(buffer_view)
    }
}

#[pymethods]
impl TlsProtocol {
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<&'py Bound<'py, PyAny>> {
        imports::buffered_protocol(slf.py())
    }

    /// The lower connection is there.
    fn connection_made(&self, py: Python<'_>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        handshake::begin(self.transport.bind(py), transport)
    }

    /// The lower connection is gone.
    fn connection_lost(&self, py: Python<'_>, exc: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        close::lost(self.transport.bind(py), exc)
    }

    /// Memory to receive into.
    fn get_buffer<'py>(&self, py: Python<'py>, _sizehint: isize) -> PyResult<Bound<'py, PyMemoryView>> {
        self.buffer_view(py)
    }

    /// The memory holds `nbytes` bytes.
    fn buffer_updated(&self, py: Python<'_>, nbytes: usize) -> PyResult<()> {
        let filled = self.buffer_view(py)?.as_any().get_item(slice(py, 0, Some(nbytes))?)?;
        let data = filled.call_method0(name!("tobytes"))?.cast_into::<PyBytes>()?;
        receive::received(self.transport.bind(py), &data)
    }

    /// The peer sends no more.
    fn eof_received(&self, py: Python<'_>) -> PyResult<bool> {
        close::end_of_file(self.transport.bind(py))
    }

    /// The lower transport has too much to send.
    fn pause_writing(&self, py: Python<'_>) {
        self.transport.get().state.with(py, |state| state.lower_writing_paused = true);
    }

    /// The lower transport takes more to send.
    fn resume_writing(&self, py: Python<'_>) -> PyResult<()> {
        self.transport.get().state.with(py, |state| state.lower_writing_paused = false);
        write::send_outgoing(self.transport.bind(py))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<Text> {
        Ok(Text(format!("<TlsProtocol of {}>", self.transport.bind(py).as_any().repr()?)))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.transport)
    }
}
