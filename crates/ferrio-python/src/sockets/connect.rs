//! Connecting: `sock_connect`, and the steps of it that connections make on their own.

use std::os::fd::RawFd;

use ferrio_cpython::loop_base::overrides;
use ferrio_engine::Role;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyInt;

use super::{check, unless_refused, waiting};
use crate::addresses::{Hints, ensure_resolved};
use crate::coroutine::{Channel, Coroutine};
use crate::event_loop::Loop;
use crate::imports;

#[pymethods]
impl Loop {
    /// Connect a socket to `address`.
    fn sock_connect(slf: &Bound<'_, Self>, sock: Py<PyAny>, address: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let this = slf.clone().unbind();
        Coroutine::spawn(slf.py(), "EventLoop.sock_connect", |channel| async move {
            connect(&this, &sock, address, &channel).await
        })
    }
}

/// Connects by the loop's `sock_connect`, which a subclass may have made another.
pub(crate) async fn connect_by_loop(
    this: &Py<Loop>,
    sock: &Py<PyAny>,
    address: Py<PyAny>,
    channel: &Channel,
) -> PyResult<()> {
    if !Python::attach(|py| is_overridden(this.bind(py)))? {
        return connect(this, sock, address, channel).await;
    }
    let connecting = Python::attach(|py| this.call_method1(py, "sock_connect", (sock, address)))?;
    channel.wait(connecting).await.map(drop)
}

/// Whether `sock_connect` is not ours.
pub(crate) fn is_overridden(slf: &Bound<'_, Loop>) -> PyResult<bool> {
    overrides(slf.as_super(), "sock_connect")
}

/// The body of `sock_connect`.
async fn connect(this: &Py<Loop>, sock: &Py<PyAny>, address: Py<PyAny>, channel: &Channel) -> PyResult<()> {
    let hints = Python::attach(|py| {
        check(this.bind(py), sock.bind(py))?;
        internet_hints(sock.bind(py))
    })?;
    let address = match hints {
        Some(hints) => {
            let infos = ensure_resolved(this, address, &hints, channel).await?;
            Python::attach(|py| infos.bind(py).get_item(0)?.get_item(4).map(Bound::unbind))?
        }
        None => address,
    };
    if Python::attach(|py| begin(sock.bind(py), address.bind(py)))? == Progress::Connected {
        return Ok(());
    }
    waiting::until_ready(this, sock, Role::Writer, channel).await?;
    Python::attach(|py| outcome(sock.bind(py), address.bind(py)))
}

/// Where connecting stands.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Connected,
    /// The socket becomes writable when it is decided.
    UnderWay,
}

/// Asks the system to connect.
///
/// # Errors
/// What it says at once.
pub(crate) fn begin(sock: &Bound<'_, PyAny>, address: &Bound<'_, PyAny>) -> PyResult<Progress> {
    let py = sock.py();
    // Interrupted or not, the attempt goes on in the background.
    Ok(match unless_refused(py, sock.call_method1(pyo3::intern!(py, "connect"), (address,)))? {
        Some(_) => Progress::Connected,
        None => Progress::UnderWay,
    })
}

/// What became of an attempt whose socket is writable now.
///
/// # Errors
/// The `OSError` that connecting ended with.
pub(crate) fn outcome(sock: &Bound<'_, PyAny>, address: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = sock.py();
    let option = (imports::socket_sol_socket(py)?, imports::socket_so_error(py)?);
    let number: i32 = sock.call_method1(pyo3::intern!(py, "getsockopt"), option)?.extract()?;
    if number != 0 {
        return Err(PyOSError::new_err((number, format!("Connect call failed {}", address.str()?))));
    }
    Ok(())
}

/// The number of a socket's descriptor.
pub(crate) fn descriptor(sock: &Bound<'_, PyAny>) -> PyResult<RawFd> {
    sock.call_method0(pyo3::intern!(sock.py(), "fileno"))?.extract()
}

/// How to resolve the address of an internet socket; None for other families, whose addresses are taken as they are.
fn internet_hints(sock: &Bound<'_, PyAny>) -> PyResult<Option<Hints>> {
    let py = sock.py();
    let family = sock.getattr(pyo3::intern!(py, "family"))?;
    if !family.eq(imports::socket_af_inet(py)?)? && !family.eq(imports::socket_af_inet6(py)?)? {
        return Ok(None);
    }
    Ok(Some(Hints {
        family: family.unbind(),
        kind: sock.getattr(pyo3::intern!(py, "type"))?.unbind(),
        proto: sock.getattr(pyo3::intern!(py, "proto"))?.unbind(),
        flags: PyInt::new(py, 0).into_any().unbind(),
    }))
}
