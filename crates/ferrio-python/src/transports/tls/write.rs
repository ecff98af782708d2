//! Writing: from the protocol through the session to the lower transport.
//!
//! Invariant: the backlog holds data only before the handshake is done and while the session waits for the peer;
//! encrypted data stays in the session while the lower transport is paused.

use ferrio_cpython::capi::buffer_view::BufferView;
use ferrio_cpython::capi::memory;
use pyo3::exceptions::{PyNotImplementedError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

use super::read::LONGEST;
use super::{Phase, State, TlsTransport, close, flow};
use crate::common::imports;
use crate::common::slices::slice;
use crate::transports::socket::write::is_data;

/// Maximum number of bytes given to the session at a time; the session splits them into records.
const AT_ONCE: usize = 1 << 20;

/// The number of writes to a closed connection before asyncio warns (`LOG_THRESHOLD_FOR_CONNLOST_WRITES`).
const DROPPED_WRITES_BEFORE_WARNING: u32 = 5;

#[pymethods]
impl TlsTransport {
    /// Write bytes, bytearray or memoryview; what cannot be sent at once is buffered.
    fn write(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        if !is_data(data) {
            let text = format!("data: expecting a bytes-like instance, got {}", data.get_type().name()?);
            return Err(ferrio_cpython::error::<PyTypeError>(text));
        }
        if data.is_truthy()? { write_all(slf, std::iter::once(Ok(data.clone()))) } else { Ok(()) }
    }

    /// Write a sequence of bytes-like objects.
    fn writelines(slf: &Bound<'_, Self>, list_of_data: &Bound<'_, PyAny>) -> PyResult<()> {
        write_all(slf, list_of_data.try_iter()?)
    }

    /// Not supported: a TLS connection closes both ways.
    #[expect(clippy::unused_self, reason = "asyncio's signature")]
    fn write_eof(&self) -> PyResult<()> {
        Err(ferrio_cpython::error::<PyNotImplementedError>(()))
    }

    /// Whether `write_eof()` is supported: it is not.
    #[expect(clippy::unused_self, reason = "asyncio's signature")]
    fn can_write_eof(&self) -> bool {
        false
    }

    /// How many bytes wait to be sent, encrypted or not.
    fn get_write_buffer_size(&self, py: Python<'_>) -> PyResult<usize> {
        self.send_pending(py)?;
        let kept = self.state.with(py, |state| state.outbox_len(py) + state.backlog_len);
        Ok(self.session.outgoing_pending(py)? + kept)
    }

    /// Appends to what waits for the session: asyncio's own tests fill it by this.
    #[pyo3(name = "_test__append_write_backlog")]
    fn append_to_backlog(&self, py: Python<'_>, data: Py<PyBytes>) {
        let size = data.as_bytes(py).len();
        self.state.with(py, |state| {
            state.backlog.push_back(data);
            state.backlog_len += size;
        });
    }
}

impl State {
    /// Length in bytes of the encrypted data that the lower transport was not given yet.
    pub(super) fn outbox_len(&self, py: Python<'_>) -> usize {
        self.outbox.iter().map(|made| made.as_bytes(py).len()).sum()
    }
}

fn write_all<'py>(
    transport: &Bound<'py, TlsTransport>,
    items: impl Iterator<Item = PyResult<Bound<'py, PyAny>>>,
) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let (phase, direct) = this.state.with(py, |state| (state.phase, state.backlog.is_empty()));
    match phase {
        Phase::Flushing | Phase::Shutdown | Phase::Unwrapped => return dropped_write(transport),
        Phase::Handshake => {
            for item in items {
                keep(transport, &item?, 0)?;
            }
            return Ok(());
        }
        Phase::Wrapped => {}
    }
    let outcome = write_items(transport, items, direct).and_then(|()| send_outgoing(transport));
    match outcome {
        Ok(()) => Ok(()),
        Err(error) => close::contain(transport, error, "Fatal error on SSL protocol"),
    }
}

fn write_items<'py>(
    transport: &Bound<'py, TlsTransport>,
    items: impl Iterator<Item = PyResult<Bound<'py, PyAny>>>,
    mut direct: bool,
) -> PyResult<()> {
    for item in items {
        let item = item?;
        let written = if direct { encrypt(transport, &item)? } else { Some(0) };
        if let Some(written) = written {
            direct = false;
            keep(transport, &item, written)?;
        }
    }
    if direct { Ok(()) } else { encrypt_backlog(transport) }
}

