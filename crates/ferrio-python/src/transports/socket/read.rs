//! Receiving: from an edge of the poller to the protocol.
//!
//! One system call for a message: data goes into the loop's buffer and on as an exact-size bytes object, or straight
//! into the buffer of a `BufferedProtocol`. A receive that does not fill its buffer has emptied the socket, unless the
//! peer hung up; one that does queues another for the next turn, so that no connection starves the others.

use std::io;
use std::os::fd::RawFd;

use ferrio_cpython::Runnable;
use ferrio_cpython::capi::buffer::{self, Target};
use ferrio_cpython::capi::{context, memory};
use ferrio_sys::{Interest, Readiness, socket};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::lifecycle::{Input, Lifecycle};
use super::{Sink, SocketTransport};
use super::{close, joined_writes, liveness, write};
use crate::common::imports;
use crate::common::noted;
use crate::event_loop::exception_handler;
use crate::event_loop::recorded_calls;
use crate::event_loop::{Loop, base};
use crate::transports::exclusive;
use crate::transports::reader_sink::{self, ReaderSink};
use crate::transports::tls::{self, TlsTransport};

/// A receive of this many bytes makes the next one a bulk receive.
const BULK: usize = 16 * 1024;

/// Size in bytes of a bulk receive: below the size from which the allocator maps memory anew each time.
const BULK_CAPACITY: usize = 120 * 1024;

/// Called when the poller reports an edge.
pub(crate) fn on_event(object: &Bound<'_, PyAny>, bits: u32) -> PyResult<()> {
    let transport = object.cast::<SocketTransport>()?;
    let readiness = Readiness::from_bits(bits);
    let py = transport.py();
    let may_read = transport.get().state.with(py, |state| {
        let hung_up = readiness.contains(Readiness::HANGUP) || readiness.contains(Readiness::ERROR);
        state.input.note_edge(readiness.wakes_reader(), hung_up);
        state.input.may_read() && state.lifecycle != Lifecycle::Starting
    });
    if may_read {
        read(transport)?;
    }
    if readiness.wakes_writer() {
        if transport.get().state.with(py, |state| !state.buffer.is_empty()) {
            write::flush(transport)?;
        } else {
            exclusive::proceed(transport)?;
        }
    }
    Ok(())
}

/// Receives once and calls the protocol, if the connection is reading.
pub(crate) fn read(transport: &Bound<'_, SocketTransport>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let reading = this.state.with(py, |state| state.is_reading().then(|| state.sink.clone_ref(py)));
    let Some(sink) = reading else { return Ok(()) };
    let Some(owner) = this.owner(py) else { return Ok(()) };
    match sink {
        Sink::Bytes => receive_for_protocol(transport, &owner),
        Sink::Lent => receive_into_protocol(transport, &owner),
        Sink::Tls(above) => receive_for_tls(transport, &owner, above.bind(py)),
    }
}

/// The outcome of a receive.
enum Received<T> {
    /// Data, and whether it filled the buffer.
    Data(T, bool),
    End,
    Nothing,
    Failed(io::Error),
}

fn classify<T>(outcome: io::Result<usize>, capacity: usize, make: impl FnOnce(usize) -> T) -> Received<T> {
    match outcome {
        Ok(0) => Received::End,
        Ok(count) => Received::Data(make(count), count == capacity),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Received::Nothing,
        Err(error) => Received::Failed(error),
    }
}

fn receive_bytes<'py>(
    transport: &Bound<'py, SocketTransport>,
    owner: &Bound<'py, Loop>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let py = transport.py();
    let this = transport.get();
    let received = if this.state.with(py, |state| state.bulk) && !owner.get().io.tape.is_on() {
        match receive_bulk(py, this.fd) {
            Ok(received) => received,
            Err(error) => return not_received(transport, error),
        }
    } else {
        owner.get().io.with_receive_buffer(py, |buffer| {
            let outcome = recorded_calls::receive(owner, this.fd, buffer);
            classify(outcome, buffer.len(), |count| memory::bytes(py, &buffer[..count]))
        })
    };
    let data = match apply_receive(transport, owner, received)?.transpose() {
        Ok(data) => data,
        Err(error) => return not_received(transport, error),
    };
    if let Some(data) = &data {
        let bulk = data.as_bytes().len() >= BULK;
        this.state.with(py, |state| state.bulk = bulk);
    }
    Ok(data)
}

