//! Receiving: `sock_recv`, `sock_recv_into`, `sock_recvfrom`, `sock_recvfrom_into`.

use ferrio_cpython::capi::buffer::Target;
use ferrio_cpython::capi::memory;
use ferrio_engine::{Operation, Role};
use ferrio_sys::socket;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::{RECV, RECV_INTO, attempt_recorded, unless_blocked, unless_refused, until_done};
use crate::common::async_block::Coroutine;
use crate::event_loop::{Loop, recorded_calls};

#[pymethods]
impl Loop {
    /// Receive at most `n` bytes from a socket.
    fn sock_recv(slf: &Bound<'_, Self>, sock: Py<PyAny>, n: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let this = slf.clone().unbind();
        Coroutine::spawn(slf.py(), "EventLoop.sock_recv", |channel| async move {
            let (this, sock) = (channel.own(this), channel.own(sock));
            until_done(&this, &sock, Role::Reader, &channel, |slf, sock| receive(slf, sock, n.bind(slf.py()))).await
        })
    }

    /// Receive into a writable buffer; gives the number of bytes.
    fn sock_recv_into(slf: &Bound<'_, Self>, sock: Py<PyAny>, buf: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let this = slf.clone().unbind();
        Coroutine::spawn(slf.py(), "EventLoop.sock_recv_into", |channel| async move {
            let (this, sock) = (channel.own(this), channel.own(sock));
            until_done(&this, &sock, Role::Reader, &channel, |slf, sock| receive_into(slf, sock, buf.bind(slf.py())))
                .await
        })
    }

    /// Receive a datagram of at most `bufsize` bytes; gives it and the sender's address.
    fn sock_recvfrom(slf: &Bound<'_, Self>, sock: Py<PyAny>, bufsize: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let this = slf.clone().unbind();
        Coroutine::spawn(slf.py(), "EventLoop.sock_recvfrom", |channel| async move {
            let (this, sock) = (channel.own(this), channel.own(sock));
            until_done(&this, &sock, Role::Reader, &channel, |slf, sock| {
                let py = slf.py();
                let outcome = match recorded_calls::functions(slf)? {
                    None => sock.call_method1(pyo3::intern!(py, "recvfrom"), (&bufsize,)),
                    Some(recorded) => recorded.call_method1(name!("receive_from"), (sock, &bufsize)),
                };
                Ok(unless_refused(py, outcome)?.map(Bound::unbind))
            })
            .await
        })
    }

    /// Receive a datagram into a writable buffer; gives the number of bytes and the sender's address.
    #[pyo3(signature = (sock, buf, nbytes=None), text_signature = "($self, sock, buf, nbytes=0)")]
    fn sock_recvfrom_into(
        slf: &Bound<'_, Self>,
        sock: Py<PyAny>,
        buf: Py<PyAny>,
        nbytes: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let this = slf.clone().unbind();
        Coroutine::spawn(slf.py(), "EventLoop.sock_recvfrom_into", |channel| async move {
            let (this, sock) = (channel.own(this), channel.own(sock));
            until_done(&this, &sock, Role::Reader, &channel, |slf, sock| {
                let py = slf.py();
                let target = match &nbytes {
                    Some(given) if given.is_truthy(py)? => given.bind(py).clone(),
                    Some(_) | None => buf.bind(py).len()?.into_pyobject(py)?.into_any(),
                };
                let outcome = match recorded_calls::functions(slf)? {
                    None => sock.call_method1(pyo3::intern!(py, "recvfrom_into"), (&buf, target)),
                    Some(recorded) => recorded.call_method1(name!("receive_from_into"), (sock, &buf, target)),
                };
                Ok(unless_refused(py, outcome)?.map(Bound::unbind))
            })
            .await
        })
    }
}

fn receive(slf: &Bound<'_, Loop>, sock: &Bound<'_, PyAny>, size: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
    if !slf.get().io.tape.is_on() {
        return receive_now(slf, sock, size);
    }
    let py = slf.py();
    let attempt = || receive_now(slf, sock, size);
    let parts = |data: &Py<PyAny>| {
        let data = data.bind(py).cast::<PyBytes>()?.as_bytes().to_vec();
        Ok((data.len(), data))
    };
    let make = |_, data: &[u8]| Ok(memory::bytes(py, data)?.into_any().unbind());
    attempt_recorded(slf, Operation::Receive, 0, attempt, parts, make)
}

fn receive_now(slf: &Bound<'_, Loop>, sock: &Bound<'_, PyAny>, size: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
    let py = slf.py();
    // The socket's own method handles 0, without a system call, and sizes above the loop's buffer, because a datagram
    // must not be truncated.
    if let Ok(size @ 1..) = size.extract::<usize>()
        && let Some(fd) = RECV.descriptor(sock)?
    {
        let outcome = slf.get().io.with_receive_buffer(py, |buffer| {
            let target = buffer.get_mut(..size)?;
            Some(socket::receive(fd, target).map(|count| memory::bytes(py, &target[..count])))
        });
        if let Some(outcome) = outcome {
            return Ok(unless_blocked(outcome)?.transpose()?.map(|data| data.into_any().unbind()));
        }
    }
    let outcome = sock.call_method1(pyo3::intern!(py, "recv"), (size,));
    Ok(unless_refused(py, outcome)?.map(Bound::unbind))
}

fn receive_into(
    slf: &Bound<'_, Loop>,
    sock: &Bound<'_, PyAny>,
    buffer: &Bound<'_, PyAny>,
) -> PyResult<Option<Py<PyAny>>> {
    if !slf.get().io.tape.is_on() {
        return receive_into_now(sock, buffer);
    }
    let py = slf.py();
    let parts = |count: &Py<PyAny>| {
        let count = count.bind(py).extract::<usize>()?;
        let data = Target::from_object(buffer)?.with(py, |target| target.get(..count).map(<[u8]>::to_vec));
        Ok((count, data.unwrap_or_default()))
    };
    let make = |count: usize, data: &[u8]| {
        let is_room = Target::from_object(buffer)?
            .with(py, |target| target.get_mut(..data.len()).map(|target| target.copy_from_slice(data)).is_some());
        let count = if is_room { count } else { 0 };
        Ok(count.into_pyobject(py)?.into_any().unbind())
    };
    attempt_recorded(slf, Operation::Receive, 0, || receive_into_now(sock, buffer), parts, make)
}

fn receive_into_now(sock: &Bound<'_, PyAny>, buffer: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
    let py = sock.py();
    if let Some(fd) = RECV_INTO.descriptor(sock)?
        && let Ok(target) = Target::from_object(buffer)
        && !target.is_empty()
    {
        let outcome = target.with(py, |target| socket::receive(fd, target));
        let Some(count) = unless_blocked(outcome)? else { return Ok(None) };
        return Ok(Some(count.into_pyobject(py)?.into_any().unbind()));
    }
    let outcome = sock.call_method1(pyo3::intern!(py, "recv_into"), (buffer,));
    Ok(unless_refused(py, outcome)?.map(Bound::unbind))
}
