//! Sending: `sock_sendall`, `sock_sendto`.

use ferrio_cpython::capi::buffer::Data;
use ferrio_engine::Role;
use ferrio_sys::socket;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;

use super::{SEND, unless_blocked, unless_refused, until_done};
use crate::common::async_block::Coroutine;
use crate::common::slices::slice;
use crate::event_loop::Loop;

#[pymethods]
impl Loop {
    /// Send all of `data`.
    fn sock_sendall(slf: &Bound<'_, Self>, sock: Py<PyAny>, data: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let this = slf.clone().unbind();
        Coroutine::spawn(slf.py(), "EventLoop.sock_sendall", |channel| async move {
            let (this, sock) = (channel.own(this), channel.own(sock));
            let mut sent = 0;
            let mut view = None;
            until_done(&this, &sock, Role::Writer, &channel, |slf, sock| {
                let data = data.bind(slf.py());
                let done = send(sock, data, &mut sent)?;
                if done.is_none() && view.is_none() {
                    // Held until all is sent: meanwhile a bytearray cannot be resized.
                    view = Some(PyMemoryView::from(data)?.unbind());
                }
                Ok(done)
            })
            .await
        })
    }

    /// Send a datagram to `address`; gives the number of bytes.
    fn sock_sendto(slf: &Bound<'_, Self>, sock: Py<PyAny>, data: Py<PyAny>, address: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let this = slf.clone().unbind();
        Coroutine::spawn(slf.py(), "EventLoop.sock_sendto", |channel| async move {
            let (this, sock) = (channel.own(this), channel.own(sock));
            until_done(&this, &sock, Role::Writer, &channel, |slf, sock| {
                let py = slf.py();
                let outcome = sock.call_method1(pyo3::intern!(py, "sendto"), (&data, &address));
                Ok(unless_refused(py, outcome)?.map(Bound::unbind))
            })
            .await
        })
    }
}

/// Makes one attempt to send the data from `sent` on; `Some` once all of it is sent.
fn send(sock: &Bound<'_, PyAny>, data: &Bound<'_, PyAny>, sent: &mut usize) -> PyResult<Option<()>> {
    let py = sock.py();
    // The buffer is read again each time: asyncio too sends its current content.
    if let Some(fd) = SEND.descriptor(sock)?
        && let Ok(data) = Data::from_object(data)
    {
        let outcome = data.with(py, |all| socket::send(fd, all.get(*sent..).unwrap_or_default()));
        *sent += unless_blocked(outcome)?.unwrap_or(0);
        return Ok((*sent >= data.len()).then_some(()));
    }
    let remaining =
        if *sent == 0 { data.clone() } else { PyMemoryView::from(data)?.get_item(slice(py, *sent, None)?)? };
    let outcome = sock.call_method1(pyo3::intern!(py, "send"), (remaining,));
    if let Some(count) = unless_refused(py, outcome)? {
        *sent += count.extract::<usize>()?;
    }
    Ok((*sent >= data.len()?).then_some(()))
}
