//! What the two pipe transports share: their pipe, watching it, and the one call of `connection_lost`.
//!
//! Pipes are watched by level, a direction at a time, for that is what asyncio's transports do and what a pipe's other
//! end, a terminal or a FIFO that is opened anew can be trusted with. Invariant: `loss` leaves `None` once; whoever moves
//! it there queues the call, and only that call closes the pipe.

use std::os::fd::RawFd;

use ferrio_cpython::{Action, HandleRef, Runnable};
use ferrio_engine::Role;
use ferrio_sys::file::{self, Kind};
use ferrio_sys::socket;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use super::endpoint::{Endpoint, call_protocol, callback_failed};
use crate::errors;
use crate::event_loop::{Loop, base};
use crate::imports;
use crate::io::Handler;

/// A pipe transport's loop, protocol and pipe.
pub(crate) struct Pipe {
    /// None once the connection is lost.
    pub(crate) owner: Option<Py<Loop>>,
    /// None once the connection is lost.
    pub(crate) protocol: Option<Py<PyAny>>,
    /// The file object; None once it is closed.
    pub(crate) object: Option<Py<PyAny>>,
    pub(crate) closing: bool,
    loss: Loss,
}

/// Where the call of `connection_lost` stands.
enum Loss {
    None,
    /// Queued, with the exception it is going to tell.
    Queued(Option<Py<PyAny>>),
    Done,
}

/// A pipe transport.
pub(crate) trait PipeTransport: Endpoint {
    fn fd(&self) -> RawFd;

    /// Looks at the pipe. `look` must run no Python code.
    fn with_pipe<R>(&self, py: Python<'_>, look: impl FnOnce(&mut Pipe) -> R) -> R;
}

impl Pipe {
    pub(crate) fn new(owner: &Bound<'_, Loop>, object: &Bound<'_, PyAny>, protocol: &Bound<'_, PyAny>) -> Self {
        Self {
            owner: Some(owner.clone().unbind()),
            protocol: Some(protocol.clone().unbind()),
            object: Some(object.clone().unbind()),
            closing: false,
            loss: Loss::None,
        }
    }

    pub(crate) fn is_lost(&self) -> bool {
        !matches!(self.loss, Loss::None)
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.owner)?;
        visit.call(&self.protocol)?;
        visit.call(&self.object)
    }
}

/// The number of the pipe's descriptor, which is non-blocking from now on, and what it is; `refusal` is the text for
/// regular files and the like, which are always ready.
pub(crate) fn open(pipe: &Bound<'_, PyAny>, refusal: &'static str) -> PyResult<(RawFd, Kind)> {
    let fd: RawFd = pipe.call_method0(pyo3::intern!(pipe.py(), "fileno"))?.extract()?;
    let kind = file::kind(fd).map_err(|error| errors::from_io(&error))?;
    match kind {
        Kind::Pipe | Kind::Socket | Kind::CharacterDevice => {}
        Kind::Other => return Err(PyValueError::new_err(refusal)),
    }
    socket::set_nonblocking(fd).map_err(|error| errors::from_io(&error))?;
    Ok((fd, kind))
}

/// Calls `connection_made`; tells whether the transport is still open.
pub(crate) fn make_connection<T: PipeTransport>(transport: &Bound<'_, T>) -> PyResult<bool> {
    let py = transport.py();
    let this = transport.get();
    if let Some(protocol) = this.protocol(py) {
        let made = call_protocol(this, &protocol, pyo3::intern!(py, "connection_made"), (transport,));
        if let Err(error) = made {
            callback_failed(transport, &protocol, "connection_made", error)?;
        }
    }
    Ok(!this.with_pipe(py, |pipe| pipe.closing))
}

/// Has `action` called while the pipe is ready.
pub(crate) fn watch<T: PipeTransport>(transport: &Bound<'_, T>, role: Role, action: Action) -> PyResult<()> {
    let py = transport.py();
    let Some(owner) = transport.get().owner(py) else { return Ok(()) };
    base(&owner).check_open()?;
    let handler = Handler::native(transport, action);
    for replaced in owner.get().io.register(py, transport.get().fd(), role, handler)? {
        replaced.retire(py)?;
    }
    Ok(())
}

/// Ends watching, if it is this transport that watches.
pub(crate) fn unwatch<T: PipeTransport>(transport: &Bound<'_, T>, role: Role) {
    let py = transport.py();
    let Some(owner) = transport.get().owner(py) else { return };
    if is_watched(transport, &owner, role) {
        let handler = owner.get().io.unregister(py, transport.get().fd(), role);
        drop(handler);
    }
}

/// Whether this transport watches its pipe in this direction.
pub(crate) fn is_watched<T: PipeTransport>(transport: &Bound<'_, T>, owner: &Bound<'_, Loop>, role: Role) -> bool {
    owner.get().io.registrations.with(transport.py(), |registrations| {
        let entry = registrations.get(transport.get().fd())?;
        let handler = if role == Role::Reader { entry.reader() } else { entry.writer() };
        Some(handler?.is_of(transport.as_any()))
    }) == Some(true)
}

