//! Sending: immediately if the buffer is empty, otherwise in order as the socket accepts data.
//!
//! Invariant: while the buffer holds data, the last send ended with "would block", so an edge will come. The send that
//! empties the buffer also resumes the protocol, finishes closing, or sends the end of file.

use std::io::{self, IoSlice};

use ferrio_cpython::capi::buffer::{Chunk, Data};
use ferrio_cpython::capi::memory::out_of_memory;
use ferrio_engine::FirstWrite;
use ferrio_sys::{Interest, socket};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};

use super::SocketTransport;
use super::joined_writes::{self, Outcome};
use super::lifecycle::Lifecycle;
use super::{close, liveness, write_coalescing};
use crate::common::imports;
use crate::event_loop::exception_handler;
use crate::event_loop::recorded_calls;
use crate::event_loop::recording;
use crate::transports::{exclusive, flow};

/// Maximum number of chunks per system call.
const SLICES: usize = 64;

/// Writes to a lost connection before asyncio begins to warn (`LOG_THRESHOLD_FOR_CONNLOST_WRITES`).
pub(crate) const DROPPED_WRITES_BEFORE_WARNING: u32 = 5;

#[pymethods]
impl SocketTransport {
    /// Write bytes, bytearray or memoryview; what cannot be sent at once is buffered.
    pub(crate) fn write(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        check_type(data)?;
        if slf.get().state.with(slf.py(), |state| state.eof_written) {
            return Err(ferrio_cpython::error::<PyRuntimeError>("Cannot call write() after write_eof()"));
        }
        refuse_during_sendfile(slf, "write")?;
        send(slf, Data::from_object(data)?)
    }

    /// Write a sequence of bytes-like objects, in one system call where the system can.
    fn writelines(slf: &Bound<'_, Self>, list_of_data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        write_coalescing::send_coalesced(slf)?;
        if this.state.with(py, |state| state.eof_written) {
            return Err(ferrio_cpython::error::<PyRuntimeError>("Cannot call writelines() after write_eof()"));
        }
        refuse_during_sendfile(slf, "writelines")?;
        let mut chunks = Vec::new();
        for item in list_of_data.try_iter()? {
            let data = Data::from_object(&item?)?;
            if !data.is_empty() {
                chunks.push(data.into_chunk(py, 0)?);
            }
        }
        send_chunks(slf, chunks)
    }

    /// Close the writing end once everything buffered is sent; reading goes on.
    fn write_eof(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        write_coalescing::send(slf)?;
        let now = slf.get().state.with(py, |state| {
            if state.lifecycle.is_closing() || state.eof_written {
                return false;
            }
            state.eof_written = true;
            state.buffer.is_empty()
        });
        if now {
            socket::shutdown_write(slf.get().fd).map_err(|error| exception_handler::from_io(&error))?;
        }
        Ok(())
    }

    /// Whether `write_eof()` is supported: it is.
    fn can_write_eof(&self) -> bool {
        true
    }

    /// How many bytes wait to be sent.
    fn get_write_buffer_size(slf: &Bound<'_, Self>) -> PyResult<usize> {
        write_coalescing::send(slf)?;
        Ok(slf.get().state.with(slf.py(), |state| state.buffer.len()))
    }
}

/// Sends, or buffers what cannot be sent at once. `write_eof` was not called.
pub(crate) fn send(slf: &Bound<'_, SocketTransport>, data: Data<'_>) -> PyResult<()> {
    let py = slf.py();
    let this = slf.get();
    if data.is_empty() {
        return Ok(());
    }
    let mut coalesced = write_coalescing::take(this, py);
    if !coalesced.is_empty() {
        if data.with(py, |bytes| write_coalescing::join(&mut coalesced, bytes)) {
            return send_coalesced(slf, coalesced);
        }
        send_coalesced(slf, coalesced)?;
    }
    let (lost, idle, fate) = this.state.with(py, |state| {
        let (lost, idle) = (state.lifecycle.is_lost(), state.buffer.is_empty());
        (lost, idle, if idle && !lost { state.next_write() } else { FirstWrite::Send })
    });
    if lost {
        return dropped_write(slf);
    }
    let mut data = data;
    if fate != FirstWrite::Send {
        match joined_writes::join(slf, data, fate)? {
            Outcome::Unsent(unsent) => data = unsent,
            Outcome::Done => return Ok(()),
        }
    }
    let mut sent = 0;
    if idle {
        let total = data.len();
        match data.with(py, |bytes| recorded_calls::send(py, || this.owner(py), this.fd, bytes)) {
            Ok(count) if count == total => return Ok(()),
            Ok(count) => sent = count,
            Err(error) if would_block(&error) => {}
            Err(error) => {
                return close::fatal_error(
                    slf,
                    exception_handler::from_io(&error),
                    "Fatal write error on socket transport",
                );
            }
        }
    }
    buffer(slf, data.into_chunk(py, sent)?, idle && sent > 0)
}

