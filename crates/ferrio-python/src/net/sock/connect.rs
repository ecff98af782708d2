//! Connecting: `sock_connect`, and the steps of it that other ways to connect use.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::RawFd;

use ferrio_cpython::objects::loop_base::overrides;
use ferrio_engine::{Operation, Role};
use ferrio_sys::socket;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyInt, PyString, PyTuple};

use super::{Direct, check, unless_refused, wait};
use crate::common::async_block::{Channel, Coroutine};
use crate::common::imports;
use crate::event_loop::exception_handler;
use crate::event_loop::recorded_calls;
use crate::event_loop::recording;
use crate::event_loop::{Loop, base};
use crate::net::resolve::{Hints, ensure_resolved};

static CONNECT: Direct = Direct::new(|py| pyo3::intern!(py, "connect"));

#[pymethods]
impl Loop {
    /// Connect a socket to `address`.
    fn sock_connect(slf: &Bound<'_, Self>, sock: Py<PyAny>, address: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let this = slf.clone().unbind();
        Coroutine::spawn(slf.py(), "EventLoop.sock_connect", |channel| async move {
            let (this, sock) = (channel.own(this), channel.own(sock));
            connect(&this, &sock, address, &channel).await
        })
    }
}

/// Connects by the loop's `sock_connect`, which a subclass may override.
pub(crate) async fn connect_by_loop(
    this: &Py<Loop>,
    sock: &Py<PyAny>,
    address: Py<PyAny>,
    channel: &Channel,
) -> PyResult<()> {
    if !Python::attach(|py| is_overridden(this.bind(py)))? {
        return connect(this, sock, address, channel).await;
    }
    let connecting = Python::attach(|py| this.call_method1(py, name!("sock_connect"), (sock, address)))?;
    channel.wait(connecting).await.map(drop)
}

/// The same for ferrio's own stream socket of this family, whose address is already resolved.
pub(crate) async fn connect_ours(
    this: &Py<Loop>,
    sock: &Py<PyAny>,
    family: &Py<PyAny>,
    address: Py<PyAny>,
    channel: &Channel,
) -> PyResult<()> {
    let direct = Python::attach(|py| {
        let known = is_numeric(family.bind(py), address.bind(py))?;
        Ok::<_, PyErr>(known && !is_overridden(this.bind(py))?)
    })?;
    if !direct {
        return connect_by_loop(this, sock, address, channel).await;
    }
    let connected = Python::attach(|py| {
        let sock = sock.bind(py);
        check(this.bind(py), sock)?;
        let slf = this.bind(py);
        if begin(slf, sock, address.bind(py))? == Progress::Connected {
            return Ok(true);
        }
        // A connection to the same machine is complete by now, although the system reports it as in progress. The
        // descriptor of a simulated socket always has a peer.
        let fd = descriptor(sock)?;
        if recording::is_any() && slf.get().io.tape.is_on() {
            let look = || Ok(usize::from(socket::peer_address(fd).is_ok()));
            return Ok(
                recorded_calls::number(py, || Some(slf.clone()), Operation::Connected, 0, look).is_ok_and(|it| it == 1)
            );
        }
        Ok::<_, PyErr>(!base(slf).has_simulated_io() && socket::peer_address(fd).is_ok())
    })?;
    if connected { Ok(()) } else { until_connected(this, sock, &address, channel).await }
}

/// Whether an address is already what resolving it would return.
fn is_numeric(family: &Bound<'_, PyAny>, address: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = address.py();
    let Ok(address) = address.cast_exact::<PyTuple>() else { return Ok(false) };
    let (Ok(host), Ok(port)) = (address.get_item(0), address.get_item(1)) else { return Ok(false) };
    let Ok(host) = host.cast_exact::<PyString>() else { return Ok(false) };
    if !port.is_exact_instance_of::<PyInt>() {
        return Ok(false);
    }
    let host = host.to_string_lossy();
    Ok(match address.len() {
        2 => host.parse::<Ipv4Addr>().is_ok() && family.eq(imports::socket_af_inet(py)?)?,
        4 => host.parse::<Ipv6Addr>().is_ok() && family.eq(imports::socket_af_inet6(py)?)?,
        _ => false,
    })
}

/// Whether a subclass overrides `sock_connect`.
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
    if Python::attach(|py| begin(this.bind(py), sock.bind(py), address.bind(py)))? == Progress::Connected {
        return Ok(());
    }
    until_connected(this, sock, &address, channel).await
}

async fn until_connected(this: &Py<Loop>, sock: &Py<PyAny>, address: &Py<PyAny>, channel: &Channel) -> PyResult<()> {
    wait::until_ready(this, sock, Role::Writer, channel).await?;
    Python::attach(|py| outcome(this.bind(py), sock.bind(py), address.bind(py)))
}

/// The progress of a connect.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Connected,
    /// The socket becomes writable when the outcome is known.
    UnderWay,
}

