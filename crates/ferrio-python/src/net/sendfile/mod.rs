//! `sendfile` and `sock_sendfile`: send a file's bytes over a connection, by a system call where possible, otherwise by
//! reading and writing.
//!
//! The rules for choosing the way, the checks, their messages and the file's final position are asyncio's.

pub(crate) mod fallback;
mod native;

use ferrio_cpython::capi::raise::raised;
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyInt;

use crate::common::async_block::{Channel, Coroutine};
use crate::common::imports;
use crate::common::numbers::{Integer, Truth};
use crate::event_loop::Loop;
use crate::locks::optional_argument::Argument;
use crate::net::sock;
use crate::transports::socket::SocketTransport;

/// A part of a file.
struct Part {
    file: Py<PyAny>,
    offset: Py<PyAny>,
    /// None or 0 for everything up to the end.
    count: Option<Py<PyAny>>,
}

#[pymethods]
impl Loop {
    /// Send a file, or `count` bytes of it from `offset` on, to a non-blocking socket; gives the number of bytes.
    #[pyo3(
        signature = (sock, file, offset=Argument(None), count=None, *, fallback=Truth(true)),
        text_signature = "($self, sock, file, offset=0, count=None, *, fallback=True)"
    )]
    fn sock_sendfile(
        slf: &Bound<'_, Self>,
        sock: Py<PyAny>,
        file: Py<PyAny>,
        offset: Argument<'_>,
        count: Option<Py<PyAny>>,
        fallback: Truth,
    ) -> PyResult<Py<PyAny>> {
        let this = slf.clone().unbind();
        let part = Part::new(slf.py(), file, offset, count);
        Coroutine::spawn(slf.py(), "EventLoop.sock_sendfile", |channel| async move {
            let this = channel.own(this);
            Python::attach(|py| {
                sock::check(this.bind(py), sock.bind(py))?;
                check(py, &part, Some(sock.bind(py)))
            })?;
            match native::to_socket(&this, &sock, &part, &channel).await {
                Err(error) if fallback.0 && is_not_available(&error) => {
                    fallback::to_socket(&this, &sock, &part, &channel).await
                }
                outcome => outcome,
            }
        })
    }

    /// Send a file, or `count` bytes of it from `offset` on, to a transport; gives the number of bytes.
    #[pyo3(
        signature = (transport, file, offset=Argument(None), count=None, *, fallback=Truth(true)),
        text_signature = "($self, transport, file, offset=0, count=None, *, fallback=True)"
    )]
    fn sendfile(
        slf: &Bound<'_, Self>,
        transport: Py<PyAny>,
        file: Py<PyAny>,
        offset: Argument<'_>,
        count: Option<Py<PyAny>>,
        fallback: Truth,
    ) -> PyResult<Py<PyAny>> {
        let this = slf.clone().unbind();
        let part = Part::new(slf.py(), file, offset, count);
        Coroutine::spawn(slf.py(), "EventLoop.sendfile", |channel| async move {
            let (this, transport) = (channel.own(this), channel.own(transport));
            to_transport(&this, &transport, &part, fallback.0, &channel).await
        })
    }

    /// `sendfile` by the system call.
    fn _sendfile_native(
        slf: &Bound<'_, Self>,
        transp: Py<PyAny>,
        file: Py<PyAny>,
        offset: Py<PyAny>,
        count: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let this = slf.clone().unbind();
        let part = Part { file, offset, count };
        Coroutine::spawn(slf.py(), "EventLoop._sendfile_native", |channel| async move {
            let (this, transp) = (channel.own(this), channel.own(transp));
            let ours =
                Python::attach(|py| transp.bind(py).cast::<SocketTransport>().ok().map(|ours| ours.clone().unbind()));
            match ours {
                Some(ours) => native::to_transport(&this, &channel.own(ours), &part, &channel).await,
                None => Err(Python::attach(|py| not_available(py, "sendfile syscall is not supported"))),
            }
        })
    }
}

impl Part {
    fn new(py: Python<'_>, file: Py<PyAny>, offset: Argument<'_>, count: Option<Py<PyAny>>) -> Self {
        Self { file, offset: offset.0.map_or_else(|| PyInt::new(py, 0).into_any().unbind(), Bound::unbind), count }
    }

    /// Offset and count as numbers; the count is None if there is no limit.
    ///
    /// # Errors
    /// `OverflowError` for values that no file can have.
    fn numbers(&self, py: Python<'_>) -> PyResult<(u64, Option<u64>)> {
        // No file has more bytes than an i64 can count, so a greater count is no limit.
        let count = self.count.as_ref().map(|count| count.extract::<Integer>(py)).transpose()?;
        let count = count.and_then(|Integer(count)| u64::try_from(count).ok()).filter(|count| *count > 0);
        let offset = self.offset.extract::<i64>(py)?;
        Ok((u64::try_from(offset)?, count))
    }
}

