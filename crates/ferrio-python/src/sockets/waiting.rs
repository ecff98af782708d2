//! Waiting for a socket: a future and the registration that sets its result.
//!
//! Invariant: the registration ends with the wait, however it ends, unless somebody else has taken its place. It is one
//! for a single event: the next wait on the same socket costs one call to the poller.

use std::os::fd::RawFd;

use ferrio_cpython::Action;
use ferrio_engine::Role;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::coroutine::Channel;
use crate::descriptors::refuse_used;
use crate::event_loop::{Loop, base};
use crate::io::Handler;
use crate::transports::stream::wake_waiter;

/// Waits until the socket can be read from (`Role::Reader`) or written to (`Role::Writer`).
pub(crate) async fn until_ready(this: &Py<Loop>, sock: &Py<PyAny>, role: Role, channel: &Channel) -> PyResult<()> {
    let registration = Python::attach(|py| {
        let fd = descriptor(sock.bind(py))?;
        let future = Loop::waiter(this.bind(py))?;
        Registration::new(this.bind(py), fd, role, future, wake_waiter)
    })?;
    let future = Python::attach(|py| registration.target.clone_ref(py));
    channel.wait(future).await.map(drop)
}

/// The number of a socket's descriptor.
pub(crate) fn descriptor(sock: &Bound<'_, PyAny>) -> PyResult<RawFd> {
    sock.call_method0(pyo3::intern!(sock.py(), "fileno"))?.extract()
}

/// A registration that ends when this is dropped.
pub(crate) struct Registration {
    owner: Py<Loop>,
    fd: RawFd,
    role: Role,
    /// What is told.
    target: Py<PyAny>,
}

impl Registration {
    /// Does `action` on `target` when `fd` is ready.
    ///
    /// # Errors
    /// As `add_reader` and `add_writer` have them.
    pub(crate) fn new(
        slf: &Bound<'_, Loop>,
        fd: RawFd,
        role: Role,
        target: Bound<'_, PyAny>,
        action: Action,
    ) -> PyResult<Self> {
        let py = slf.py();
        refuse_used(slf, fd, &fd.into_pyobject(py)?.into_any())?;
        base(slf).check_open()?;
        if fd < 0 {
            return Err(ferrio_cpython::error::<PyValueError>(format!("Invalid file descriptor: {fd}")));
        }
        for replaced in slf.get().io.wait(py, fd, role, Handler::native(&target, action))? {
            replaced.retire(py)?;
        }
        Ok(Self { owner: slf.clone().unbind(), fd, role, target: target.unbind() })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        Python::try_attach(|py| {
            let target = self.target.bind(py);
            let io = &self.owner.get().io;
            let ours = io.registrations.with(py, |registrations| {
                let entry = registrations.get(self.fd)?;
                let handler = if self.role == Role::Reader { entry.reader() } else { entry.writer() };
                Some(handler?.is_of(target))
            });
            if ours == Some(true) {
                let handler = io.unregister(py, self.fd, self.role);
                drop(handler);
            }
        });
    }
}
