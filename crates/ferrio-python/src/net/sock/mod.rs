//! The `sock_*` methods: receiving, sending, connecting and accepting on the user's sockets.
//!
//! Each tries immediately and waits only if the operation would block; no data is read from a socket before the
//! requesting coroutine runs, so cancelling loses no data. A plain `socket.socket` is served by system calls on its
//! descriptor; any other object, or a class with a replaced method, by its own methods, as in asyncio.

mod accept;
pub(crate) mod connect;
mod receive;
mod send;
pub(crate) mod wait;

use std::io;
use std::os::fd::RawFd;

use ferrio_engine::{Operation, Role};
use pyo3::exceptions::{PyBlockingIOError, PyInterruptedError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

use crate::common::async_block::Channel;
use crate::common::imports;
use crate::event_loop::exception_handler;
use crate::event_loop::{Loop, base};
use crate::net::serve::create_server::refuse_ssl_socket;

/// A method of `socket.socket` that a system call replaces.
struct Direct {
    name: fn(Python<'_>) -> &Bound<'_, PyString>,
    /// The class's attribute of this name at the first use.
    original: PyOnceLock<Py<PyAny>>,
}

static RECV: Direct = Direct::new(|py| pyo3::intern!(py, "recv"));
static RECV_INTO: Direct = Direct::new(|py| pyo3::intern!(py, "recv_into"));
static SEND: Direct = Direct::new(|py| pyo3::intern!(py, "send"));

impl Direct {
    const fn new(name: fn(Python<'_>) -> &Bound<'_, PyString>) -> Self {
        Self { name, original: PyOnceLock::new() }
    }

    /// The descriptor for the system call; None if the object's own method has to be called.
    fn descriptor(&self, sock: &Bound<'_, PyAny>) -> PyResult<Option<RawFd>> {
        if !self.is_original(sock)? {
            return Ok(None);
        }
        sock.call_method0(pyo3::intern!(sock.py(), "fileno"))?.extract().map(Some)
    }

    /// Whether it is a plain socket whose method is not replaced.
    fn is_original(&self, sock: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = sock.py();
        let class = imports::socket_class(py)?;
        if !sock.get_type().is(class) {
            return Ok(false);
        }
        let name = (self.name)(py);
        let original = self.original.get_or_try_init(py, || {
            // From the base class in C, so that a replacement in the derived class does not count as original.
            ferrio_cpython::module(py, name!("_socket"))?.getattr(name!("socket"))?.getattr(name).map(Bound::unbind)
        })?;
        Ok(class.getattr(name)?.is(original))
    }
}

/// The check at the start of every `sock_*` method.
pub(crate) fn check(slf: &Bound<'_, Loop>, sock: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = slf.py();
    if !sock.get_type().is(imports::socket_class(py)?) {
        refuse_ssl_socket(sock)?;
    }
    if base(slf).debug.get() && !sock.call_method0(name!("gettimeout"))?.eq(0)? {
        return Err(ferrio_cpython::error::<PyValueError>("the socket must be non-blocking"));
    }
    Ok(())
}

/// Repeats an operation until it has a result, waiting for the socket in between.
async fn until_done<T>(
    this: &Py<Loop>,
    sock: &Py<PyAny>,
    role: Role,
    channel: &Channel,
    mut attempt: impl FnMut(&Bound<'_, Loop>, &Bound<'_, PyAny>) -> PyResult<Option<T>> + Send,
) -> PyResult<T> {
    Python::attach(|py| check(this.bind(py), sock.bind(py)))?;
    loop {
        if let Some(done) = Python::attach(|py| attempt(this.bind(py), sock.bind(py)))? {
            return Ok(done);
        }
        wait::until_ready(this, sock, role, channel).await?;
    }
}

/// Makes an attempt in a loop with a recording, which notes or gives a number and data for it. `parts` has both of a
/// result, `make` makes one of them.
#[cold]
fn attempt_recorded<T>(
    slf: &Bound<'_, Loop>,
    operation: Operation,
    offered: usize,
    attempt: impl FnOnce() -> PyResult<Option<T>>,
    parts: impl FnOnce(&T) -> PyResult<(usize, Vec<u8>)>,
    make: impl FnOnce(usize, &[u8]) -> PyResult<T>,
) -> PyResult<Option<T>> {
    let py = slf.py();
    let Some(recording) = slf.get().io.tape.get(py) else { return attempt() };
    let recording = recording.get();
    if recording.is_read(py) {
        let mut data = Vec::new();
        let answer = recording.give(py, operation, offered, |count, found| {
            data = found.unwrap_or_default().to_vec();
            operation != Operation::Receive || data.len() as u64 == count
        });
        return unless_blocked(answer)?.map(|count| make(count, &data)).transpose();
    }
    let outcome = attempt();
    let (answer, data) = match &outcome {
        Ok(Some(done)) => {
            let (count, data) = parts(done)?;
            (Ok(count), data)
        }
        Ok(None) => (Err(io::ErrorKind::WouldBlock.into()), Vec::new()),
        Err(error) => (Err(io::Error::from_raw_os_error(connect::number_of(py, error))), Vec::new()),
    };
    recording.take(py, operation, offered, &answer, &data);
    outcome
}

/// None if a system call would have blocked.
fn unless_blocked<T>(outcome: io::Result<T>) -> PyResult<Option<T>> {
    match outcome {
        Ok(done) => Ok(Some(done)),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(exception_handler::from_io(&error)),
    }
}

/// None if a method would have blocked.
fn unless_refused<'py>(py: Python<'py>, outcome: PyResult<Bound<'py, PyAny>>) -> PyResult<Option<Bound<'py, PyAny>>> {
    match outcome {
        Ok(done) => Ok(Some(done)),
        Err(error)
            if error.is_instance_of::<PyBlockingIOError>(py) || error.is_instance_of::<PyInterruptedError>(py) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
