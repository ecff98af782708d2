//! `StreamReaderProtocol`: between a transport and a reader, and flow control for writers.
//!
//! The reader is referred to weakly: once a program has dropped it, what still comes is dropped as well. The class that
//! programs see is a Python class on top of the Rust one, for it has asyncio's `FlowControlMixin` among its bases.

use ferrio_cpython::GilCell;
use ferrio_cpython::coroutine::spawn;
use ferrio_cpython::coroutines::is_coroutine;
use ferrio_cpython::future::{self, DoneCallback, like};
use ferrio_cpython::held::Held;
use pyo3::exceptions::PyAssertionError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType, PyWeakrefMethods, PyWeakrefReference};
use pyo3::{PyTraverseError, PyVisit};

use super::draining::DrainHelper;
use super::reader::StreamReader;
use super::{default_loop, derived, is_debug, writer};
use crate::{errors, imports};

/// A stream's protocol.
#[pyclass(frozen, subclass, weakref, module = "ferrio")]
pub(crate) struct StreamReaderProtocol {
    pub(super) state: GilCell<State>,
}

/// What changes during a protocol's life.
#[derive(Default)]
pub(crate) struct State {
    pub(super) owner: Option<Held>,
    reader: Option<Held<PyWeakrefReference>>,
    /// The reader, until a server's client is told of it.
    strong: Option<Held>,
    callback: Option<Held>,
    task: Option<Held>,
    transport: Option<Held>,
    writer: Option<Held>,
    source: Option<Held>,
    /// Finished when the connection is lost.
    closed: Option<Held>,
    /// Those who wait in `drain`.
    pub(super) drains: Vec<Held>,
    pub(super) paused: bool,
    pub(super) lost: bool,
    rejected: bool,
    over_ssl: bool,
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

/// Whether bytes for `protocol` may go to its reader directly.
#[inline]
pub(super) fn feeds_directly(protocol: &Bound<'_, PyAny>) -> bool {
    if is_plain(protocol) {
        return true;
    }
    protocol.cast::<StreamReaderProtocol>().is_ok() && !overrides(protocol).unwrap_or(true)
}

/// Whether `protocol` is exactly of the class that programs see.
#[inline]
pub(super) fn is_plain(protocol: &Bound<'_, PyAny>) -> bool {
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

impl StreamReaderProtocol {
    /// The reader, while there is one.
    #[inline]
    pub(super) fn reader<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let reader = self.state.with(py, |state| state.reader.as_ref().map(|reader| reader.bind(py).clone()));
        reader.and_then(|reader| reader.upgrade())
    }

    fn field<'py>(&self, py: Python<'py>, look: impl FnOnce(&State) -> &Option<Held>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| look(state).as_ref().map(|object| object.bind(py).clone()))
    }

    fn put(
        &self,
        py: Python<'_>,
        place: impl FnOnce(&mut State) -> &mut Option<Held>,
        object: Option<&Bound<'_, PyAny>>,
    ) {
        let object = object.filter(|object| !object.is_none()).map(|object| Held::from(object.clone()));
        let before = self.state.with(py, |state| std::mem::replace(place(state), object));
        drop(before);
    }

    /// Its loop.
    pub(super) fn owner<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.field(py, |state| &state.owner).unwrap_or_else(|| py.None().into_bound(py))
    }

    /// Wakes all who wait in `drain`.
    fn wake_drains(&self, py: Python<'_>, error: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let waiters: Vec<_> =
            self.state.with(py, |state| state.drains.iter().map(|waiter| waiter.bind(py).clone()).collect());
        for waiter in waiters {
            if like::is_done(&waiter)? {
                continue;
            }
            match error {
                Some(error) => like::set_exception(&waiter, error)?,
                None => like::set_result(&waiter, py.None().into_bound(py))?,
            }
        }
        Ok(())
    }

    fn log(slf: &Bound<'_, Self>, text: &str) -> PyResult<()> {
        let py = slf.py();
        if is_debug(&slf.get().owner(py))? {
            imports::logger(py)?.call_method1("debug", (text, slf))?;
        }
        Ok(())
    }

    fn note_over_ssl(&self, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = transport.py();
        let plain = super::feeding::own(transport).is_some();
        let over_ssl =
            !plain && !transport.call_method1(pyo3::intern!(py, "get_extra_info"), ("sslcontext",))?.is_none();
        self.state.with(py, |state| state.over_ssl = over_ssl);
        Ok(())
    }

    /// Tells a server's program of its client.
    fn serve(slf: &Bound<'_, Self>, callback: &Bound<'_, PyAny>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let owner = this.owner(py);
        let reader = this.reader(py).unwrap_or_else(|| py.None().into_bound(py));
        let writer = writer::create(transport, slf.as_any(), &reader, &owner)?;
        if imports::python_version(py) < (3, 13) {
            this.put(py, |state| &mut state.writer, Some(&writer));
        }
        let answer = match callback.call1((reader, writer)) {
            Ok(answer) => answer,
            Err(error) if imports::python_version(py) >= (3, 14) && !passes_through(py, &error) => {
                report(&owner, error.value(py).as_any(), transport)?;
                transport.call_method0("close")?;
                this.put(py, |state| &mut state.strong, None);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if is_coroutine(&answer)? {
            let task = owner.call_method1(pyo3::intern!(py, "create_task"), (answer,))?;
            this.put(py, |state| &mut state.task, Some(&task));
            let client = Bound::new(py, Client { owner: owner.into(), transport: transport.clone().into() })?;
            future::when_done(&task, client.as_any(), &CLIENT_DONE)?;
        }
        this.put(py, |state| &mut state.strong, None);
        Ok(())
    }
}

fn passes_through(py: Python<'_>, error: &PyErr) -> bool {
    errors::passes(py, error) || !error.is_instance_of::<pyo3::exceptions::PyException>(py)
}

/// A server's client, for when its task is done.
#[pyclass(frozen, module = "ferrio")]
struct Client {
    owner: Held,
    transport: Held,
}

#[pymethods]
impl Client {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.owner.traverse(&visit)?;
        self.transport.traverse(&visit)
    }
}