/// Ends a connection for whose data there is no memory. asyncio's `recv()` raises here; later data must not follow a
/// gap.
#[cold]
fn not_received<'py>(transport: &Bound<'py, SocketTransport>, error: PyErr) -> PyResult<Option<Bound<'py, PyBytes>>> {
    close::fatal_error(transport, error, "Fatal read error on socket transport").map(|()| None)
}

fn receive_for_tls(
    transport: &Bound<'_, SocketTransport>,
    owner: &Bound<'_, Loop>,
    above: &Bound<'_, TlsTransport>,
) -> PyResult<()> {
    let py = transport.py();
    let Some(data) = receive_bytes(transport, owner)? else { return Ok(()) };
    match context::run_in(py, transport.get().context.bind(py), || tls::received(above, &data)) {
        Ok(()) => Ok(()),
        Err(error) => close::fatal_error(transport, error, "Fatal error: protocol.buffer_updated() call failed."),
    }
}

fn receive_for_protocol(transport: &Bound<'_, SocketTransport>, owner: &Bound<'_, Loop>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let Some(protocol) = this.protocol(py) else { return Ok(()) };
    if let Some((sink, reader)) = reader_sink::reader_of(&protocol) {
        return receive_for_reader(transport, owner, sink, &reader);
    }
    drop(protocol);
    let Some(data) = receive_bytes(transport, owner)? else { return Ok(()) };
    let Some(protocol) = this.protocol(py) else { return Ok(()) };
    let called = this.call_protocol(&protocol, pyo3::intern!(py, "data_received"), (data,));
    match called {
        Ok(_) => Ok(()),
        Err(error) => close::fatal_error(transport, error, "Fatal error: protocol.data_received() call failed."),
    }
}

/// Receives straight into a stream reader's buffer.
fn receive_for_reader(
    transport: &Bound<'_, SocketTransport>,
    owner: &Bound<'_, Loop>,
    sink: &ReaderSink,
    reader: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let received = owner.get().io.with_receive_buffer(py, |buffer| {
        let outcome = recorded_calls::receive(owner, this.fd, buffer);
        classify(outcome, buffer.len(), |count| (sink.add)(reader, &buffer[..count]))
    });
    let Some(kept) = apply_receive(transport, owner, received)? else { return Ok(()) };
    let added = || if kept { (sink.added)(reader) } else { Err(memory::out_of_memory(py)) };
    match context::run_in(py, this.context.bind(py), added) {
        Ok(()) => Ok(()),
        Err(error) => close::fatal_error(transport, error, "Fatal error: protocol.data_received() call failed."),
    }
}

