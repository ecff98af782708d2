//! What the two pipe transports share: the pipe, watching it, and the only call of `connection_lost`.
//!
//! Pipes are level-triggered and each direction is watched on its own, as in asyncio's transports: edge-triggered
//! events are not reliable for terminals and for a FIFO whose other end is reopened. Invariant: `loss` leaves `None`
//! once; the code that moves it queues the call, and only that call closes the pipe.

pub(crate) mod read;
pub(crate) mod write;

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use ferrio_cpython::capi::context;
use ferrio_cpython::capi::finalizer::finalizing;
use ferrio_cpython::capi::memory;
use ferrio_cpython::{Action, GilCell, HandleRef, Runnable};
use ferrio_engine::Role;
use ferrio_sys::file::Kind;
use ferrio_sys::socket;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};

use super::classes;
use super::endpoint::{Endpoint, call_protocol, callback_failed, loss_failed};
use crate::common::imports;
use crate::event_loop::exception_handler;
use crate::event_loop::handler::Handler;
use crate::event_loop::{Loop, base, recorded_calls};

/// The loop's end of a pipe, as both transports hold it.
pub(crate) struct PipeEnd {
    pub(crate) fd: RawFd,
    /// The context that protocol methods run in.
    context: Py<PyAny>,
    /// The values of `get_extra_info`.
    extra: Py<PyDict>,
    state: GilCell<Pipe>,
    /// What `fd` belongs to in a loop that repeats a recording: whatever the pipe is there, it is not asked.
    _stand_in: Option<OwnedFd>,
}

/// A pipe transport's loop, protocol and pipe.
struct Pipe {
    /// None once the connection is lost.
    owner: Option<Py<Loop>>,
    /// None once the connection is lost.
    protocol: Option<Py<PyAny>>,
    /// The file object; None once it is closed.
    object: Option<Py<PyAny>>,
    closing: bool,
    loss: Loss,
}

/// The state of the call of `connection_lost`.
enum Loss {
    None,
    /// Queued, with the exception that it will pass.
    Queued(Option<Py<PyAny>>),
    Done,
}

/// A pipe transport.
pub(crate) trait PipeTransport: Endpoint {
    fn end(&self) -> &PipeEnd;
}

impl PipeEnd {
    /// Takes over `pipe` and makes it non-blocking; also returns what kind of file it is. `refusal` is the error text
    /// for regular files and other files that are always ready.
    pub(crate) fn open(
        owner: &Bound<'_, Loop>,
        pipe: &Bound<'_, PyAny>,
        protocol: &Bound<'_, PyAny>,
        refusal: &'static str,
    ) -> PyResult<(Self, Kind)> {
        let py = pipe.py();
        let fd: RawFd = pipe.call_method0(pyo3::intern!(py, "fileno"))?.extract()?;
        let stand_in = recorded_calls::pipe_stand_in(owner).map_err(|error| exception_handler::from_io(&error))?;
        let fd = stand_in.as_ref().map_or(fd, AsRawFd::as_raw_fd);
        let kind = recorded_calls::kind(owner, fd).map_err(|error| exception_handler::from_io(&error))?;
        match kind {
            Kind::Pipe | Kind::Socket | Kind::CharacterDevice => {}
            Kind::Other => return Err(ferrio_cpython::error::<PyValueError>(refusal)),
        }
        socket::set_nonblocking(fd).map_err(|error| exception_handler::from_io(&error))?;
        let extra = memory::dict(py)?;
        extra.set_item(name!("pipe"), pipe)?;
        let context = context::copy_current(py)?.unbind();
        let state = GilCell::new(Pipe {
            owner: Some(owner.clone().unbind()),
            protocol: Some(protocol.clone().unbind()),
            object: Some(pipe.clone().unbind()),
            closing: false,
            loss: Loss::None,
        });
        Ok((Self { fd, context, extra: extra.unbind(), state, _stand_in: stand_in }, kind))
    }

    pub(crate) fn owner<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Loop>> {
        self.state.with(py, |pipe| pipe.owner.as_ref().map(|owner| owner.bind(py).clone()))
    }

