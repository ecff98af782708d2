//! How bytes come into a reader, and how it wakes who waits and holds back its transport.

use ferrio_cpython::capi::memory::out_of_memory;
use ferrio_cpython::objects::future::future_like;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyAssertionError, PyNotImplementedError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};

use super::protocol::{self, StreamReaderProtocol};
use super::reader::StreamReader;
use crate::transports::socket::SocketTransport;

/// The reader that may be fed without asking `protocol`, if all is ours and nothing overridden.
#[inline]
pub(crate) fn direct<'py>(protocol: &Bound<'py, PyAny>) -> Option<Bound<'py, StreamReader>> {
    if !protocol::feeds_directly(protocol) {
        return None;
    }
    let reader = protocol.cast::<StreamReaderProtocol>().ok()?.get().reader(protocol.py())?;
    reader.cast_into_exact::<StreamReader>().ok()
}

/// Adds bytes without Python code; `added` has to follow. False if there is no memory for them.
#[must_use]
#[inline]
pub(crate) fn add(py: Python<'_>, reader: &StreamReader, data: &[u8]) -> bool {
    reader.state.with(py, |state| state.incoming.push(data))
}

/// Whether `add` may be called.
#[inline]
pub(crate) fn takes(py: Python<'_>, reader: &StreamReader) -> bool {
    reader.state.with(py, |state| state.shared.is_none() && !state.eof)
}

/// Does what follows from new bytes.
#[inline]
pub(crate) fn added(py: Python<'_>, reader: &StreamReader) -> PyResult<()> {
    wake(py, reader)?;
    let (watched, most) = reader.state.with(py, |state| (state.transport.is_some() && !state.paused, state.most));
    if !watched || i64::try_from(reader.len(py)?).is_ok_and(|length| length <= most) {
        return Ok(());
    }
    pause(py, reader)
}

#[cold]
fn pause(py: Python<'_>, reader: &StreamReader) -> PyResult<()> {
    let Some(transport) = reader.field(py, |state| &state.transport) else { return Ok(()) };
    match transport.call_method0(pyo3::intern!(py, "pause_reading")) {
        Ok(_) => reader.state.with(py, |state| state.paused = true),
        // It cannot be paused: everything has to be buffered, and it is not tried again.
        Err(error) if error.is_instance_of::<PyNotImplementedError>(py) => {
            reader.put(py, |state| &mut state.transport, None);
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// `feed_data`.
pub(super) fn feed(reader: &StreamReader, data: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = data.py();
    if reader.state.with(py, |state| state.eof) {
        return Err(ferrio_cpython::error::<PyAssertionError>("feed_data after feed_eof"));
    }
    if let Ok(bytes) = data.cast::<PyBytes>() {
        if bytes.as_bytes().is_empty() {
            return Ok(());
        }
        push(py, reader, bytes.as_bytes())?;
    } else {
        if !data.is_truthy()? {
            return Ok(());
        }
        let bytes = match data.cast::<PyByteArray>() {
            Ok(bytes) => bytes.to_vec(),
            Err(_) => match PyBuffer::<u8>::get(data) {
                Ok(buffer) => buffer.to_vec(py)?,
                Err(_) => extended_by(data)?,
            },
        };
        push(py, reader, &bytes)?;
    }
    added(py, reader)
}

/// What `bytearray.extend` makes of anything else: numbers are bytes to it.
#[cold]
fn extended_by(data: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let room = PyByteArray::new(data.py(), b"");
    room.call_method1(pyo3::intern!(data.py(), "extend"), (data,))?;
    Ok(room.to_vec())
}

#[inline]
fn push(py: Python<'_>, reader: &StreamReader, data: &[u8]) -> PyResult<()> {
    if reader.with_incoming(py, |incoming, _| incoming.push(data))? { Ok(()) } else { Err(out_of_memory(py)) }
}

/// `feed_eof`.
pub(super) fn end(py: Python<'_>, reader: &StreamReader) -> PyResult<()> {
    reader.state.with(py, |state| state.eof = true);
    wake(py, reader)
}

/// `set_exception`.
pub(super) fn fail(py: Python<'_>, reader: &StreamReader, exception: Bound<'_, PyAny>) -> PyResult<()> {
    reader.put(py, |state| &mut state.exception, Some(exception.clone()));
    let Some(waiter) = reader.state.with(py, |state| state.waiter.take()) else { return Ok(()) };
    let waiter = waiter.into_bound(py);
    if future_like::is_cancelled(&waiter)? { Ok(()) } else { future_like::set_exception(&waiter, &exception) }
}

/// `_wakeup_waiter`.
#[inline]
pub(super) fn wake(py: Python<'_>, reader: &StreamReader) -> PyResult<()> {
    let Some(waiter) = reader.state.with(py, |state| state.waiter.take()) else { return Ok(()) };
    let waiter = waiter.into_bound(py);
    if future_like::is_cancelled(&waiter)? {
        Ok(())
    } else {
        future_like::set_result(&waiter, py.None().into_bound(py))
    }
}

/// `_maybe_resume_transport`.
#[inline]
pub(super) fn maybe_resume(py: Python<'_>, reader: &StreamReader) -> PyResult<()> {
    let (paused, limit) = reader.state.with(py, |state| (state.paused, state.limit));
    if !paused || i64::try_from(reader.len(py)?).is_ok_and(|length| length > limit) {
        return Ok(());
    }
    resume(py, reader)
}

/// Lets the transport read again.
#[cold]
pub(super) fn resume(py: Python<'_>, reader: &StreamReader) -> PyResult<()> {
    reader.state.with(py, |state| state.paused = false);
    let transport = reader.field(py, |state| &state.transport);
    let transport = transport.unwrap_or_else(|| py.None().into_bound(py));
    transport.call_method0(pyo3::intern!(py, "resume_reading")).map(drop)
}

/// A transport exactly of our own class for sockets, whose methods nobody can replace.
#[inline]
pub(super) fn own<'a, 'py>(transport: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, SocketTransport>> {
    transport.cast_exact::<SocketTransport>().ok()
}