/// Starts a connect.
///
/// # Errors
/// The system's error, if it fails immediately.
pub(crate) fn begin(slf: &Bound<'_, Loop>, sock: &Bound<'_, PyAny>, address: &Bound<'_, PyAny>) -> PyResult<Progress> {
    if slf.get().io.tape.is_on() { begin_recorded(slf, sock, address) } else { begin_now(sock, address) }
}

/// The same in a loop with a recording, which has the number of the error.
#[cold]
fn begin_recorded(slf: &Bound<'_, Loop>, sock: &Bound<'_, PyAny>, address: &Bound<'_, PyAny>) -> PyResult<Progress> {
    let py = slf.py();
    let mut outcome = None;
    let answer = recorded_calls::number(
        py,
        || Some(slf.clone()),
        Operation::Connect,
        0,
        || {
            outcome = Some(begin_now(sock, address));
            match &outcome {
                Some(Ok(Progress::Connected)) | None => Ok(0),
                Some(Ok(Progress::UnderWay)) => Ok(1),
                Some(Err(error)) => Err(io::Error::from_raw_os_error(number_of(py, error))),
            }
        },
    );
    if let Some(outcome) = outcome {
        return outcome;
    }
    sock.call_method1(name!("connected_by_recording"), (address,))?;
    match answer {
        Ok(0) => Ok(Progress::Connected),
        Ok(_) => Ok(Progress::UnderWay),
        Err(error) => Err(exception_handler::from_io(&error)),
    }
}

/// The number of an `OSError`; 0 of any other exception.
pub(super) fn number_of(py: Python<'_>, error: &PyErr) -> i32 {
    let number = || error.value(py).getattr_opt(name!("errno")).ok()??.extract::<i32>().ok();
    number().unwrap_or(0)
}

fn begin_now(sock: &Bound<'_, PyAny>, address: &Bound<'_, PyAny>) -> PyResult<Progress> {
    let py = sock.py();
    if CONNECT.is_original(sock)? {
        return match connect_ex(py)?.call1((sock, address)) {
            Ok(number) => progress(number.extract()?),
            // The address is malformed. `connect()` is called so that the error names it instead of `connect_ex()`.
            Err(_) => sock.call_method1(pyo3::intern!(py, "connect"), (address,)).map(|_| Progress::Connected),
        };
    }
    // Interrupted or not, the connect continues in the background.
    Ok(match unless_refused(py, sock.call_method1(pyo3::intern!(py, "connect"), (address,)))? {
        Some(_) => Progress::Connected,
        None => Progress::UnderWay,
    })
}

/// `connect_ex` of the base class in C: most attempts stay in progress, and an exception for each would be costly.
fn connect_ex(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static METHOD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let method = METHOD.get_or_try_init(py, || {
        let class = ferrio_cpython::module(py, name!("_socket"))?.getattr(name!("socket"))?;
        class.getattr(name!("connect_ex")).map(Bound::unbind)
    })?;
    Ok(method.bind(py))
}

fn progress(number: i32) -> PyResult<Progress> {
    if number == 0 {
        return Ok(Progress::Connected);
    }
    let error = io::Error::from_raw_os_error(number);
    if socket::is_under_way(&error) { Ok(Progress::UnderWay) } else { Err(exception_handler::from_io(&error)) }
}

/// The outcome of a connect whose socket is writable now.
///
/// # Errors
/// The `OSError` that the connect ended with.
pub(crate) fn outcome(slf: &Bound<'_, Loop>, sock: &Bound<'_, PyAny>, address: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = sock.py();
    let option = (imports::socket_sol_socket(py)?, imports::socket_so_error(py)?);
    let look = || sock.call_method1(pyo3::intern!(py, "getsockopt"), option)?.extract::<i32>();
    let number = if slf.get().io.tape.is_on() { recorded_outcome(slf, look)? } else { look()? };
    if number != 0 {
        return Err(ferrio_cpython::error::<PyOSError>((number, format!("Connect call failed {}", address.str()?))));
    }
    Ok(())
}

#[cold]
fn recorded_outcome(slf: &Bound<'_, Loop>, look: impl FnOnce() -> PyResult<i32>) -> PyResult<i32> {
    let mut failed = None;
    let answer = recorded_calls::number(
        slf.py(),
        || Some(slf.clone()),
        Operation::ConnectOutcome,
        0,
        || {
            let found = look();
            let number = *found.as_ref().unwrap_or(&0);
            failed = found.err();
            Ok(usize::try_from(number).unwrap_or(0))
        },
    );
    match failed {
        Some(error) => Err(error),
        None => Ok(answer.ok().and_then(|number| i32::try_from(number).ok()).unwrap_or(0)),
    }
}

/// A socket's file descriptor.
pub(crate) fn descriptor(sock: &Bound<'_, PyAny>) -> PyResult<RawFd> {
    sock.call_method0(pyo3::intern!(sock.py(), "fileno"))?.extract()
}

/// How to resolve the address of an internet socket; None for other families, whose addresses need no lookup.
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