/// Encrypts data. None if the session accepted all of it, otherwise how much it accepted.
fn encrypt(transport: &Bound<'_, TlsTransport>, data: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
    let py = transport.py();
    let session = &transport.get().session;
    let bytes = data.cast_exact::<PyBytes>().ok();
    let flat = if bytes.is_some() { data.clone() } else { flat_view(data)? };
    let total = flat.len()?;
    // One record at a time, for the reason given in `receive.rs`.
    let by_record = session.is_unpatched && total > LONGEST;
    let step = if by_record { LONGEST } else { AT_ONCE };
    let mut written = 0;
    while written < total {
        let end = total.min(written + step);
        let part = match bytes {
            _ if end - written == total => flat.clone(),
            Some(bytes) if by_record => BufferView::of(bytes, written..end)?,
            _ => flat_view(&flat)?.get_item(slice(py, written, Some(end))?)?,
        };
        match session.write(py, &part)? {
            Some(count) => written += count,
            None => return Ok(Some(written)),
        }
        if by_record {
            collect(transport)?;
        }
    }
    Ok(None)
}

/// Moves encrypted data from the session to the outbox, unless the lower transport is paused.
fn collect(transport: &Bound<'_, TlsTransport>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    if this.state.with(py, |state| state.lower_writing_paused) {
        return Ok(());
    }
    if let Some(made) = this.session.take(py)? {
        this.state.with(py, |state| state.outbox.push(made.unbind()));
    }
    Ok(())
}

/// A memory view of `data` whose elements are bytes.
fn flat_view<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let view = PyMemoryView::from(data)?.into_any();
    if view.getattr(name!("format"))?.eq("B")? && view.getattr(name!("ndim"))?.eq(1)? {
        return Ok(view);
    }
    view.call_method1(name!("cast"), ("B",))
}

/// Keeps the data that the session did not accept.
fn keep(transport: &Bound<'_, TlsTransport>, data: &Bound<'_, PyAny>, written: usize) -> PyResult<()> {
    let py = transport.py();
    let bytes = match data.cast_exact::<PyBytes>() {
        Ok(bytes) if written == 0 => bytes.clone(),
        Ok(bytes) => memory::bytes(py, &bytes.as_bytes()[written..])?,
        Err(_) => {
            let copy = flat_view(data)?.call_method0(name!("tobytes"))?.cast_into::<PyBytes>()?;
            memory::bytes(py, &copy.as_bytes()[written..])?
        }
    };
    let size = bytes.as_bytes().len();
    if size > 0 {
        if transport.get().state.with(py, |state| state.backlog.try_reserve(1).is_err()) {
            return Err(memory::out_of_memory(py));
        }
        transport.get().state.with(py, |state| {
            state.backlog.push_back(bytes.unbind());
            state.backlog_len += size;
        });
    }
    Ok(())
}

/// Encrypts the backlog and sends the result.
pub(super) fn write_backlog(transport: &Bound<'_, TlsTransport>) -> PyResult<()> {
    encrypt_backlog(transport)?;
    send_outgoing(transport)
}

fn encrypt_backlog(transport: &Bound<'_, TlsTransport>) -> PyResult<()> {
    let py = transport.py();
    let state = &transport.get().state;
    while let Some(first) = state.with(py, |state| state.backlog.pop_front()) {
        let size = first.as_bytes(py).len();
        let remaining = match encrypt(transport, first.bind(py).as_any()) {
            Ok(None) => None,
            Ok(Some(0)) => Some(first.clone_ref(py)),
            Ok(Some(written)) => Some(memory::bytes(py, &first.as_bytes(py)[written..])?.unbind()),
            Err(error) => {
                state.with(py, |state| state.backlog_len -= size);
                return Err(error);
            }
        };
        let left = remaining.as_ref().map_or(0, |remaining| remaining.as_bytes(py).len());
        let blocked = state.with(py, |state| {
            // If the connection was lost in the meantime, the backlog is already cleared.
            state.backlog_len = (state.backlog_len + left).saturating_sub(size);
            let blocked = remaining.is_some();
            if let Some(remaining) = remaining {
                state.backlog.push_front(remaining);
            }
            blocked
        });
        if blocked {
            break;
        }
    }
    Ok(())
}

/// Sends the encrypted data, unless the lower transport is paused, then applies write flow control to the protocol.
pub(super) fn send_outgoing(transport: &Bound<'_, TlsTransport>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    if !this.state.with(py, |state| state.lower_writing_paused)
        && let Some(lower) = this.lower(py)
    {
        let last = this.session.take(py)?;
        let mut made = this.state.with(py, |state| std::mem::take(&mut state.outbox));
        match last {
            Some(only) if made.is_empty() => lower.write(only)?,
            last => {
                made.extend(last.map(Bound::unbind));
                lower.write_all(py, made)?;
            }
        }
    }
    flow::control_writing(transport)
}

#[cold]
fn dropped_write(transport: &Bound<'_, TlsTransport>) -> PyResult<()> {
    let py = transport.py();
    let dropped = transport.get().state.with(py, |state| {
        let before = state.dropped_writes;
        state.dropped_writes = before.saturating_add(1);
        before
    });
    if dropped >= DROPPED_WRITES_BEFORE_WARNING {
        imports::sslproto_logger(py)?.call_method1(name!("warning"), ("SSL connection is closed",))?;
    }
    Ok(())
}
