//! `StreamReaderProtocol`: connects a transport with a reader, and controls the flow of writers.
//!
//! It refers to the reader weakly: once a program has dropped it, received data is dropped as well. The class that
//! programs see is a Python class derived from the Rust one, because its bases include asyncio's `FlowControlMixin`.

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::objects::coroutine::spawn;
use ferrio_cpython::objects::future::future_like;
use pyo3::exceptions::PyAssertionError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType, PyWeakrefMethods, PyWeakrefReference};
use pyo3::{PyTraverseError, PyVisit};

use super::drain::DrainHelper;
use super::fields::Fields;
use super::reader::StreamReader;
use super::{default_loop, derived, is_debug, serve};
use crate::common::imports;

/// A stream's protocol.
#[pyclass(frozen, subclass, weakref, module = "ferrio")]
pub(crate) struct StreamReaderProtocol {
    pub(super) state: GilCell<State>,
}

/// The mutable state of a protocol.
#[derive(Default)]
pub(crate) struct State {
    pub(super) owner: Option<OwnedRef>,
    pub(super) reader: Option<OwnedRef<PyWeakrefReference>>,
    /// A strong reference to the reader, until the server's callback gets it.
    pub(super) strong: Option<OwnedRef>,
    pub(super) callback: Option<OwnedRef>,
    pub(super) task: Option<OwnedRef>,
    pub(super) transport: Option<OwnedRef>,
    pub(super) writer: Option<OwnedRef>,
    pub(super) source: Option<OwnedRef>,
    /// The future that completes when the connection is lost; created on first use.
    pub(super) closed: Option<OwnedRef>,
    /// The exception with which the connection was lost.
    error: Option<OwnedRef>,
    /// The futures of the tasks that wait in `drain`.
    pub(super) drains: Vec<OwnedRef>,
    pub(super) paused: bool,
    pub(super) lost: bool,
    /// Whether `connection_lost` was called. `lost` has the same value until a program sets it.
    ended: bool,
    pub(super) rejected: bool,
    pub(super) over_ssl: bool,
}

/// The class that programs see.
pub(crate) fn class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CELL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let make = || {
        let mixin = imports::flow_control_mixin(py)?;
        Ok::<_, PyErr>(derived(&py.get_type::<StreamReaderProtocol>(), &[mixin], &[])?.unbind())
    };
    Ok(CELL.get_or_try_init(py, make)?.bind(py))
}

/// Whether bytes for `protocol` may be given to its reader directly.
#[inline]
pub(super) fn feeds_directly(protocol: &Bound<'_, PyAny>) -> bool {
    if is_unpatched(protocol) {
        return true;
    }
    protocol.cast::<StreamReaderProtocol>().is_ok() && !overrides(protocol).unwrap_or(true)
}

/// Whether `protocol` is of exactly the class that programs see.
#[inline]
pub(super) fn is_unpatched(protocol: &Bound<'_, PyAny>) -> bool {
    class(protocol.py()).is_ok_and(|class| std::ptr::eq(class.as_type_ptr(), protocol.get_type_ptr()))
}

#[cold]
fn overrides(protocol: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = protocol.py();
    let name = pyo3::intern!(py, "data_received");
    let found = protocol.get_type().getattr(name)?;
    if !found.is(&class(py)?.getattr(name)?) {
        return Ok(true);
    }
    let own = protocol.getattr_opt(pyo3::intern!(py, "__dict__"))?;
    own.map_or(Ok(false), |own| own.contains(name))
}

impl Fields for StreamReaderProtocol {
    type State = State;

    fn state(&self) -> &GilCell<State> {
        &self.state
    }
}