    pub(crate) fn protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |pipe| pipe.protocol.as_ref().map(|protocol| protocol.bind(py).clone()))
    }

    pub(crate) fn set_protocol(&self, py: Python<'_>, protocol: Py<PyAny>) {
        let before = self.state.with(py, |pipe| pipe.protocol.replace(protocol));
        drop(before);
    }

    pub(crate) fn context(&self) -> &Py<PyAny> {
        &self.context
    }

    /// The file object; None once it is closed.
    pub(crate) fn object(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |pipe| pipe.object.as_ref().map(|object| object.clone_ref(py)))
    }

    pub(crate) fn set_object(&self, py: Python<'_>, object: Option<Py<PyAny>>) {
        let before = self.state.with(py, |pipe| std::mem::replace(&mut pipe.object, object));
        drop(before);
    }

    pub(crate) fn is_closing(&self, py: Python<'_>) -> bool {
        self.state.with(py, |pipe| pipe.closing)
    }

    /// Marks the pipe as closing; returns whether it was so before.
    pub(crate) fn begin_closing(&self, py: Python<'_>) -> bool {
        self.state.with(py, |pipe| std::mem::replace(&mut pipe.closing, true))
    }

    /// Whether `connection_lost` is queued or was called.
    pub(crate) fn is_lost(&self, py: Python<'_>) -> bool {
        self.state.with(py, |pipe| !matches!(pipe.loss, Loss::None))
    }

    /// The values of `get_extra_info`.
    pub(crate) fn extra<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        self.extra.bind(py).clone()
    }

    pub(crate) fn extra_info<'py>(
        &self,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.extra.bind(name.py()).get_item(name)?.or(default))
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.context)?;
        visit.call(&self.extra)?;
        let outcome = self.state.traverse(visit, |pipe| {
            visit.call(&pipe.owner)?;
            visit.call(&pipe.protocol)?;
            visit.call(&pipe.object)?;
            if let Loss::Queued(error) = &pipe.loss { visit.call(error) } else { Ok(()) }
        });
        outcome.transpose().map(drop)
    }

    pub(crate) fn clear(&self, py: Python<'_>) {
        let owned = self.state.with(py, |pipe| (pipe.owner.take(), pipe.protocol.take()));
        drop(owned);
    }

    /// Finalizes a transport that was not closed: warns as asyncio does and closes the pipe.
    pub(crate) fn finalize_unclosed(&mut self, name: &str) {
        let Some(object) = self.state.get_mut().object.take() else { return };
        let fd = self.fd;
        finalizing(|py| {
            let text = std::ffi::CString::new(format!("unclosed transport <{name} fd={fd}>")).unwrap_or_default();
            let warned = imports::resource_warning(py).and_then(|category| memory::warn(py, category, &text));
            if let Err(error) = warned {
                // Where warnings are errors, asyncio too leaves closing to the file's own finalizer.
                memory::unraisable(py, error);
                return;
            }
            // The garbage collector may have cleared the file object already; its own finalizer has then closed the
            // file.
            drop(memory::catch_no_memory(py, || object.bind(py).call_method0(name!("close")).map(drop)));
        });
    }
}

/// Creates the transport of `pipe`, whose class `class` keeps. The next turn runs `begin`.
fn connect<'py, T: PipeTransport>(
    slf: &Bound<'py, Loop>,
    pipe: &Bound<'py, PyAny>,
    protocol: &Bound<'py, PyAny>,
    class: &'static PyOnceLock<Py<PyType>>,
    begin: Action,
) -> PyResult<Bound<'py, T>> {
    base(slf).check_open()?;
    let transport = classes::open::<T>(slf.py(), class)?.call1((slf, pipe, protocol))?.cast_into::<T>()?;
    base(slf).push(slf.py(), Runnable::native(transport.clone(), begin, 0))?;
    Ok(transport)
}

/// Calls `connection_made`; returns whether the transport is still open.
pub(crate) fn make_connection<T: PipeTransport>(transport: &Bound<'_, T>) -> PyResult<bool> {
    let py = transport.py();
    let this = transport.get();
    if let Some(protocol) = this.protocol(py) {
        let made = call_protocol(this, &protocol, pyo3::intern!(py, "connection_made"), (transport,));
        if let Err(error) = made {
            callback_failed(transport, &protocol, "connection_made", error)?;
        }
    }
    Ok(!this.end().is_closing(py))
}

/// Watches the pipe: the loop calls `action` while it is ready.
pub(crate) fn watch<T: PipeTransport>(transport: &Bound<'_, T>, role: Role, action: Action) -> PyResult<()> {
    let py = transport.py();
    let Some(owner) = transport.get().owner(py) else { return Ok(()) };
    base(&owner).check_open()?;
    let handler = Handler::native(transport, action);
    for replaced in owner.get().io.register(py, transport.get().end().fd, role, handler)? {
        replaced.retire(py)?;
    }
    Ok(())
}

/// Stops watching, if the registration is this transport's.
pub(crate) fn unwatch<T: PipeTransport>(transport: &Bound<'_, T>, role: Role) {
    let py = transport.py();
    let Some(owner) = transport.get().owner(py) else { return };
    if is_watched(transport, &owner, role) {
        let handler = owner.get().io.unregister(py, transport.get().end().fd, role);
        drop(handler);
    }
}

/// Whether this transport watches its pipe in this direction.
pub(crate) fn is_watched<T: PipeTransport>(transport: &Bound<'_, T>, owner: &Bound<'_, Loop>, role: Role) -> bool {
    owner.get().io.registrations.with(transport.py(), |registrations| {
        let entry = registrations.get(transport.get().end().fd)?;
        let handler = if role == Role::Reader { entry.reader() } else { entry.writer() };
        Some(handler?.is_of(transport.as_any()))
    }) == Some(true)
}

/// Reports an error as if the transport's callback `name` had raised it; `SystemExit` and `KeyboardInterrupt`
/// propagate.
#[cold]
pub(crate) fn report<T: PipeTransport>(transport: &Bound<'_, T>, name: &str, error: PyErr) -> PyResult<()> {
    let py = transport.py();
    let Some(owner) = transport.get().owner(py) else { return Err(error) };
    if exception_handler::must_propagate(py, &error) {
        return Err(error);
    }
    HandleRef::unscheduled(owner.as_super(), &transport.as_any().getattr(name)?, &PyTuple::empty(py))?
        .report_error(py, error)
}