/// Reports an error as one of the transport's own callback `name`; `SystemExit` and `KeyboardInterrupt` pass.
#[cold]
pub(crate) fn report<T: PipeTransport>(transport: &Bound<'_, T>, name: &str, error: PyErr) -> PyResult<()> {
    let py = transport.py();
    let Some(owner) = transport.get().owner(py) else { return Err(error) };
    if errors::passes(py, &error) {
        return Err(error);
    }
    HandleRef::parked(owner.as_super(), &transport.as_any().getattr(name)?, &PyTuple::empty(py))?
        .report_error(py, error)
}

/// Queues the call of `connection_lost`, once.
///
/// # Errors
/// `RuntimeError` when the loop is closed: nobody is going to call it.
pub(crate) fn queue_loss<T: PipeTransport>(transport: &Bound<'_, T>, error: Option<PyErr>) -> PyResult<()> {
    let py = transport.py();
    let Some(owner) = transport.get().owner(py) else { return Ok(()) };
    base(&owner).check_open()?;
    let error = error.map(|error| error.into_value(py).into_any());
    let first = transport.get().with_pipe(py, |pipe| {
        let first = !pipe.is_lost();
        if first {
            pipe.loss = Loss::Queued(error);
        }
        first
    });
    if first {
        base(&owner).push(py, Runnable::native(transport.clone(), lose::<T>, 0));
    }
    Ok(())
}

fn lose<T: PipeTransport>(object: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    connection_lost(object.cast::<T>()?)
}

/// Tells the protocol that the connection is lost, closes the pipe and lets everything go.
pub(crate) fn connection_lost<T: PipeTransport>(transport: &Bound<'_, T>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let (error, protocol) = this.with_pipe(py, |pipe| {
        let error = match std::mem::replace(&mut pipe.loss, Loss::Done) {
            Loss::Queued(error) => error,
            Loss::None | Loss::Done => None,
        };
        (error, pipe.protocol.as_ref().map(|protocol| protocol.clone_ref(py)))
    });
    let Some(protocol) = protocol.map(|protocol| protocol.into_bound(py)) else { return Ok(()) };
    let told = call_protocol(this, &protocol, pyo3::intern!(py, "connection_lost"), (error,));
    let reported =
        told.map_or_else(|error| callback_failed(transport, &protocol, "connection_lost", error), |_| Ok(()));
    reported.and(release(transport, &protocol))
}

fn release<T: PipeTransport>(transport: &Bound<'_, T>, protocol: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = transport.py();
    unwatch(transport, Role::Reader);
    unwatch(transport, Role::Writer);
    let object = transport.get().with_pipe(py, |pipe| pipe.object.take());
    let closed = object.map_or(Ok(()), |object| object.bind(py).call_method0("close").map(drop));
    let reported = closed.or_else(|error| callback_failed(transport, protocol, "connection_lost", error));
    let held = transport.get().with_pipe(py, |pipe| (pipe.owner.take(), pipe.protocol.take()));
    drop(held);
    reported
}

/// `get_extra_info` of both.
pub(crate) fn extra_info<'py>(
    extra: &Bound<'py, PyDict>,
    name: &Bound<'py, PyAny>,
    default: Option<Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(extra.get_item(name)?.or(default))
}

/// The beginning of both reprs: name, state and descriptor. Gives the loop too if there is more to tell.
pub(crate) fn describe<'py, T: PipeTransport>(
    transport: &Bound<'py, T>,
    name: &str,
) -> (Vec<String>, Option<Bound<'py, Loop>>) {
    let py = transport.py();
    let this = transport.get();
    let (closed, closing) = this.with_pipe(py, |pipe| (pipe.object.is_none(), pipe.closing));
    let mut words = vec![name.to_owned()];
    if closed {
        words.push("closed".to_owned());
    } else if closing {
        words.push("closing".to_owned());
    }
    words.push(format!("fd={}", this.fd()));
    let owner = this.owner(py).filter(|owner| !closed && !base(owner).closed.get());
    if owner.is_none() {
        words.push(if closed { "closed" } else { "open" }.to_owned());
    }
    (words, owner)
}

/// Tells what happened, in debug mode.
pub(crate) fn log<T: PipeTransport>(transport: &Bound<'_, T>, level: &str, text: &str) -> PyResult<()> {
    let py = transport.py();
    if transport.get().owner(py).is_some_and(|owner| base(&owner).debug.get()) {
        imports::logger(py)?.call_method1(level, (text, transport))?;
    }
    Ok(())
}

/// A transport goes away that was never closed: warn as asyncio does, close the pipe.
pub(crate) fn abandoned(name: &str, fd: RawFd, pipe: &mut Pipe) {
    let Some(object) = pipe.object.take() else { return };
    Python::attach(|py| {
        let text = std::ffi::CString::new(format!("unclosed transport <{name} fd={fd}>")).unwrap_or_default();
        let warned = imports::resource_warning(py).and_then(|category| PyErr::warn(py, category, &text, 1));
        // The collector may have taken the file apart already: its own finalizer has closed it then.
        drop(object.bind(py).call_method0("close"));
        if let Err(error) = warned {
            error.write_unraisable(py, None);
        }
    });
}
