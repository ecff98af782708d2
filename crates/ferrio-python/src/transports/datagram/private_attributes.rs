//! Private attributes of asyncio's datagram transport that tools read.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::{DatagramTransport, receive};
use crate::event_loop::Loop;
use crate::transports::endpoint::Endpoint;
use crate::transports::private_attributes::show_flow;

show_flow!(DatagramTransport, |state| state.lost);

#[pymethods]
impl DatagramTransport {
    /// The largest datagram that is taken whole.
    #[classattr]
    fn max_size() -> usize {
        receive::LARGEST
    }

    #[getter]
    fn _protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.protocol(py)
    }

    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Loop>> {
        self.owner(py)
    }

    #[getter]
    fn _extra<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        self.extra.bind(py).clone()
    }

    #[getter]
    fn _sock<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.sock.as_ref().map(|sock| sock.bind(py).clone()))
    }

    #[getter]
    fn _sock_fd(&self) -> i32 {
        self.fd
    }

    #[getter]
    fn _address<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.remote.as_ref().map(|(address, _)| address.bind(py).clone())
    }

    #[getter]
    fn _closing(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.closing)
    }

    #[getter]
    fn _buffer_size(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.queued)
    }
}