/// Queues the call of `connection_lost`, once.
///
/// # Errors
/// `RuntimeError` if the loop is closed, because it would never make the call.
pub(crate) fn queue_loss<T: PipeTransport>(transport: &Bound<'_, T>, error: Option<PyErr>) -> PyResult<()> {
    let py = transport.py();
    let Some(owner) = transport.get().owner(py) else { return Ok(()) };
    base(&owner).check_open()?;
    let error = error.map(|error| error.into_value(py).into_any());
    let unused = transport.get().end().state.with(py, |pipe| {
        if let Loss::None = pipe.loss {
            pipe.loss = Loss::Queued(error);
            return None;
        }
        Some(error)
    });
    if unused.is_none() {
        base(&owner).push_reserved(py, Runnable::native(transport.clone(), lose::<T>, 0));
    }
    Ok(())
}

fn lose<T: PipeTransport>(object: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    connection_lost(object.cast::<T>()?)
}

/// Calls the protocol's `connection_lost`, closes the pipe and drops all references.
pub(crate) fn connection_lost<T: PipeTransport>(transport: &Bound<'_, T>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let (error, protocol) = this.end().state.with(py, |pipe| {
        let error = match std::mem::replace(&mut pipe.loss, Loss::Done) {
            Loss::Queued(error) => error,
            Loss::None | Loss::Done => None,
        };
        (error, pipe.protocol.as_ref().map(|protocol| protocol.clone_ref(py)))
    });
    let Some(protocol) = protocol.map(|protocol| protocol.into_bound(py)) else { return Ok(()) };
    let error = error.map(|error| error.into_bound(py));
    let called = call_protocol(this, &protocol, pyo3::intern!(py, "connection_lost"), (error.clone(),));
    let reported = called.map_or_else(|raised| loss_failed(transport, error.as_ref(), raised), |_| Ok(()));
    reported.and(release(transport, error.as_ref()))
}

fn release<T: PipeTransport>(transport: &Bound<'_, T>, lost_by: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let py = transport.py();
    unwatch(transport, Role::Reader);
    unwatch(transport, Role::Writer);
    let object = transport.get().end().state.with(py, |pipe| pipe.object.take());
    let closed = object.map_or(Ok(()), |object| object.bind(py).call_method0(name!("close")).map(drop));
    let reported = closed.or_else(|raised| loss_failed(transport, lost_by, raised));
    let owned = transport.get().end().state.with(py, |pipe| (pipe.owner.take(), pipe.protocol.take()));
    drop(owned);
    reported
}

/// The common beginning of both reprs: name, state and descriptor. Also returns the loop, unless the pipe or the loop
/// is closed.
pub(crate) fn describe<'py, T: PipeTransport>(transport: &Bound<'py, T>) -> (Vec<String>, Option<Bound<'py, Loop>>) {
    let py = transport.py();
    let this = transport.get();
    let (closed, closing) = this.end().state.with(py, |pipe| (pipe.object.is_none(), pipe.closing));
    let mut words = vec![T::NAME.to_owned()];
    if closed {
        words.push("closed".to_owned());
    } else if closing {
        words.push("closing".to_owned());
    }
    words.push(format!("fd={}", this.end().fd));
    let owner = this.owner(py).filter(|owner| !closed && !base(owner).closed.get());
    if owner.is_none() {
        words.push(if closed { "closed" } else { "open" }.to_owned());
    }
    (words, owner)
}

/// Logs an event of the transport, in debug mode only.
pub(crate) fn log<T: PipeTransport>(transport: &Bound<'_, T>, level: &str, text: &str) -> PyResult<()> {
    let py = transport.py();
    if transport.get().owner(py).is_some_and(|owner| base(&owner).debug.get()) {
        imports::unix_events_logger(py)?.call_method1(level, (text, transport))?;
    }
    Ok(())
}

/// Defines the methods that both transports have; their classes have the field `end`.
macro_rules! pipe_methods {
    ($class:ty) => {
        #[pymethods]
        impl $class {
            /// Whether the pipe is closing or closed.
            fn is_closing(&self, py: Python<'_>) -> bool {
                self.end.is_closing(py)
            }

            /// Set another protocol; the old one is told nothing.
            fn set_protocol(&self, py: Python<'_>, protocol: Py<PyAny>) {
                self.end.set_protocol(py, protocol);
            }

            /// The current protocol.
            fn get_protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
                self.end.protocol(py)
            }

            /// Optional information: "pipe"; `default` for what is not known.
            #[pyo3(signature = (name, default=None))]
            fn get_extra_info<'py>(
                &self,
                name: &Bound<'py, PyAny>,
                default: Option<Bound<'py, PyAny>>,
            ) -> PyResult<Option<Bound<'py, PyAny>>> {
                self.end.extra_info(name, default)
            }
        }
    };
}
use pipe_methods;