impl StreamReaderProtocol {
    /// The reader; None once it is dropped.
    #[inline]
    pub(super) fn reader<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let reader = self.state.with(py, |state| state.reader.as_ref().map(|reader| reader.bind(py).clone()));
        reader.and_then(|reader| reader.upgrade())
    }

    /// The protocol's loop; None in Python before one is set.
    pub(super) fn owner<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.field(py, |state| &state.owner).unwrap_or_else(|| py.None().into_bound(py))
    }

    /// The future that completes with the connection.
    pub(super) fn closed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(closed) = self.field(py, |state| &state.closed) {
            return Ok(closed);
        }
        let closed = self.owner(py).call_method0(pyo3::intern!(py, "create_future"))?;
        self.put(py, |state| &mut state.closed, Some(closed.clone()));
        if self.state.with(py, |state| state.ended) {
            end(&closed, self.field(py, |state| &state.error).as_ref())?;
        }
        Ok(closed)
    }

    /// Wakes all tasks that wait in `drain`.
    fn wake_drains(&self, py: Python<'_>, error: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let waiters: Vec<_> =
            self.state.with(py, |state| state.drains.iter().map(|waiter| waiter.bind(py).clone()).collect());
        for waiter in waiters {
            if future_like::is_done(&waiter)? {
                continue;
            }
            match error {
                Some(error) => future_like::set_exception(&waiter, error)?,
                None => future_like::set_result(&waiter, py.None().into_bound(py))?,
            }
        }
        Ok(())
    }

    fn log(slf: &Bound<'_, Self>, text: &str) -> PyResult<()> {
        let py = slf.py();
        if is_debug(&slf.get().owner(py))? {
            imports::streams_logger(py)?.call_method1(name!("debug"), (text, slf))?;
        }
        Ok(())
    }

    fn note_over_ssl(&self, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = transport.py();
        let is_own = super::feed::own(transport).is_some();
        let over_ssl =
            !is_own && !transport.call_method1(pyo3::intern!(py, "get_extra_info"), ("sslcontext",))?.is_none();
        self.state.with(py, |state| state.over_ssl = over_ssl);
        Ok(())
    }
}

/// Completes the future that stands for the end of the connection.
fn end(closed: &Bound<'_, PyAny>, error: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let Some(error) = error else {
        return future_like::set_result(closed, closed.py().None().into_bound(closed.py()));
    };
    future_like::set_exception(closed, error)?;
    // Awaiting the future is optional, so an exception that is never retrieved must not be logged.
    closed.call_method0(name!("exception")).map(drop)
}