/// Receives into a new object of full size, without a copy: for connections that carry much data at a time.
fn receive_bulk(py: Python<'_>, fd: RawFd) -> PyResult<Received<PyResult<Bound<'_, PyBytes>>>> {
    let outcome = buffer::receive_bytes(py, BULK_CAPACITY, |capacity| socket::receive_uninit(fd, capacity))?;
    Ok(match outcome {
        Ok(bytes) => classify(Ok(bytes.as_bytes().len()), BULK_CAPACITY, |_| Ok(bytes)),
        Err(error) => classify(Err(error), BULK_CAPACITY, |_| memory::bytes(py, &[])),
    })
}

fn receive_into_protocol(transport: &Bound<'_, SocketTransport>, owner: &Bound<'_, Loop>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let Some(protocol) = this.protocol(py) else { return Ok(()) };
    let lent = this.call_protocol(&protocol, pyo3::intern!(py, "get_buffer"), (-1,)).and_then(|buffer| {
        let target = Target::from_object(&buffer)?;
        if target.is_empty() {
            return Err(ferrio_cpython::error::<PyRuntimeError>("get_buffer() returned an empty buffer"));
        }
        Ok(target)
    });
    let target = match lent {
        Ok(target) => target,
        Err(error) => {
            return close::fatal_error(transport, error, "Fatal error: protocol.get_buffer() call failed.");
        }
    };
    let outcome = target.with(py, |memory| recorded_calls::receive(owner, this.fd, memory));
    let received = classify(outcome, target.len(), |count| count);
    drop(target);
    let Some(count) = apply_receive(transport, owner, received)? else { return Ok(()) };
    match this.call_protocol(&protocol, pyo3::intern!(py, "buffer_updated"), (count,)) {
        Ok(_) => Ok(()),
        Err(error) => close::fatal_error(transport, error, "Fatal error: protocol.buffer_updated() call failed."),
    }
}

/// Updates the state after a receive; returns the data if there is any.
fn apply_receive<T>(
    transport: &Bound<'_, SocketTransport>,
    owner: &Bound<'_, Loop>,
    received: Received<T>,
) -> PyResult<Option<T>> {
    let py = transport.py();
    let this = transport.get();
    match received {
        Received::Data(data, filled) => {
            let again = this.state.with(py, |state| state.input.note_data(filled));
            if again {
                read_again(transport, owner);
            } else {
                drained(transport, owner);
            }
            Ok(Some(data))
        }
        Received::Nothing => {
            this.state.with(py, |state| state.input.note_drained());
            drained(transport, owner);
            Ok(None)
        }
        Received::End => {
            this.state.with(py, |state| state.input.note_drained());
            end_of_file(transport, owner)?;
            Ok(None)
        }
        Received::Failed(error) if error.kind() == io::ErrorKind::Interrupted => {
            read_again(transport, owner);
            Ok(None)
        }
        Received::Failed(error) => {
            close::fatal_error(transport, exception_handler::from_io(&error), "Fatal read error on socket transport")?;
            Ok(None)
        }
    }
}

fn drained(transport: &Bound<'_, SocketTransport>, owner: &Bound<'_, Loop>) {
    if let Some(poller) = owner.get().io.poller(transport.py()) {
        poller.drained(transport.get().fd, Interest::READABLE);
    }
}

/// Queues another read for the next turn.
pub(crate) fn read_again(transport: &Bound<'_, SocketTransport>, owner: &Bound<'_, Loop>) {
    let py = transport.py();
    base(owner).push_reserved(py, Runnable::native(transport.clone(), on_event, Readiness::NONE.bits()));
}

fn end_of_file(transport: &Bound<'_, SocketTransport>, owner: &Bound<'_, Loop>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    if base(owner).debug.get() {
        imports::selector_events_logger(py)?.call_method1(name!("debug"), ("%r received EOF", transport))?;
    }
    let Some(protocol) = this.protocol(py) else { return Ok(()) };
    let keep_open =
        this.call_protocol(&protocol, pyo3::intern!(py, "eof_received"), ()).and_then(|answer| answer.is_truthy());
    match keep_open {
        Ok(true) => {
            this.state.with(py, |state| state.input = Input::Ended);
            liveness::update_registration(transport)
        }
        Ok(false) => close::close(transport),
        Err(error) => close::fatal_error(transport, error, "Fatal error: protocol.eof_received() call failed."),
    }
}

#[pymethods]
impl SocketTransport {
    /// Whether the protocol is being told of data.
    fn is_reading(slf: &Bound<'_, Self>) -> bool {
        slf.get().state.with(slf.py(), |state| state.lifecycle.is_open() && !state.paused)
    }

    /// asyncio's private attribute, which programs and its own tests read.
    #[getter]
    fn _paused(slf: &Bound<'_, Self>) -> bool {
        slf.get().state.with(slf.py(), |state| state.paused)
    }

    /// Tell the protocol of no data until `resume_reading()`.
    fn pause_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        joined_writes::send(slf)?;
        let paused = slf.get().state.with(py, |state| {
            let reading = state.lifecycle.is_open() && !state.paused;
            state.paused |= reading;
            if reading {
                state.paused_at = noted::instant();
            }
            reading
        });
        if !paused {
            return Ok(());
        }
        liveness::update_registration(slf)?;
        log(slf, "%r pauses reading")
    }

    /// Tell the protocol of data again.
    fn resume_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        joined_writes::send(slf)?;
        let (resumed, readable) = slf.get().state.with(py, |state| {
            let resumed = state.lifecycle.is_open() && state.paused;
            if resumed {
                state.paused = false;
            }
            (resumed, state.input.may_read())
        });
        if !resumed {
            return Ok(());
        }
        liveness::update_registration(slf)?;
        if let (true, Some(owner)) = (readable, slf.get().owner(py)) {
            read_again(slf, &owner);
        }
        log(slf, "%r resumes reading")
    }
}

fn log(transport: &Bound<'_, SocketTransport>, text: &str) -> PyResult<()> {
    let py = transport.py();
    if transport.get().owner(py).is_some_and(|owner| base(&owner).debug.get()) {
        imports::selector_events_logger(py)?.call_method1(name!("debug"), (text, transport))?;
    }
    Ok(())
}
