//! What tools read of a socket's transport by the names that asyncio's has for it.

use pyo3::prelude::*;

use super::stream::SocketTransport;
use crate::server::Server;

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
    fn _conn_lost(&self, py: Python<'_>) -> u32 {
        self.state.with(py, |state| state.lost)
    }

    #[getter]
    fn _eof(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.eof_written)
    }

    #[getter]
    fn _server<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Server>> {
        self.state.with(py, |state| state.server.as_ref().map(|server| server.bind(py).clone()))
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
