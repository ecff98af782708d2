//! Information about a TLS transport: `get_extra_info` and the repr.

use ferrio_cpython::capi::memory::{self, Text};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::TlsTransport;
use super::session::Session;
use crate::common::imports;

/// What a snapshot shows of a TLS connection.
pub(crate) struct Facts<'py> {
    /// None once the connection is lost.
    pub(crate) protocol: Option<Bound<'py, PyAny>>,
    /// The `SSLObject`.
    pub(crate) object: Bound<'py, PyAny>,
    /// What `get_extra_info` knows since the handshake.
    pub(crate) extra: Option<Bound<'py, PyDict>>,
    /// Bytes that wait to be encrypted, or are encrypted and wait for the lower transport.
    pub(crate) buffered: usize,
    /// Since when the protocol has paused reading, and was paused writing; see `FlowControl::paused_since`.
    pub(crate) reading_paused: Option<u64>,
    pub(crate) writing_paused: Option<u64>,
    pub(crate) closing: bool,
}

impl TlsTransport {
    /// What it is like now. Calls no Python code.
    pub(crate) fn facts<'py>(&self, py: Python<'py>) -> Facts<'py> {
        self.state.with(py, |state| Facts {
            protocol: state.protocol.as_ref().map(|protocol| protocol.bind(py).clone()),
            object: self.session.object.bind(py).clone(),
            extra: state.extra.as_ref().map(|extra| extra.bind(py).clone()),
            buffered: state.backlog_len + state.outbox_len(py),
            reading_paused: state.reading_paused.then_some(state.reading_paused_at),
            writing_paused: state.writing_paused.then_some(state.writing_paused_at),
            closing: state.closed,
        })
    }
}

#[pymethods]
impl TlsTransport {
    /// Optional information: `"sslcontext"`, `"ssl_object"`, `"peercert"`, `"cipher"`, `"compression"` and what the lower one
    /// knows; `default` for what is not known.
    #[pyo3(signature = (name, default=None))]
    fn get_extra_info<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        let this = slf.get();
        if name.eq("sslcontext")? {
            return Ok(Some(this.session.context.bind(py).clone()));
        }
        let extra = this.state.with(py, |state| state.extra.as_ref().map(|extra| extra.bind(py).clone()));
        if let Some(extra) = extra
            && let Some(known) = extra.get_item(name)?
        {
            return Ok(Some(known));
        }
        match this.lower(py) {
            Some(lower) => lower.bind(py).call_method1(name!("get_extra_info"), (name, default)).map(Some),
            None => Ok(default),
        }
    }

    /// The mode of asyncio's sendfile: the fallback, because the kernel cannot encrypt.
    #[getter]
    fn _sendfile_compatible<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        imports::constants(slf.py())?.getattr(name!("_SendfileMode"))?.getattr(name!("FALLBACK"))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text> {
        let py = slf.py();
        let closed = if slf.get().state.with(py, |state| state.closed) { " closing" } else { "" };
        match slf.get().lower(py) {
            Some(lower) => Ok(Text(format!("<SSLTransport{closed} over {}>", lower.bind(py).repr()?))),
            None => Ok(Text(format!("<SSLTransport{closed}>"))),
        }
    }
}

/// The information that asyncio stores after the handshake.
pub(super) fn after_handshake<'py>(session: &Session, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
    let object = session.object.bind(py);
    let extra = memory::dict(py)?;
    extra.set_item(name!("peercert"), object.call_method0(name!("getpeercert"))?)?;
    extra.set_item(name!("cipher"), object.call_method0(name!("cipher"))?)?;
    extra.set_item(name!("compression"), object.call_method0(name!("compression"))?)?;
    extra.set_item(name!("ssl_object"), object)?;
    Ok(extra)
}
