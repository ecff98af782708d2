//! Accepting: `sock_accept`.

use std::os::fd::IntoRawFd;

use ferrio_cpython::capi::memory;
use ferrio_engine::{Operation, Role};
use ferrio_sys::SocketAddress;
use pyo3::prelude::*;

use super::{attempt_recorded, unless_refused, until_done};
use crate::common::async_block::Coroutine;
use crate::common::imports;
use crate::event_loop::{Loop, exception_handler, recorded_calls};
use crate::transports::address;

#[pymethods]
impl Loop {
    /// Accept a connection on a listening socket; gives the connection's socket, non-blocking, and the peer's address.
    fn sock_accept(slf: &Bound<'_, Self>, sock: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let this = slf.clone().unbind();
        Coroutine::spawn(slf.py(), "EventLoop.sock_accept", |channel| async move {
            let (this, sock) = (channel.own(this), channel.own(sock));
            until_done(&this, &sock, Role::Reader, &channel, accept).await
        })
    }
}

type Accepted = (Py<PyAny>, Py<PyAny>);

fn accept(slf: &Bound<'_, Loop>, sock: &Bound<'_, PyAny>) -> PyResult<Option<Accepted>> {
    if !slf.get().io.tape.is_on() {
        return accept_now(sock);
    }
    let py = slf.py();
    let parts = |accepted: &Accepted| {
        let peer = address::from_python(accepted.1.bind(py));
        Ok((0, peer.map(|peer| peer.to_bytes()).unwrap_or_default()))
    };
    let make = |_, data: &[u8]| {
        let peer = SocketAddress::from_bytes(data).unwrap_or(SocketAddress::Unix(Vec::new()));
        let made = recorded_calls::open_stand_in(&peer).map_err(|error| exception_handler::from_io(&error))?;
        let keywords = memory::dict(py)?;
        keywords.set_item(name!("fileno"), made.into_raw_fd())?;
        let connection = imports::socket_class(py)?.call((), Some(&keywords))?;
        connection.call_method1(pyo3::intern!(py, "setblocking"), (false,))?;
        Ok((connection.unbind(), address::to_python(py, &peer)?.unbind()))
    };
    attempt_recorded(slf, Operation::Accept, 0, || accept_now(sock), parts, make)
}

fn accept_now(sock: &Bound<'_, PyAny>) -> PyResult<Option<Accepted>> {
    let py = sock.py();
    let Some(accepted) = unless_refused(py, sock.call_method0(pyo3::intern!(py, "accept")))? else {
        return Ok(None);
    };
    let (connection, address): (Bound<'_, PyAny>, Bound<'_, PyAny>) = accepted.extract()?;
    connection.call_method1(pyo3::intern!(py, "setblocking"), (false,))?;
    Ok(Some((connection.unbind(), address.unbind())))
}
