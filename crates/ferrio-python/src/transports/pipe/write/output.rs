//! Writing: immediately if the buffer is empty, otherwise in order as the pipe accepts data.
//!
//! Closing and `write_eof`, which are the same for a pipe, first write the buffered data; `abort()` and errors drop it.

use std::io::{self, IoSlice};

use ferrio_cpython::capi::buffer::Data;
use ferrio_cpython::capi::memory;
use ferrio_engine::Role;
use pyo3::exceptions::{PyAssertionError, PyBrokenPipeError};
use pyo3::prelude::*;

use super::WritePipeTransport;
use crate::common::imports;
use crate::event_loop::{exception_handler, recorded_calls};
use crate::transports::endpoint::report_fatal;
use crate::transports::socket::write::{DROPPED_WRITES_BEFORE_WARNING, is_data};
use crate::transports::{flow, pipe};

/// Maximum number of chunks per system call.
const SLICES: usize = 64;

const FATAL: &str = "Fatal write error on pipe transport";

#[pymethods]
impl WritePipeTransport {
    /// Write bytes, bytearray or memoryview; what cannot be written at once is buffered.
    fn write(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        check_type(data)?;
        let data = Data::from_object(data)?;
        if data.is_empty() {
            return Ok(());
        }
        let (lost, idle) = this.state.with(py, |state| (state.lost > 0, state.buffer.is_empty()));
        if lost || this.end.is_closing(py) {
            return dropped_write(slf);
        }
        let mut written = 0;
        if idle {
            match data.with(py, |bytes| recorded_calls::write(py, || this.end.owner(py), this.end.fd, bytes)) {
                Ok(count) if count == data.len() => return Ok(()),
                Ok(count) => written = count,
                Err(error) if would_block(&error) => {}
                Err(error) => {
                    this.state.with(py, |state| state.lost += 1);
                    return fatal_error(slf, exception_handler::from_io(&error));
                }
            }
            pipe::watch(slf, Role::Writer, on_writable)?;
        }
        let chunk = data.into_chunk(py, written)?;
        if !this.state.with(py, |state| state.buffer.try_reserve(1)) {
            return Err(memory::out_of_memory(py));
        }
        this.state.with(py, |state| state.buffer.push(chunk));
        flow::maybe_pause(slf)
    }

    /// Write an iterable of bytes-like objects.
    fn writelines(slf: &Bound<'_, Self>, list_of_data: &Bound<'_, PyAny>) -> PyResult<()> {
        let joined = memory::bytes(slf.py(), b"")?.call_method1(name!("join"), (list_of_data,))?;
        Self::write(slf, &joined)
    }

    /// Close the pipe once everything buffered is written, which is how its reader sees the end.
    fn write_eof(slf: &Bound<'_, Self>) -> PyResult<()> {
        let before = slf.get().end.begin_closing(slf.py());
        if before || !slf.get().state.with(slf.py(), |state| state.buffer.is_empty()) {
            return Ok(());
        }
        pipe::unwatch(slf, Role::Reader);
        pipe::queue_loss(slf, None)
    }

    /// Whether `write_eof()` is supported: it is.
    #[expect(clippy::unused_self, reason = "a transport's method")]
    fn can_write_eof(&self) -> bool {
        true
    }

    /// Close the pipe once everything buffered is written.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let end = &slf.get().end;
        let open = end.object(slf.py()).is_some() && !end.is_closing(slf.py());
        if open { Self::write_eof(slf) } else { Ok(()) }
    }

    /// Close the pipe now; what is buffered is lost.
    fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        force_close(slf, None)
    }
}

/// Handles a closed reader, or data from a socket's peer, which a pipe's writing end cannot use.
pub(super) fn on_hangup(object: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    let transport = object.cast::<WritePipeTransport>()?;
    let py = transport.py();
    if transport.get().end.is_lost(py) {
        return Ok(());
    }
    let idle = transport.get().state.with(py, |state| state.buffer.is_empty());
    pipe::log(transport, "info", "%r was closed by peer")?;
    force_close(transport, (!idle).then(|| ferrio_cpython::error::<PyBrokenPipeError>(())))
}

/// Handles a write event: the pipe accepts data again.
fn on_writable(object: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    let transport = object.cast::<WritePipeTransport>()?;
    let py = transport.py();
    let this = transport.get();
    let mut done = Vec::new();
    if this.state.with(py, |state| state.buffer.is_empty()) {
        // The reader closed its end in the same poll, and the buffered data was dropped.
        return Ok(());
    }
    let outcome = this.state.with(py, |state| {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let used = state.buffer.gather(&mut slices);
        recorded_calls::write_vectored(py, || this.end.owner(py), this.end.fd, &slices[..used])
            .map(|count| state.buffer.advance(count, &mut done))
    });
    drop(done);
    match outcome {
        Ok(()) => {}
        Err(error) if would_block(&error) => return Ok(()),
        Err(error) => {
            this.state.with(py, |state| state.lost += 1);
            return fatal_error(transport, exception_handler::from_io(&error));
        }
    }
    if !this.state.with(py, |state| state.buffer.is_empty()) {
        return Ok(());
    }
    pipe::unwatch(transport, Role::Writer);
    flow::maybe_resume(transport)?;
    // The protocol method just called may have done anything.
    let empty = this.state.with(py, |state| state.buffer.is_empty());
    let ended = empty && this.end.is_closing(py) && !this.end.is_lost(py);
    if ended { pipe::connection_lost(transport) } else { Ok(()) }
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cold]
fn fatal_error(transport: &Bound<'_, WritePipeTransport>, error: PyErr) -> PyResult<()> {
    report_fatal(transport, &error, FATAL)?;
    force_close(transport, Some(error))
}

/// Ends the connection regardless of buffered data.
fn force_close(transport: &Bound<'_, WritePipeTransport>, error: Option<PyErr>) -> PyResult<()> {
    transport.get().end.begin_closing(transport.py());
    let unsent = transport.get().state.with(transport.py(), |state| state.buffer.clear());
    drop(unsent);
    pipe::unwatch(transport, Role::Writer);
    pipe::unwatch(transport, Role::Reader);
    pipe::queue_loss(transport, error)
}

#[cold]
fn dropped_write(transport: &Bound<'_, WritePipeTransport>) -> PyResult<()> {
    let py = transport.py();
    let dropped = transport.get().state.with(py, |state| {
        let dropped = state.lost;
        state.lost = state.lost.saturating_add(1);
        dropped
    });
    if dropped >= DROPPED_WRITES_BEFORE_WARNING {
        let text = "pipe closed by peer or os.write(pipe, data) raised exception.";
        imports::unix_events_logger(py)?.call_method1(name!("warning"), (text,))?;
    }
    Ok(())
}

/// Checks the type of `data`, with the message of asyncio's `assert`.
fn check_type(data: &Bound<'_, PyAny>) -> PyResult<()> {
    if is_data(data) { Ok(()) } else { Err(ferrio_cpython::error::<PyAssertionError>(data.repr()?.to_string())) }
}
