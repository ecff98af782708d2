//! What tools read of the transport of a pipe's writing end by the names that asyncio's has for it.

use std::os::fd::RawFd;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::WritePipeTransport;
use crate::event_loop::Loop;

#[pymethods]
impl WritePipeTransport {
    #[getter]
    fn _pipe(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.end.object(py)
    }

    #[setter(_pipe)]
    fn set_pipe(&self, py: Python<'_>, pipe: Option<Py<PyAny>>) {
        self.end.set_object(py, pipe);
    }

    #[getter]
    fn _fileno(&self) -> RawFd {
        self.end.fd
    }

    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Loop>> {
        self.end.owner(py)
    }

    #[getter]
    fn _protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.end.protocol(py)
    }

    #[getter]
    fn _extra<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        self.end.extra(py)
    }

    #[getter]
    fn _closing(&self, py: Python<'_>) -> bool {
        self.end.is_closing(py)
    }

    #[getter]
    fn _conn_lost(&self, py: Python<'_>) -> u32 {
        self.state.with(py, |state| state.lost)
    }

    #[getter]
    fn _protocol_paused(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.flow.is_paused())
    }

    #[getter]
    fn _high_water(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.flow.high())
    }

    #[getter]
    fn _low_water(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.flow.low())
    }
}