/// Sends several bytes objects, in one system call where the system can. `write_eof` was not called.
pub(crate) fn send_all(slf: &Bound<'_, SocketTransport>, list_of_data: Vec<Py<PyBytes>>) -> PyResult<()> {
    write_coalescing::send_coalesced(slf)?;
    send_chunks(slf, list_of_data.into_iter().map(|bytes| Chunk::Bytes { bytes, offset: 0 }).collect())
}

pub(super) fn send_chunks(slf: &Bound<'_, SocketTransport>, chunks: Vec<Chunk>) -> PyResult<()> {
    let py = slf.py();
    if chunks.is_empty() {
        return Ok(());
    }
    let (lost, idle, fate) = slf.get().state.with(py, |state| {
        let (lost, idle) = (state.lifecycle.is_lost(), state.buffer.is_empty());
        (lost, idle, if idle && !lost { state.next_write() } else { FirstWrite::Send })
    });
    if lost {
        return dropped_write(slf);
    }
    let chunks = if fate == FirstWrite::Send { chunks } else { joined_writes::join_all(slf, chunks, fate)? };
    if chunks.is_empty() { Ok(()) } else { push_chunks(slf, chunks, idle) }
}

/// Buffers chunks, and sends what is buffered if nothing waited before.
pub(super) fn push_chunks(slf: &Bound<'_, SocketTransport>, chunks: Vec<Chunk>, idle: bool) -> PyResult<()> {
    let py = slf.py();
    if !slf.get().state.with(py, |state| state.buffer.try_reserve(chunks.len())) {
        return Err(out_of_memory(py));
    }
    slf.get().state.with(py, |state| chunks.into_iter().for_each(|chunk| state.buffer.push(chunk)));
    if idle && !send_buffered(slf)? {
        return Ok(());
    }
    liveness::update_registration(slf)?;
    flow::maybe_pause(slf)
}

/// Sends coalesced data; the write buffer is empty.
pub(crate) fn send_coalesced(slf: &Bound<'_, SocketTransport>, coalesced: Vec<u8>) -> PyResult<()> {
    let py = slf.py();
    let this = slf.get();
    let sent = match recorded_calls::send(py, || this.owner(py), this.fd, &coalesced) {
        Ok(count) if count == coalesced.len() => {
            write_coalescing::give_back(this, py, coalesced);
            return Ok(());
        }
        Ok(count) => count,
        Err(error) if would_block(&error) => 0,
        Err(error) => {
            return close::fatal_error(
                slf,
                exception_handler::from_io(&error),
                "Fatal write error on socket transport",
            );
        }
    };
    buffer(slf, Chunk::Copied(coalesced[sent..].into()), sent > 0)
}

/// Buffers what was not sent.
pub(super) fn buffer(slf: &Bound<'_, SocketTransport>, chunk: Chunk, sent_in_part: bool) -> PyResult<()> {
    if !slf.get().state.with(slf.py(), |state| state.buffer.try_reserve(1)) {
        return Err(out_of_memory(slf.py()));
    }
    slf.get().state.with(slf.py(), |state| state.buffer.push(chunk));
    // Only "would block" guarantees an edge; a partial send does not.
    if sent_in_part && !send_buffered(slf)? {
        return Ok(());
    }
    liveness::update_registration(slf)?;
    flow::maybe_pause(slf)
}

