//! `StreamWriter`: a transport, with `drain`.
//!
//! The class that programs see is a Python class derived from the Rust one, because only that can have a finalizer that
//! warns about a writer left open.

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::memory::{self, Text};
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::objects::coroutine::spawn;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};

use super::drain::{Drain, WaitClosed};
use super::fields::Fields;
use super::reader::StreamReader;
use super::{derived, feed};
use crate::common::async_block::Coroutine;
use crate::common::imports;
use crate::transports::socket::SocketTransport;
use crate::transports::socket::write_coalescing;

/// The writing end of a stream.
#[pyclass(frozen, subclass, weakref, module = "ferrio")]
pub(crate) struct StreamWriter {
    state: GilCell<State>,
}

#[derive(Default)]
pub(super) struct State {
    transport: Option<OwnedRef>,
    protocol: Option<OwnedRef>,
    reader: Option<OwnedRef>,
    owner: Option<OwnedRef>,
    /// Created on first use.
    complete: Option<OwnedRef>,
}

/// The class that programs see.
pub(crate) fn class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CELL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let make = || {
        let base = py.get_type::<StreamWriter>();
        let finalizer = base.getattr(name!("_finalize"))?;
        Ok::<_, PyErr>(derived(&base, &[], &[("__del__", finalizer)])?.unbind())
    };
    Ok(CELL.get_or_try_init(py, make)?.bind(py))
}

/// Creates a writer.
pub(super) fn create<'py>(
    transport: &Bound<'py, PyAny>,
    protocol: &Bound<'py, PyAny>,
    reader: &Bound<'py, PyAny>,
    owner: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    class(transport.py())?.call1((transport, protocol, reader, owner))
}

impl Fields for StreamWriter {
    type State = State;

    fn state(&self) -> &GilCell<State> {
        &self.state
    }
}

impl StreamWriter {
    #[inline]
    pub(super) fn transport<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.field(py, |state| &state.transport).unwrap_or_else(|| py.None().into_bound(py))
    }

    #[inline]
    pub(super) fn protocol<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.field(py, |state| &state.protocol).unwrap_or_else(|| py.None().into_bound(py))
    }

    /// Whether received data is still unread, so that more writes are likely.
    #[inline]
    fn writes_on(&self, py: Python<'_>) -> bool {
        self.reader(py)
            .is_some_and(|reader| reader.cast_exact::<StreamReader>().is_ok_and(|reader| reader.get().has_more(py)))
    }

    #[inline]
    pub(super) fn reader<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.field(py, |state| &state.reader)
    }
}

/// Takes `data` to send it together with the next write; see `write_coalescing`. False if it was not taken.
#[inline]
fn coalesce(transport: &Bound<'_, SocketTransport>, data: &Bound<'_, PyAny>) -> bool {
    data.cast_exact::<PyBytes>().is_ok_and(|data| write_coalescing::coalesce(transport, data.as_bytes()))
}

