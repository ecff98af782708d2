//! Waiting for a socket: a future and the registration that sets its result.
//!
//! Invariant: a level registration ends with the wait, however it ends, unless somebody else has taken its place; a
//! standing one stays, but no longer knows the future.

use std::os::fd::RawFd;

use ferrio_cpython::Action;
use ferrio_engine::Role;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::parking::{self, Place};
use crate::coroutine::Channel;
use crate::descriptors::refuse_used;
use crate::event_loop::{Loop, base};
use crate::imports;
use crate::io::Handler;
use crate::transports::stream::wake_waiter;

/// What ends a wait.
enum Wait {
    Standing(Place),
    Level(Registration),
}

/// Waits until the socket can be read from (`Role::Reader`) or written to (`Role::Writer`). The system must just have
/// said that it cannot.
pub(crate) async fn until_ready(this: &Py<Loop>, sock: &Py<PyAny>, role: Role, channel: &Channel) -> PyResult<()> {
    let (wait, future) = Python::attach(|py| {
        let wait = begin(this.bind(py), sock.bind(py), role)?;
        let future = match &wait {
            Wait::Standing(place) => place.future().clone_ref(py),
            Wait::Level(registration) => registration.target.clone_ref(py),
        };
        Ok::<_, PyErr>((wait, future))
    })?;
    let outcome = channel.wait(future).await;
    drop(wait);
    outcome.map(drop)
}

/// The same by level and for this once: what was said before does not count.
pub(super) async fn until_writable(this: &Py<Loop>, sock: &Py<PyAny>, channel: &Channel) -> PyResult<()> {
    let registration = Python::attach(|py| level(this.bind(py), descriptor(sock.bind(py))?, Role::Writer))?;
    let future = Python::attach(|py| registration.target.clone_ref(py));
    channel.wait(future).await.map(drop)
}

fn begin(slf: &Bound<'_, Loop>, sock: &Bound<'_, PyAny>, role: Role) -> PyResult<Wait> {
    let fd = descriptor(sock)?;
    if sock.get_type().is(imports::socket_class(slf.py())?) {
        let future = Loop::create_future(slf)?;
        if let Some(place) = parking::wait(slf, sock, fd, role, &future)? {
            return Ok(Wait::Standing(place));
        }
    }
    level(slf, fd, role).map(Wait::Level)
}

fn level(slf: &Bound<'_, Loop>, fd: RawFd, role: Role) -> PyResult<Registration> {
    Registration::new(slf, fd, role, Loop::create_future(slf)?, wake_waiter)
}

/// The number of a socket's descriptor.
pub(crate) fn descriptor(sock: &Bound<'_, PyAny>) -> PyResult<RawFd> {
    sock.call_method0(pyo3::intern!(sock.py(), "fileno"))?.extract()
}

/// What asyncio checks before it watches a descriptor.
pub(super) fn refuse_watching(slf: &Bound<'_, Loop>, fd: RawFd) -> PyResult<()> {
    refuse_used(slf, fd, &fd.into_pyobject(slf.py())?.into_any())?;
    base(slf).check_open()?;
    if fd < 0 {
        return Err(PyValueError::new_err(format!("Invalid file descriptor: {fd}")));
    }
    Ok(())
}

/// A level registration that ends when this is dropped.
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
        refuse_watching(slf, fd)?;
        for replaced in slf.get().io.register(py, fd, role, Handler::native(&target, action))? {
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
