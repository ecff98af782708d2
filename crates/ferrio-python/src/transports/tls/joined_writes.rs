//! Joined writes of a TLS connection: the records of one callback leave in one system call of the connection below.

use pyo3::prelude::*;

use super::TlsTransport;
use super::lower_transport::Lower;
use crate::transports::socket::joined_writes;

#[pymethods]
impl TlsTransport {
    /// Whether what one callback writes may leave in one system call when the callback ends; see the transport below.
    fn set_join_writes(&self, py: Python<'_>, enabled: bool) -> PyResult<()> {
        let Some(lower) = self.lower(py) else { return Ok(()) };
        match lower.bind(py).getattr_opt(name!("set_join_writes"))? {
            Some(set_join_writes) => set_join_writes.call1((enabled,)).map(drop),
            None => Ok(()),
        }
    }
}

impl TlsTransport {
    /// Sends what the connection below holds.
    #[inline]
    pub(crate) fn send_pending(&self, py: Python<'_>) -> PyResult<()> {
        match self.lower(py) {
            Some(Lower::Socket(socket)) => joined_writes::send(socket.bind(py)),
            Some(Lower::Other(other)) => joined_writes::send_below(other.bind(py)),
            None => Ok(()),
        }
    }
}
