//! How bytes come into a reader, and how it wakes who waits and holds back its transport.

use ferrio_cpython::capi::memory::out_of_memory;
use ferrio_cpython::objects::future::future_like;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyAssertionError, PyNotImplementedError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};

use super::protocol::{self, StreamReaderProtocol};
use super::reader::StreamReader;
use crate::common::imports;
use crate::transports::reader_sink::ReaderSink;
use crate::transports::socket::SocketTransport;

/// What transports call to feed a reader without a Python call.
pub(super) const SINK: ReaderSink = ReaderSink { reader_of, add, added: added_to, take_early };

/// The reader that may be fed without asking `protocol`, if all is ours, nothing overridden and the reader open.
fn reader_of<'py>(protocol: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    if !protocol::feeds_directly(protocol) {
        return None;
    }
    let py = protocol.py();
    let reader = protocol.cast::<StreamReaderProtocol>().ok()?.get().reader(py)?;
    let own = reader.cast_exact::<StreamReader>().ok()?.get();
    own.state.with(py, |state| state.shared.is_none() && !state.eof).then_some(reader)
}

/// Adds bytes without Python code; `added` has to follow. False if there is no memory for them.
fn add(reader: &Bound<'_, PyAny>, data: &[u8]) -> bool {
    let own = reader.cast_exact::<StreamReader>();
    own.is_ok_and(|own| own.get().state.with(own.py(), |state| state.incoming.push(data)))
}

fn added_to(reader: &Bound<'_, PyAny>) -> PyResult<()> {
    added(reader.py(), reader.cast_exact::<StreamReader>()?.get())
}

/// What the reader of a stream protocol has read ahead, taken out of it. None for other protocols.
fn take_early(protocol: &Bound<'_, PyAny>) -> PyResult<Option<Vec<u8>>> {
    let py = protocol.py();
    let is_own = protocol.is_instance_of::<StreamReaderProtocol>();
    if !is_own && !protocol.is_instance(imports::stream_reader_protocol(py)?)? {
        return Ok(None);
    }
    let Some(reader) = protocol.getattr_opt("_stream_reader")?.filter(|reader| !reader.is_none()) else {
        return Ok(None);
    };
    // Not by way of `_buffer`: what hands that out reads slowly ever after.
    if let Ok(own) = reader.cast_exact::<StreamReader>() {
        return own.get().take_all(py).map(Some);
    }
    let buffer = reader.getattr("_buffer")?;
    if !buffer.is_truthy()? {
        return Ok(None);
    }
    let early = py.get_type::<PyBytes>().call1((&buffer,))?.cast_into::<PyBytes>()?;
    buffer.call_method0("clear")?;
    Ok(Some(early.as_bytes().to_vec()))
}

/// Does what follows from new bytes.
#[inline]
pub(super) fn added(py: Python<'_>, reader: &StreamReader) -> PyResult<()> {
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
    let made = PyByteArray::new(data.py(), b"");
    made.call_method1(pyo3::intern!(data.py(), "extend"), (data,))?;
    Ok(made.to_vec())
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