/// Called when the socket accepts data again.
pub(crate) fn flush(transport: &Bound<'_, SocketTransport>) -> PyResult<()> {
    let py = transport.py();
    if transport.get().state.with(py, |state| state.lifecycle.is_lost()) {
        return Ok(());
    }
    if !send_buffered(transport)? {
        return Ok(());
    }
    flow::maybe_resume(transport)?;
    let (done, closing, eof_written) = transport.get().state.with(py, |state| {
        let done = state.buffer.is_empty() && !state.lifecycle.is_lost();
        (done, state.lifecycle == Lifecycle::Closing, state.eof_written)
    });
    if !done {
        return Ok(());
    }
    exclusive::proceed(transport)?;
    liveness::update_registration(transport)?;
    if closing {
        transport.get().state.with(py, |state| state.lifecycle.transition_to_lost());
        return close::connection_lost(transport, None);
    }
    if eof_written {
        socket::shutdown_write(transport.get().fd).map_err(|error| exception_handler::from_io(&error))?;
    }
    Ok(())
}

/// Sends until the buffer is empty or the socket would block. False if the connection broke.
fn send_buffered(transport: &Bound<'_, SocketTransport>) -> PyResult<bool> {
    let py = transport.py();
    let this = transport.get();
    let mut done = Vec::new();
    let recorded = if recording::is_any() { this.owner(py) } else { None };
    let outcome = this.state.with(py, |state| {
        while !state.buffer.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let used = state.buffer.gather(&mut slices);
            match recorded_calls::send_vectored(py, || recorded.clone(), this.fd, &slices[..used]) {
                Ok(count) => state.buffer.advance(count, &mut done),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    });
    drop(done);
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if would_block(&error) => {
            if let Some(poller) = this.owner(py).and_then(|owner| owner.get().io.poller(py)) {
                poller.drained(this.fd, Interest::WRITABLE);
            }
            Ok(true)
        }
        Err(error) => {
            close::fatal_error(transport, exception_handler::from_io(&error), "Fatal write error on socket transport")?;
            Ok(false)
        }
    }
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn check_type(data: &Bound<'_, PyAny>) -> PyResult<()> {
    if is_data(data) {
        return Ok(());
    }
    Err(if imports::python_version(data.py()) >= (3, 14) {
        refused(data, "bytes, bytearray, or memoryview object")
    } else {
        refused(data, "bytes-like object")
    })
}

/// Whether asyncio accepts the object as data.
#[inline]
pub(crate) fn is_data(data: &Bound<'_, PyAny>) -> bool {
    data.is_instance_of::<PyBytes>() || data.is_instance_of::<PyByteArray>() || data.is_instance_of::<PyMemoryView>()
}

/// The error for any other object.
#[cold]
pub(crate) fn refused(data: &Bound<'_, PyAny>, wanted: &str) -> PyErr {
    let found = data.get_type().name().and_then(|name| name.repr().map(|name| name.to_string()));
    match found {
        Ok(found) => ferrio_cpython::error::<PyTypeError>(format!("data argument must be a {wanted}, not {found}")),
        Err(error) => error,
    }
}

#[inline]
fn refuse_during_sendfile(transport: &Bound<'_, SocketTransport>, method: &str) -> PyResult<()> {
    if !transport.get().state.with(transport.py(), |state| state.exclusive.is_taken()) {
        return Ok(());
    }
    // Before 3.12 writelines() is a write() of everything.
    let method = if imports::python_version(transport.py()) >= (3, 12) { method } else { "write" };
    Err(ferrio_cpython::error::<PyRuntimeError>(format!("unable to {method}; sendfile is in progress")))
}

#[cold]
fn dropped_write(transport: &Bound<'_, SocketTransport>) -> PyResult<()> {
    let py = transport.py();
    if transport.get().state.with(py, |state| state.lifecycle.conn_lost()) >= DROPPED_WRITES_BEFORE_WARNING {
        imports::selector_events_logger(py)?.call_method1(name!("warning"), ("socket.send() raised exception.",))?;
    }
    transport.get().state.with(py, |state| state.lifecycle.drop_write());
    Ok(())
}