#[pymethods]
impl StreamWriter {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords), text_signature = "(transport, protocol, reader, loop)")]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Self {
        Self { state: GilCell::new(State::default()) }
    }

    fn __init__(
        &self,
        transport: &Bound<'_, PyAny>,
        protocol: &Bound<'_, PyAny>,
        reader: &Bound<'_, PyAny>,
        r#loop: &Bound<'_, PyAny>,
    ) {
        self.put(transport.py(), |state| &mut state.transport, Some(transport.clone()));
        self.put(protocol.py(), |state| &mut state.protocol, Some(protocol.clone()));
        self.put(reader.py(), |state| &mut state.reader, Some(reader.clone()));
        self.put(r#loop.py(), |state| &mut state.owner, Some(r#loop.clone()));
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text> {
        let py = slf.py();
        let mut words = vec![slf.get_type().name()?.to_string()];
        words.push(format!("transport={}", slf.get().transport(py).repr()?));
        if let Some(reader) = slf.get().reader(py) {
            words.push(format!("reader={}", reader.repr()?));
        }
        Ok(Text(format!("<{}>", words.join(" "))))
    }

    /// The transport below.
    #[getter(transport)]
    fn shown_transport<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.transport(py)
    }

    /// Write data; what cannot be sent at once is buffered.
    fn write(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = data.py();
        let transport = self.transport(py);
        match feed::own(&transport) {
            Some(own) if self.writes_on(py) && coalesce(own, data) => Ok(()),
            Some(own) => SocketTransport::write(own, data),
            None => transport.call_method1(pyo3::intern!(py, "write"), (data,)).map(drop),
        }
    }

    /// Write a list of data.
    fn writelines(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = data.py();
        self.transport(py).call_method1(pyo3::intern!(py, "writelines"), (data,)).map(drop)
    }

    /// Close the writing end once everything is sent.
    fn write_eof<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.transport(py).call_method0(name!("write_eof"))
    }

    /// Whether the transport supports `write_eof`.
    fn can_write_eof<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.transport(py).call_method0(name!("can_write_eof"))
    }

    /// Close the stream.
    fn close<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.transport(py).call_method0(pyo3::intern!(py, "close"))
    }

    /// Whether the stream is closed or about to be.
    fn is_closing<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.transport(py).call_method0(pyo3::intern!(py, "is_closing"))
    }

    /// Wait until the stream is closed.
    fn wait_closed(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        spawn(slf.py(), "StreamWriter.wait_closed", WaitClosed::new(slf))
    }

    /// Information about the transport.
    #[pyo3(signature = (name, default=None))]
    fn get_extra_info<'py>(
        &self,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.transport(name.py()).call_method1(pyo3::intern!(name.py(), "get_extra_info"), (name, default))
    }

    /// Wait until more may be written.
    fn drain(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        spawn(slf.py(), "StreamWriter.drain", Drain::new(slf))
    }

    /// Go on with TLS on the same connection.
    #[pyo3(signature = (sslcontext, *, server_hostname=None, ssl_handshake_timeout=None, ssl_shutdown_timeout=None))]
    fn start_tls(
        slf: Py<Self>,
        py: Python<'_>,
        sslcontext: Py<PyAny>,
        server_hostname: Option<Py<PyAny>>,
        ssl_handshake_timeout: Option<Py<PyAny>>,
        ssl_shutdown_timeout: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        Coroutine::spawn(py, "StreamWriter.start_tls", |channel| async move {
            let slf = channel.own(slf);
            let (protocol, server_side, drained) = Python::attach(|py| {
                let protocol = slf.get().protocol(py);
                let server_side = !protocol.getattr(name!("_client_connected_cb"))?.is_none();
                let drained = slf.bind(py).call_method0(name!("drain"))?;
                Ok::<_, PyErr>((protocol.unbind(), server_side, drained.unbind()))
            })?;
            let protocol = channel.own(protocol);
            channel.wait(drained).await?;
            let upgraded = Python::attach(|py| {
                let keywords = memory::dict(py)?;
                keywords.set_item(name!("server_side"), server_side)?;
                keywords.set_item(name!("server_hostname"), server_hostname)?;
                keywords.set_item(name!("ssl_handshake_timeout"), ssl_handshake_timeout)?;
                keywords.set_item(name!("ssl_shutdown_timeout"), ssl_shutdown_timeout)?;
                let owner = slf.get().field(py, |state| &state.owner);
                let owner = owner.unwrap_or_else(|| py.None().into_bound(py));
                let transport = slf.get().transport(py);
                owner
                    .call_method(name!("start_tls"), (transport, &*protocol, sslcontext), Some(&keywords))
                    .map(Bound::unbind)
            })?;
            let transport = channel.wait(upgraded).await?;
            Python::attach(|py| {
                slf.get().put(py, |state| &mut state.transport, Some(transport.bind(py).clone()));
                let protocol = protocol.bind(py);
                if imports::python_version(py) >= (3, 13) {
                    protocol.call_method1(name!("_replace_transport"), (transport,))?;
                } else {
                    protocol.call_method1(name!("_replace_writer"), (&*slf,))?;
                }
                Ok(())
            })
        })
    }

    /// `__del__`.
    fn _finalize(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if !slf.get().state.is_initialized(py) {
            return Ok(());
        }
        let transport = slf.get().transport(py);
        let is_closing = match feed::own(&transport) {
            Some(own) => own.get().is_closing_now(py),
            None => transport.call_method0(pyo3::intern!(py, "is_closing"))?.is_truthy()?,
        };
        if is_closing {
            return Ok(());
        }
        let owner = slf.get().field(py, |state| &state.owner).unwrap_or_else(|| py.None().into_bound(py));
        let text = if owner.call_method0(name!("is_closed"))?.is_truthy()? {
            "loop is closed".to_owned()
        } else {
            slf.call_method0(name!("close"))?;
            format!("unclosed {}", slf.repr()?)
        };
        imports::warn(py)?.call1((text, imports::resource_warning(py)?)).map(drop)
    }

    #[getter(_transport)]
    fn private_transport<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.transport(py)
    }

    #[setter(_transport)]
    fn set_transport(&self, transport: &Bound<'_, PyAny>) {
        self.put(transport.py(), |state| &mut state.transport, Some(transport.clone()));
    }

    #[getter(_protocol)]
    fn shown_protocol<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.protocol(py)
    }

    #[setter(_protocol)]
    fn set_protocol(&self, protocol: &Bound<'_, PyAny>) {
        self.put(protocol.py(), |state| &mut state.protocol, Some(protocol.clone()));
    }

    #[getter(_reader)]
    fn shown_reader<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.reader(py)
    }

    #[setter(_reader)]
    fn set_reader(&self, reader: &Bound<'_, PyAny>) {
        self.put(reader.py(), |state| &mut state.reader, Some(reader.clone()));
    }

    #[getter(_loop)]
    fn shown_loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.field(py, |state| &state.owner)
    }

    #[setter(_loop)]
    fn set_loop(&self, owner: &Bound<'_, PyAny>) {
        self.put(owner.py(), |state| &mut state.owner, Some(owner.clone()));
    }

    #[getter(_complete_fut)]
    fn shown_complete<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(complete) = self.field(py, |state| &state.complete) {
            return Ok(complete);
        }
        let owner = self.field(py, |state| &state.owner).unwrap_or_else(|| py.None().into_bound(py));
        let complete = owner.call_method0(name!("create_future"))?;
        complete.call_method1(name!("set_result"), (py.None(),))?;
        self.put(complete.py(), |state| &mut state.complete, Some(complete.clone()));
        Ok(complete)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let outcome = self.state.traverse(&visit, |state| {
            let State { transport, protocol, reader, owner, complete } = state;
            let objects = [transport, protocol, reader, owner, complete];
            objects.into_iter().flatten().try_for_each(|object| object.traverse(&visit))
        });
        outcome.transpose().map(drop)
    }

    fn __clear__(&self, py: Python<'_>) {
        let before = self.state.with(py, std::mem::take);
        drop(before);
    }
}
