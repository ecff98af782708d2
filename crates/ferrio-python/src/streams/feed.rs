//! Adding bytes to a reader, waking its waiter, and pausing and resuming its transport.

use ferrio_cpython::capi::memory::out_of_memory;
use ferrio_cpython::objects::future::future_like;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyAssertionError, PyNotImplementedError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};

use super::fields::Fields;
use super::protocol::{self, StreamReaderProtocol};
use super::reader::StreamReader;
use crate::common::imports;
use crate::transports::reader_sink::ReaderSink;
use crate::transports::socket::SocketTransport;

/// The functions that transports call to feed a reader without a Python call.
pub(super) const SINK: ReaderSink = ReaderSink { reader_of, add, added: added_to, take_early };

/// The open reader that may be fed without calling `protocol`; None unless both are ferrio's own classes without
/// overrides.
fn reader_of<'py>(protocol: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    if !protocol::feeds_directly(protocol) {
        return None;
    }
    let py = protocol.py();
    let reader = protocol.cast::<StreamReaderProtocol>().ok()?.get().reader(py)?;
    let own = reader.cast_exact::<StreamReader>().ok()?.get();
    own.state.with(py, |state| state.shared.is_none() && !state.eof).then_some(reader)
}

/// Adds bytes without running Python code; the caller must call `added` next. False if memory runs out.
fn add(reader: &Bound<'_, PyAny>, data: &[u8]) -> bool {
    let own = reader.cast_exact::<StreamReader>();
    own.is_ok_and(|own| own.get().state.with(own.py(), |state| state.incoming.push(data)))
}

fn added_to(reader: &Bound<'_, PyAny>) -> PyResult<()> {
    added(reader.py(), reader.cast_exact::<StreamReader>()?.get())
}

/// Takes the bytes that a stream protocol's reader has buffered. None for other protocols.
fn take_early(protocol: &Bound<'_, PyAny>) -> PyResult<Option<Vec<u8>>> {
    let py = protocol.py();
    let is_own = protocol.is_instance_of::<StreamReaderProtocol>();
    if !is_own && !protocol.is_instance(imports::stream_reader_protocol(py)?)? {
        return Ok(None);
    }
    let Some(reader) = protocol.getattr_opt(name!("_stream_reader"))?.filter(|reader| !reader.is_none()) else {
        return Ok(None);
    };
    // Not through `_buffer`: once that was handed out, all reads take the slow path.
    if let Ok(own) = reader.cast_exact::<StreamReader>() {
        return own.get().take_all(py).map(Some);
    }
    let buffer = reader.getattr(name!("_buffer"))?;
    if !buffer.is_truthy()? {
        return Ok(None);
    }
    let early = py.get_type::<PyBytes>().call1((&buffer,))?.cast_into::<PyBytes>()?;
    buffer.call_method0(name!("clear"))?;
    Ok(Some(early.as_bytes().to_vec()))
}

/// Wakes the waiter, and pauses the transport if too many bytes are buffered.
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
        // The transport cannot be paused: everything has to be buffered, and pausing is not tried again.
        Err(error) if error.is_instance_of::<PyNotImplementedError>(py) => {
            reader.put(py, |state| &mut state.transport, None);
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// The body of `feed_data`.
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

/// The bytes that `bytearray.extend` makes of any other object, such as an iterable of integers.
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

/// The body of `feed_eof`.
pub(super) fn end(py: Python<'_>, reader: &StreamReader) -> PyResult<()> {
    reader.state.with(py, |state| state.eof = true);
    wake(py, reader)
}

/// The body of `set_exception`.
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

/// Resumes the transport's reading.
#[cold]
pub(super) fn resume(py: Python<'_>, reader: &StreamReader) -> PyResult<()> {
    reader.state.with(py, |state| state.paused = false);
    let transport = reader.field(py, |state| &state.transport);
    let transport = transport.unwrap_or_else(|| py.None().into_bound(py));
    transport.call_method0(pyo3::intern!(py, "resume_reading")).map(drop)
}

/// The transport as ferrio's socket transport, if it is of that exact class, whose methods cannot be replaced.
#[inline]
pub(super) fn own<'a, 'py>(transport: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, SocketTransport>> {
    transport.cast_exact::<SocketTransport>().ok()
}