async fn to_transport(
    this: &Py<Loop>,
    transport: &Py<PyAny>,
    part: &Part,
    fallback: bool,
    channel: &Channel,
) -> PyResult<u64> {
    let tries_native = Python::attach(|py| tries_native(transport.bind(py)))?;
    if tries_native {
        // Looked up on the object, because test suites replace it.
        let sending = Python::attach(|py| {
            let count = part.count.as_ref().map(|count| count.clone_ref(py));
            this.call_method1(py, name!("_sendfile_native"), (transport, &part.file, &part.offset, count))
        })?;
        let outcome = channel.wait(sending).await.and_then(|sent| Python::attach(|py| sent.extract(py)));
        match outcome {
            Err(error) if fallback && is_not_available(&error) => {}
            outcome => return outcome,
        }
    }
    if !fallback {
        let shown = Python::attach(|py| transport.bind(py).repr().map(|shown| shown.to_string()))?;
        let text = format!("fallback is disabled and native sendfile is not supported for transport {shown}");
        return Err(ferrio_cpython::error::<PyRuntimeError>(text));
    }
    fallback::to_transport(this, transport, part, channel).await
}

/// Whether to try the system call with this transport; asyncio's `_SendfileMode`.
///
/// # Errors
/// `RuntimeError` for a transport that is closing or cannot send files at all.
fn tries_native(transport: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = transport.py();
    if transport.call_method0(name!("is_closing"))?.is_truthy()? {
        return Err(ferrio_cpython::error::<PyRuntimeError>("Transport is closing"));
    }
    let modes = imports::sendfile_mode(py)?;
    let mode = transport.getattr_opt(name!("_sendfile_compatible"))?;
    match mode {
        Some(mode) if !mode.is(modes.getattr(name!("UNSUPPORTED"))?) => {
            Ok(mode.is(modes.getattr(name!("TRY_NATIVE"))?))
        }
        Some(_) | None => {
            let text = format!("sendfile is not supported for transport {}", transport.repr()?);
            Err(ferrio_cpython::error::<PyRuntimeError>(text))
        }
    }
}

/// asyncio's `_check_sendfile_params`. A transport's socket is known to be a stream socket.
fn check(py: Python<'_>, part: &Part, sock: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    if let Some(mode) = part.file.bind(py).getattr_opt(name!("mode"))?
        && !mode.contains("b")?
    {
        return Err(ferrio_cpython::error::<PyValueError>("file should be opened in binary mode"));
    }
    if let Some(sock) = sock
        && !sock.getattr(name!("type"))?.eq(imports::socket_sock_stream(py)?)?
    {
        return Err(ferrio_cpython::error::<PyValueError>("only SOCK_STREAM type sockets are supported"));
    }
    if let Some(count) = &part.count {
        let count = count.bind(py);
        let text = || Ok::<_, PyErr>(format!("count must be a positive integer (got {})", count.repr()?));
        if !count.is_instance_of::<PyInt>() {
            return Err(ferrio_cpython::error::<PyTypeError>(text()?));
        }
        if count.le(0)? {
            return Err(ferrio_cpython::error::<PyValueError>(text()?));
        }
    }
    let offset = part.offset.bind(py);
    let text = || Ok::<_, PyErr>(format!("offset must be a non-negative integer (got {})", offset.repr()?));
    if !offset.is_instance_of::<PyInt>() {
        return Err(ferrio_cpython::error::<PyTypeError>(text()?));
    }
    if offset.lt(0)? {
        return Err(ferrio_cpython::error::<PyValueError>(text()?));
    }
    Ok(())
}

/// Creates an `asyncio.SendfileNotAvailableError`.
fn not_available(py: Python<'_>, text: &str) -> PyErr {
    match imports::sendfile_not_available(py).and_then(|class| class.call1((text,))) {
        Ok(error) => raised(&error),
        Err(error) => error,
    }
}

fn is_not_available(error: &PyErr) -> bool {
    Python::attach(|py| {
        imports::sendfile_not_available(py).is_ok_and(|class| error.matches(py, class).unwrap_or(false))
    })
}

/// Since 3.14 asyncio sets the file's position even if nothing was sent, and the fallback starts at the offset even if
/// it is 0.
fn always_seeks(py: Python<'_>) -> bool {
    imports::python_version(py) >= (3, 14)
}
