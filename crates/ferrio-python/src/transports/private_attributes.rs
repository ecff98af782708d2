//! Private attributes of asyncio's socket transport that tools read; those of the other transports are in their
//! folders.
//!
//! The macros are for attributes that several transports share; their classes have fields of the same names.

use pyo3::prelude::*;

use super::socket::SocketTransport;

/// The attributes for failed writes and water marks of transports that write.
macro_rules! show_flow {
    ($class:ty, |$state:ident| $lost:expr) => {
        #[pymethods]
        impl $class {
            #[getter]
            fn _conn_lost(&self, py: Python<'_>) -> u32 {
                self.state.with(py, |$state| $lost)
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
    };
}

/// The attributes for the loop's end of a pipe.
macro_rules! show_pipe_end {
    ($class:ty) => {
        #[pymethods]
        impl $class {
            #[getter]
            fn _pipe(&self, py: Python<'_>) -> Option<Py<PyAny>> {
                self.end.object(py)
            }

            #[setter(_pipe)]
            fn set_pipe(&self, py: Python<'_>, pipe: Option<Py<PyAny>>) {
                self.end.set_object(py, pipe);
            }

            #[getter]
            fn _fileno(&self) -> std::os::fd::RawFd {
                self.end.fd
            }

            #[getter]
            fn _loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, $crate::event_loop::Loop>> {
                self.end.owner(py)
            }

            #[getter]
            fn _protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
                self.end.protocol(py)
            }

            #[getter]
            fn _extra<'py>(&self, py: Python<'py>) -> Bound<'py, pyo3::types::PyDict> {
                self.end.extra(py)
            }

            #[getter]
            fn _closing(&self, py: Python<'_>) -> bool {
                self.end.is_closing(py)
            }
        }
    };
}

pub(super) use {show_flow, show_pipe_end};

show_flow!(SocketTransport, |state| state.lifecycle.conn_lost());

#[pymethods]
impl SocketTransport {
    /// How much is received at once, at most.
    #[classattr]
    fn max_size() -> usize {
        256 * 1024
    }

    #[getter]
    fn _closing(&self, py: Python<'_>) -> bool {
        self.is_closing_now(py)
    }

    #[getter]
    fn _eof(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.eof_written)
    }

    #[getter]
    fn _server<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.server.as_ref().map(|server| server.server.bind(py).clone()))
    }
}
