//! Information about a socket transport: `get_extra_info` and the repr. Values are created on first use.

use std::os::fd::IntoRawFd;

use ferrio_cpython::capi::memory;
use ferrio_sys::{SocketAddress, socket};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::address;
use super::socket::{FirstData, Socket, SocketTransport};
use super::socket::{joined_writes, write_coalescing};
use crate::common::imports;
use crate::event_loop::base;

#[pymethods]
impl SocketTransport {
    /// Optional information: "peername", "sockname", "socket"; `default` for what is not known.
    #[pyo3(signature = (name, default=None))]
    fn get_extra_info<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        write_coalescing::send(slf)?;
        let extra = extra(slf)?;
        if let Some(known) = extra.get_item(name)? {
            return Ok(Some(known));
        }
        let found = match name.extract::<&str>() {
            Ok("peername") => Some(peer(slf)?),
            Ok("sockname") => Some(local(slf)?),
            Ok("socket") => transport_socket(slf)?,
            Ok(_) | Err(_) => return Ok(default),
        };
        if let Some(found) = &found {
            extra.set_item(name, found)?;
        }
        Ok(found.or(default))
    }

    #[getter]
    fn _extra<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let py = slf.py();
        for name in ["socket", "sockname", "peername"] {
            Self::get_extra_info(slf, &memory::text(py, name)?.into_any(), None)?;
        }
        extra(slf)
    }

    /// The socket itself, which tools and tests use; None once the connection is lost.
    #[getter]
    fn _sock<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        if slf.get().state.with(py, |state| state.socket.is_closed()) {
            return Ok(None);
        }
        let shown = Self::get_extra_info(slf, &memory::text(py, "socket")?.into_any(), None)?;
        shown.map(|shown| shown.getattr(pyo3::intern!(py, "_sock"))).transpose()
    }

    #[getter]
    fn _sock_fd(slf: &Bound<'_, Self>) -> PyResult<i32> {
        joined_writes::end(slf)?;
        Ok(slf.get().fd)
    }
}

fn extra<'py>(transport: &Bound<'py, SocketTransport>) -> PyResult<Bound<'py, PyDict>> {
    let py = transport.py();
    let state = &transport.get().state;
    if let Some(extra) = state.with(py, |state| state.extra.as_ref().map(|extra| extra.bind(py).clone())) {
        return Ok(extra);
    }
    let extra = memory::dict(py)?;
    state.with(py, |state| state.extra = Some(extra.clone().unbind()));
    Ok(extra)
}

fn peer<'py>(transport: &Bound<'py, SocketTransport>) -> PyResult<Bound<'py, PyAny>> {
    let py = transport.py();
    show(py, transport.get().state.with(py, |state| state.peer.clone()))
}

fn local<'py>(transport: &Bound<'py, SocketTransport>) -> PyResult<Bound<'py, PyAny>> {
    let py = transport.py();
    let this = transport.get();
    if this.owner(py).is_some_and(|owner| base(&owner).has_simulated_io() && !owner.get().io.tape.is_on()) {
        keep_simulated_address(transport);
    }
    let known = this.state.with(py, |state| {
        if state.local.is_none() && !state.socket.is_closed() {
            state.local = socket::local_address(this.fd).ok();
        }
        state.local.clone()
    });
    show(py, known)
}

/// Notes the address of a simulated socket, which only the socket object knows.
#[cold]
pub(super) fn keep_simulated_address(transport: &Bound<'_, SocketTransport>) {
    let py = transport.py();
    let state = &transport.get().state;
    let sock = state.with(py, |state| match &state.socket {
        Socket::Object(sock) | Socket::Counted(sock) => Some(sock.bind(py).clone()),
        Socket::Descriptor(_) | Socket::Closed => None,
    });
    if let Some(address) = sock.and_then(|sock| address::of_simulated(&sock, "getsockname")) {
        state.with(py, |state| state.local = Some(address));
    }
}

fn show(py: Python<'_>, known: Option<SocketAddress>) -> PyResult<Bound<'_, PyAny>> {
    match known {
        Some(known) => address::to_python(py, &known),
        None => Ok(py.None().into_bound(py)),
    }
}

/// The `TransportSocket`, around a Python socket object that takes over the descriptor.
fn transport_socket<'py>(transport: &Bound<'py, SocketTransport>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = transport.py();
    let state = &transport.get().state;
    let socket = state.with(py, |state| std::mem::replace(&mut state.socket, Socket::Closed));
    let object = match socket {
        Socket::Object(object) => object,
        Socket::Counted(object) => {
            state.with(py, |state| state.socket = Socket::Counted(object.clone_ref(py)));
            return Ok(Some(imports::connection_socket(py)?.call1((object, transport))?));
        }
        Socket::Descriptor(fd) => {
            let keywords = memory::dict(py)?;
            keywords.set_item(name!("fileno"), transport.get().fd)?;
            match imports::socket_class(py)?.call((), Some(&keywords)) {
                Ok(object) => {
                    let _ = fd.into_raw_fd();
                    object.call_method1(name!("setblocking"), (false,))?;
                    object.unbind()
                }
                Err(error) => {
                    state.with(py, |state| state.socket = Socket::Descriptor(fd));
                    return Err(error);
                }
            }
        }
        Socket::Closed => return Ok(None),
    };
    state.with(py, |state| state.socket = Socket::Object(object.clone_ref(py)));
    Ok(Some(imports::connection_socket(py)?.call1((object, transport))?))
}

/// The repr, in the form of asyncio's transports.
pub(crate) fn describe(transport: &Bound<'_, SocketTransport>) -> String {
    let py = transport.py();
    let this = transport.get();
    let mut words = vec!["SocketTransport".to_owned()];
    let (closed, closing, reading, waiting, size) = this.state.with(py, |state| {
        let made = matches!(state.first_data, FirstData::UnderWay);
        let reading = made && state.is_reading();
        (state.socket.is_closed(), state.lifecycle.is_closing(), reading, !state.buffer.is_empty(), state.buffer.len())
    });
    if closed {
        words.push("closed".to_owned());
    } else if closing {
        words.push("closing".to_owned());
    }
    words.push(format!("fd={}", this.fd));
    if this.owner(py).is_some_and(|owner| !base(&owner).closed.get()) {
        words.push(format!("read={}", if reading { "polling" } else { "idle" }));
        words.push(format!("write=<{}, bufsize={size}>", if waiting { "polling" } else { "idle" }));
    }
    format!("<{}>", words.join(" "))
}
