//! Accepting: `sock_accept`.

use ferrio_engine::Role;
use pyo3::prelude::*;

use super::{unless_refused, until_done};
use crate::common::async_block::Coroutine;
use crate::event_loop::Loop;

#[pymethods]
impl Loop {
    /// Accept a connection on a listening socket; gives the connection's socket, non-blocking, and the peer's address.
    fn sock_accept(slf: &Bound<'_, Self>, sock: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let this = slf.clone().unbind();
        Coroutine::spawn(slf.py(), "EventLoop.sock_accept", |channel| async move {
            let (this, sock) = (channel.own(this), channel.own(sock));
            until_done(&this, &sock, Role::Reader, &channel, |_, sock| accept(sock)).await
        })
    }
}

type Accepted = (Py<PyAny>, Py<PyAny>);

fn accept(sock: &Bound<'_, PyAny>) -> PyResult<Option<Accepted>> {
    let py = sock.py();
    let Some(accepted) = unless_refused(py, sock.call_method0(pyo3::intern!(py, "accept")))? else {
        return Ok(None);
    };
    let (connection, address): (Bound<'_, PyAny>, Bound<'_, PyAny>) = accepted.extract()?;
    connection.call_method1(pyo3::intern!(py, "setblocking"), (false,))?;
    Ok(Some((connection.unbind(), address.unbind())))
}