static CLIENT_DONE: DoneCallback =
    DoneCallback::new("StreamReaderProtocol.connection_made.<locals>.callback", client_done);

fn client_done(client: &Bound<'_, PyAny>, task: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = client.py();
    let client = client.cast::<Client>()?.get();
    let transport = client.transport.bind(py);
    if imports::python_version(py) >= (3, 13) && like::is_cancelled(task)? {
        return transport.call_method0("close").map(drop);
    }
    let error = task.call_method0(pyo3::intern!(py, "exception"))?;
    if !error.is_none() {
        report(client.owner.bind(py), &error, transport)?;
        transport.call_method0("close")?;
    }
    Ok(())
}

#[cold]
fn report(owner: &Bound<'_, PyAny>, error: &Bound<'_, PyAny>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
    let context = PyDict::new(owner.py());
    context.set_item("message", "Unhandled exception in client_connected_cb")?;
    context.set_item("exception", error)?;
    context.set_item("transport", transport)?;
    owner.call_method1("call_exception_handler", (context,)).map(drop)
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
            state.reader = Some(Held::of(&PyWeakrefReference::new(stream_reader)?));
            let source = match stream_reader.cast_exact::<StreamReader>() {
                Ok(own) => own.get().source_traceback(py),
                Err(_) => stream_reader.getattr_opt("_source_traceback")?,
            };
            state.source = source.map(Held::from);
            if client_connected_cb.is_some() {
                state.strong = Some(stream_reader.clone().into());
            }
        }
        state.callback = client_connected_cb.map(Held::from);
        state.closed = Some(owner.call_method0(pyo3::intern!(py, "create_future"))?.into());
        state.owner = Some(owner.into());
        let before = self.state.with(py, |place| std::mem::replace(place, state));
        drop(before);
        Ok(())
    }

    /// The transport is full.
    fn pause_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().state.with(py, |state| std::mem::replace(&mut state.paused, true)) {
            return Err(PyAssertionError::new_err(()));
        }
        Self::log(slf, "%r pauses writing")
    }

    /// The transport takes data again.
    fn resume_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if !slf.get().state.with(py, |state| std::mem::replace(&mut state.paused, false)) {
            return Err(PyAssertionError::new_err(()));
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
            reader.call_method1("_replace_transport", (transport,))?;
        }
        self.put(py, |state| &mut state.transport, Some(transport));
        self.note_over_ssl(transport)
    }

    fn _replace_writer(&self, writer: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = writer.py();
        let transport = writer.getattr("transport")?;
        self.put(py, |state| &mut state.writer, Some(writer));
        self.put(py, |state| &mut state.transport, Some(&transport));
        self.note_over_ssl(&transport)
    }

    /// The connection is there.
    fn connection_made(slf: &Bound<'_, Self>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.state.with(py, |state| state.rejected) {
            let context = PyDict::new(py);
            context.set_item(
                "message",
                "An open stream was garbage collected prior to establishing network connection; \
                 call \"stream.close()\" explicitly.",
            )?;
            if let Some(source) = this.field(py, |state| &state.source) {
                context.set_item("source_traceback", source)?;
            }
            this.owner(py).call_method1("call_exception_handler", (context,))?;
            return transport.call_method0("abort").map(drop);
        }
        this.put(py, |state| &mut state.transport, Some(transport));
        if let Some(reader) = this.reader(py) {
            match reader.cast_exact::<StreamReader>() {
                Ok(own) => own.get().set_transport(transport.clone())?,
                Err(_) => reader.call_method1(pyo3::intern!(py, "set_transport"), (transport,)).map(drop)?,
            }
        }
        this.note_over_ssl(transport)?;
        let callback = if is_plain(slf.as_any()) {
            this.field(py, |state| &state.callback)
        } else {
            Some(slf.getattr(pyo3::intern!(py, "_client_connected_cb"))?).filter(|found| !found.is_none())
        };
        callback.map_or(Ok(()), |callback| Self::serve(slf, &callback, transport))
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
                (None, Err(_)) => reader.call_method0("feed_eof").map(drop)?,
                (Some(error), Err(_)) => reader.call_method1("set_exception", (error,)).map(drop)?,
            }
        }
        if let Some(closed) = this.field(py, |state| &state.closed)
            && !like::is_done(&closed)?
        {
            match error {
                None => like::set_result(&closed, py.None().into_bound(py))?,
                Some(error) => {
                    like::set_exception(&closed, error)?;
                    // Nobody has to wait for it: not a word when nobody does.
                    closed.call_method0("exception")?;
                }
            }
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

    fn _get_close_waiter<'py>(&self, stream: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        self.field(stream.py(), |state| &state.closed)
    }

    #[getter(_stream_reader)]
    fn shown_reader<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.reader(py)
    }

    #[getter(_stream_reader_wr)]
    fn shown_weak_reader<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyWeakrefReference>> {
        self.state.with(py, |state| state.reader.as_ref().map(|reader| reader.bind(py).clone()))
    }

    #[setter(_stream_reader_wr)]
    fn set_weak_reader(&self, py: Python<'_>, reader: Option<&Bound<'_, PyWeakrefReference>>) {
        let reader = reader.map(Held::of);
        let before = self.state.with(py, |state| std::mem::replace(&mut state.reader, reader));
        drop(before);
    }

    #[getter(_loop)]
    fn shown_owner<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.field(py, |state| &state.owner)
    }

    #[getter(_strong_reader)]
    fn shown_strong<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.field(py, |state| &state.strong)
    }

    #[getter(_client_connected_cb)]
    fn shown_callback<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.field(py, |state| &state.callback)
    }

    #[getter(_task)]
    fn shown_task<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.field(py, |state| &state.task)
    }

    #[getter(_transport)]
    fn shown_transport<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.field(py, |state| &state.transport)
    }

    #[getter(_stream_writer)]
    fn shown_writer<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.field(py, |state| &state.writer)
    }

    #[getter(_source_traceback)]
    fn shown_source<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.field(py, |state| &state.source)
    }

    #[getter(_closed)]
    fn shown_closed<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.field(py, |state| &state.closed)
    }

    #[getter(_paused)]
    fn is_paused(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.paused)
    }

    #[getter(_connection_lost)]
    fn is_lost(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.lost)
    }

    #[getter(_reject_connection)]
    fn is_rejected(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.rejected)
    }

    #[getter(_over_ssl)]
    fn is_over_ssl(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.over_ssl)
    }

    #[getter(_drain_waiters)]
    fn shown_drains<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let waiters: Vec<_> =
            self.state.with(py, |state| state.drains.iter().map(|one| one.bind(py).clone()).collect());
        imports::deque(py)?.call1((waiters,))
    }

    #[setter(_client_connected_cb)]
    fn set_callback(&self, callback: &Bound<'_, PyAny>) {
        self.put(callback.py(), |state| &mut state.callback, Some(callback));
    }

    #[setter(_task)]
    fn set_task(&self, task: &Bound<'_, PyAny>) {
        self.put(task.py(), |state| &mut state.task, Some(task));
    }

    #[setter(_stream_writer)]
    fn set_writer(&self, writer: &Bound<'_, PyAny>) {
        self.put(writer.py(), |state| &mut state.writer, Some(writer));
    }

    #[setter(_closed)]
    fn set_closed(&self, closed: &Bound<'_, PyAny>) {
        self.put(closed.py(), |state| &mut state.closed, Some(closed));
    }

    #[setter(_loop)]
    fn set_loop(&self, owner: &Bound<'_, PyAny>) {
        self.put(owner.py(), |state| &mut state.owner, Some(owner));
    }

    #[setter(_strong_reader)]
    fn set_strong(&self, reader: &Bound<'_, PyAny>) {
        self.put(reader.py(), |state| &mut state.strong, Some(reader));
    }

    #[setter(_transport)]
    fn set_transport(&self, transport: &Bound<'_, PyAny>) {
        self.put(transport.py(), |state| &mut state.transport, Some(transport));
    }

    #[setter(_over_ssl)]
    fn set_over_ssl(&self, py: Python<'_>, over_ssl: bool) {
        self.state.with(py, |state| state.over_ssl = over_ssl);
    }

    #[setter(_reject_connection)]
    fn set_rejected(&self, py: Python<'_>, rejected: bool) {
        self.state.with(py, |state| state.rejected = rejected);
    }

    #[setter(_connection_lost)]
    fn set_lost(&self, py: Python<'_>, lost: bool) {
        self.state.with(py, |state| state.lost = lost);
    }

    #[setter(_paused)]
    fn set_paused(&self, py: Python<'_>, paused: bool) {
        self.state.with(py, |state| state.paused = paused);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let outcome = self.state.traverse(&visit, |state| {
            let State { owner, strong, callback, task, transport, writer, source, closed, .. } = state;
            for object in [owner, strong, callback, task, transport, writer, source, closed].into_iter().flatten() {
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
