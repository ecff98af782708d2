//! `ServerLink`: how a connection reports its beginning and its end to the server that accepted it.

use std::os::fd::RawFd;

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

/// A function of a server for the connection with a descriptor.
type OnConnection = fn(&Bound<'_, PyAny>, RawFd) -> PyResult<()>;

/// A server, and its functions for a connection that begins and for one that is lost.
pub(crate) struct ServerLink {
    pub(crate) server: Py<PyAny>,
    pub(crate) attach: OnConnection,
    pub(crate) detach: OnConnection,
}

impl ServerLink {
    pub(super) fn attach(&self, py: Python<'_>, fd: RawFd) -> PyResult<()> {
        (self.attach)(self.server.bind(py), fd)
    }

    pub(super) fn detach(&self, py: Python<'_>, fd: RawFd) -> PyResult<()> {
        (self.detach)(self.server.bind(py), fd)
    }

    pub(super) fn clone_ref(&self, py: Python<'_>) -> Self {
        Self { server: self.server.clone_ref(py), attach: self.attach, detach: self.detach }
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.server)
    }
}
