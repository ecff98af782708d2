//! Waiting for a socket: a future, and the registration that sets its result.
//!
//! Invariant: the registration ends with the wait, however it ends, unless another one has replaced it. It is a
//! registration for one event, so that the next wait on the same socket costs one call to the poller.

use std::os::fd::RawFd;

use ferrio_cpython::Action;
use ferrio_cpython::capi::finalizer::finalizing;
use ferrio_cpython::objects::future::{DoneCallback, add_done_callback};
use ferrio_engine::Role;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::common::async_block::{Channel, Owned};
use crate::common::imports;
use crate::event_loop::handler::Handler;
use crate::event_loop::readers::refuse_used;
use crate::event_loop::{Loop, base};
use crate::transports::endpoint::wake_waiter;

/// Callbacks that asyncio's waits have, present for introspection only: the wait works without them.
static READ_DONE: DoneCallback = DoneCallback::new("BaseSelectorEventLoop._sock_read_done", |_, _| Ok(()))
    .shown_as(|py| shown(py, "_sock_read_done"));
static WRITE_DONE: DoneCallback = DoneCallback::new("BaseSelectorEventLoop._sock_write_done", |_, _| Ok(()))
    .shown_as(|py| shown(py, "_sock_write_done"));
static FILE_DONE: DoneCallback =
    DoneCallback::new("_UnixSelectorEventLoop._sock_add_cancellation_callback.<locals>.cb", |_, _| Ok(()));

/// A callback with the form of asyncio's.
#[cold]
fn shown<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let class = imports::selector_event_loop(py)?;
    imports::partial(py)?.call1((class.getattr(name)?.call_method1(name!("__get__"), (class,))?,))
}

/// Waits until the socket is readable (`Role::Reader`) or writable (`Role::Writer`).
pub(crate) async fn until_ready(this: &Py<Loop>, sock: &Py<PyAny>, role: Role, channel: &Channel) -> PyResult<()> {
    wait(this, sock, role, if role == Role::Reader { &READ_DONE } else { &WRITE_DONE }, channel).await
}

/// The same for the next bytes of a file.
pub(crate) async fn until_writable_for_file(this: &Py<Loop>, sock: &Py<PyAny>, channel: &Channel) -> PyResult<()> {
    wait(this, sock, Role::Writer, &FILE_DONE, channel).await
}

async fn wait(
    this: &Py<Loop>,
    sock: &Py<PyAny>,
    role: Role,
    callback: &'static DoneCallback,
    channel: &Channel,
) -> PyResult<()> {
    let registration = Python::attach(|py| {
        let fd = descriptor(sock.bind(py))?;
        let future = Loop::waiter(this.bind(py))?;
        add_done_callback(&future, py.None().bind(py), callback)?;
        Registration::new(this.bind(py), fd, role, future, wake_waiter, channel)
    })?;
    let future = Python::attach(|py| registration.target.clone_ref(py));
    channel.wait(future).await.map(drop)
}

/// A socket's file descriptor.
pub(crate) fn descriptor(sock: &Bound<'_, PyAny>) -> PyResult<RawFd> {
    sock.call_method0(pyo3::intern!(sock.py(), "fileno"))?.extract()
}

/// A registration that ends when this is dropped.
pub(crate) struct Registration {
    owner: Owned<Loop>,
    fd: RawFd,
    role: Role,
    /// The object that the action is called with.
    target: Owned<PyAny>,
}

impl Registration {
    /// Calls `action` with `target` when `fd` is ready.
    ///
    /// # Errors
    /// As for `add_reader` and `add_writer`.
    pub(crate) fn new(
        slf: &Bound<'_, Loop>,
        fd: RawFd,
        role: Role,
        target: Bound<'_, PyAny>,
        action: Action,
        channel: &Channel,
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
        Ok(Self { owner: channel.own(slf.clone().unbind()), fd, role, target: channel.own(target.unbind()) })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        finalizing(|py| {
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
