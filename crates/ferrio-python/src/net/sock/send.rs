//! Sending: `sock_sendall`, `sock_sendto`.

use ferrio_cpython::capi::buffer::Data;
use ferrio_engine::{Operation, Role};
use ferrio_sys::socket;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;

use super::{SEND, attempt_recorded, unless_blocked, unless_refused, until_done};
use crate::common::async_block::Coroutine;
use crate::common::slices::slice;
use crate::event_loop::{Loop, recorded_calls};

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
                let done = send(slf, sock, data, &mut sent)?;
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
                let outcome = match recorded_calls::functions(slf)? {
                    None => sock.call_method1(pyo3::intern!(py, "sendto"), (&data, &address)),
                    Some(recorded) => recorded.call_method1(name!("send_to"), (sock, &data, &address)),
                };
                Ok(unless_refused(py, outcome)?.map(Bound::unbind))
            })
            .await
        })
    }
}

/// Makes one attempt to send the data from `sent` on; `Some` once all of it is sent.
fn send(
    slf: &Bound<'_, Loop>,
    sock: &Bound<'_, PyAny>,
    data: &Bound<'_, PyAny>,
    sent: &mut usize,
) -> PyResult<Option<()>> {
    let from = *sent;
    let attempt = || send_from(sock, data, from);
    let count = if slf.get().io.tape.is_on() {
        let offered = data.len()?.saturating_sub(from);
        let parts = |count: &usize| Ok((*count, Vec::new()));
        attempt_recorded(slf, Operation::Send, offered, attempt, parts, |count, _| Ok(count))?
    } else {
        attempt()?
    };
    *sent += count.unwrap_or(0);
    let total = match Data::from_object(data) {
        Ok(data) => data.len(),
        Err(_) => data.len()?,
    };
    Ok((*sent >= total).then_some(()))
}

/// Sends what follows the first `sent` bytes; gives how many were sent, unless it would have blocked.
fn send_from(sock: &Bound<'_, PyAny>, data: &Bound<'_, PyAny>, sent: usize) -> PyResult<Option<usize>> {
    let py = sock.py();
    // The buffer is read again each time: asyncio too sends its current content.
    if let Some(fd) = SEND.descriptor(sock)?
        && let Ok(data) = Data::from_object(data)
    {
        return unless_blocked(data.with(py, |all| socket::send(fd, all.get(sent..).unwrap_or_default())));
    }
    let remaining =
        if sent == 0 { data.clone() } else { PyMemoryView::from(data)?.get_item(slice(py, sent, None)?)? };
    let outcome = sock.call_method1(pyo3::intern!(py, "send"), (remaining,));
    unless_refused(py, outcome)?.map(|count| count.extract::<usize>()).transpose()
}