#[pymethods]
impl StreamReaderProtocol {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords), text_signature = "(stream_reader, client_connected_cb=None, loop=None)")]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Self {
        Self { state: GilCell::new(State::default()) }
    }

    #[pyo3(signature = (stream_reader, client_connected_cb=None, r#loop=None))]
    fn __init__(
        &self,
        stream_reader: &Bound<'_, PyAny>,
        client_connected_cb: Option<Bound<'_, PyAny>>,
        r#loop: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = stream_reader.py();
        let owner = r#loop.map_or_else(|| default_loop(py), Ok)?;
        let mut state = State::default();
        if !stream_reader.is_none() {
            state.reader = Some(OwnedRef::of(&PyWeakrefReference::new(stream_reader)?));
            let source = match stream_reader.cast_exact::<StreamReader>() {
                Ok(own) => own.get().source_traceback(py),
                Err(_) => stream_reader.getattr_opt(name!("_source_traceback"))?,
            };
            state.source = source.map(OwnedRef::from);
            if client_connected_cb.is_some() {
                state.strong = Some(stream_reader.clone().into());
            }
        }
        state.callback = client_connected_cb.map(OwnedRef::from);
        state.owner = Some(owner.into());
        let before = self.state.with(py, |place| std::mem::replace(place, state));
        drop(before);
        Ok(())
    }

    /// The transport is full.
    fn pause_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().state.with(py, |state| std::mem::replace(&mut state.paused, true)) {
            return Err(ferrio_cpython::error::<PyAssertionError>(()));
        }
        Self::log(slf, "%r pauses writing")
    }

    /// The transport takes data again.
    fn resume_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if !slf.get().state.with(py, |state| std::mem::replace(&mut state.paused, false)) {
            return Err(ferrio_cpython::error::<PyAssertionError>(()));
        }
        Self::log(slf, "%r resumes writing")?;
        slf.get().wake_drains(py, None)
    }

    fn _drain_helper(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        spawn(slf.py(), "FlowControlMixin._drain_helper", DrainHelper::new(slf))
    }

    fn _replace_transport(&self, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = transport.py();
        if imports::python_version(py) >= (3, 14)
            && let Some(reader) = self.reader(py)
        {
            reader.call_method1(name!("_replace_transport"), (transport,))?;
        }
        self.put(py, |state| &mut state.transport, Some(transport.clone()));
        self.note_over_ssl(transport)
    }

    fn _replace_writer(&self, writer: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = writer.py();
        let transport = writer.getattr(name!("transport"))?;
        self.put(py, |state| &mut state.writer, Some(writer.clone()));
        self.put(py, |state| &mut state.transport, Some(transport.clone()));
        self.note_over_ssl(&transport)
    }

    /// The connection is there.
    fn connection_made(slf: &Bound<'_, Self>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.state.with(py, |state| state.rejected) {
            let context = memory::dict(py)?;
            context.set_item(
                name!("message"),
                "An open stream was garbage collected prior to establishing network connection; \
                 call \"stream.close()\" explicitly.",
            )?;
            if let Some(source) = this.field(py, |state| &state.source) {
                context.set_item(name!("source_traceback"), source)?;
            }
            this.owner(py).call_method1(name!("call_exception_handler"), (context,))?;
            return transport.call_method0(name!("abort")).map(drop);
        }
        this.put(py, |state| &mut state.transport, Some(transport.clone()));
        if let Some(reader) = this.reader(py) {
            match reader.cast_exact::<StreamReader>() {
                Ok(own) => own.get().set_transport(transport.clone())?,
                Err(_) => reader.call_method1(pyo3::intern!(py, "set_transport"), (transport,)).map(drop)?,
            }
        }
        this.note_over_ssl(transport)?;
        let callback = if is_unpatched(slf.as_any()) {
            this.field(py, |state| &state.callback)
        } else {
            Some(slf.getattr(pyo3::intern!(py, "_client_connected_cb"))?).filter(|found| !found.is_none())
        };
        callback.map_or(Ok(()), |callback| serve::serve(slf, &callback, transport))
    }

    /// The connection is over.
    fn connection_lost(slf: &Bound<'_, Self>, exc: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let error = (!exc.is_none()).then_some(exc);
        if let Some(reader) = this.reader(py) {
            match (error, reader.cast_exact::<StreamReader>()) {
                (None, Ok(own)) => own.get().feed_eof(py)?,
                (Some(error), Ok(own)) => own.get().set_exception(py, error.clone())?,
                (None, Err(_)) => reader.call_method0(name!("feed_eof")).map(drop)?,
                (Some(error), Err(_)) => reader.call_method1(name!("set_exception"), (error,)).map(drop)?,
            }
        }
        if !this.state.with(py, |state| std::mem::replace(&mut state.ended, true)) {
            this.put(py, |state| &mut state.error, error.cloned());
        }
        if let Some(closed) = this.field(py, |state| &state.closed)
            && !future_like::is_done(&closed)?
        {
            end(&closed, error)?;
        }
        let paused = this.state.with(py, |state| {
            state.lost = true;
            state.paused
        });
        if paused {
            this.wake_drains(py, error)?;
        }
        let gone = this
            .state
            .with(py, |state| (state.reader.take(), state.writer.take(), state.task.take(), state.transport.take()));
        drop(gone);
        Ok(())
    }

    /// Bytes were received.
    fn data_received(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let Some(reader) = self.reader(data.py()) else { return Ok(()) };
        match reader.cast_exact::<StreamReader>() {
            Ok(own) => own.get().feed_data(data),
            Err(_) => reader.call_method1(pyo3::intern!(data.py(), "feed_data"), (data,)).map(drop),
        }
    }

    /// The peer sends no more; what is left may still be sent to it, without TLS.
    fn eof_received(&self, py: Python<'_>) -> PyResult<bool> {
        if let Some(reader) = self.reader(py) {
            match reader.cast_exact::<StreamReader>() {
                Ok(own) => own.get().feed_eof(py)?,
                Err(_) => reader.call_method0(pyo3::intern!(py, "feed_eof")).map(drop)?,
            }
        }
        Ok(!self.state.with(py, |state| state.over_ssl))
    }

    fn _get_close_waiter<'py>(&self, stream: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.closed(stream.py())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let outcome = self.state.traverse(&visit, |state| {
            let State { owner, strong, callback, task, transport, writer, source, closed, error, .. } = state;
            let objects = [owner, strong, callback, task, transport, writer, source, closed, error];
            for object in objects.into_iter().flatten() {
                object.traverse(&visit)?;
            }
            state.reader.iter().try_for_each(|reader| reader.traverse(&visit))?;
            state.drains.iter().try_for_each(|waiter| waiter.traverse(&visit))
        });
        outcome.transpose().map(drop)
    }

    fn __clear__(&self, py: Python<'_>) {
        let before = self.state.with(py, std::mem::take);
        drop(before);
    }
}
