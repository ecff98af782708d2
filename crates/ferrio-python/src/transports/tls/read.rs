//! Reading: from the data that the lower transport received to the protocol.
//!
//! Records are counted as they arrive, so that the session is read once for each record that may carry data, and never
//! when a read would find nothing. After an alert, a message in the clear, a record that did not fit, or bytes that are
//! no record, the session is instead read until it reports that it wants more data.

use ferrio_cpython::capi::bytes_writer::BytesWriter;
use ferrio_cpython::capi::memory;
use ferrio_engine::{NextRecord, TlsRecord};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

use super::session::Read;
use super::{Phase, State, TlsTransport, close, flow, receive, write};
use crate::common::noted;
use crate::common::slices::slice;
use crate::transports::reader_sink;

/// Maximum data of one record, in bytes.
pub(super) const LONGEST: usize = 1 << 14;

/// Maximum body of a record, in bytes.
pub(super) const LONGEST_BODY: usize = LONGEST + 2048;

/// Maximum number of bytes read into one object: as many records as the largest receive completes.
const MOST_AT_ONCE: usize = 8 * LONGEST_BODY;

/// Reads all available data; an error ends the connection.
pub(super) fn read(transport: &Bound<'_, TlsTransport>) -> PyResult<()> {
    let py = transport.py();
    let reading = transport.get().state.with(py, |state| {
        let open = matches!(state.phase, Phase::Wrapped | Phase::Flushing);
        open.then_some((!state.reading_paused, state.lends_buffer))
    });
    let Some((wanted, lends_buffer)) = reading else { return Ok(()) };
    let done = if wanted { read_and_answer(transport, lends_buffer) } else { Ok(()) };
    match done.and_then(|()| flow::control_lower_reading(transport)) {
        Ok(()) => Ok(()),
        Err(error) => close::contain(transport, error, "Fatal error on SSL protocol"),
    }
}

fn read_and_answer(transport: &Bound<'_, TlsTransport>, lends_buffer: bool) -> PyResult<()> {
    let py = transport.py();
    if lends_buffer {
        read_into_protocol(transport)?;
    } else {
        read_bytes(transport)?;
    }
    let (answered, backlog) =
        transport.get().state.with(py, |state| (std::mem::take(&mut state.answered), !state.backlog.is_empty()));
    if backlog {
        return write::write_backlog(transport);
    }
    if answered || !transport.get().session.is_unpatched { write::send_outgoing(transport) } else { Ok(()) }
}

/// Maximum data of a record whose body has `body` bytes.
fn max_data(body: usize) -> usize {
    body.clamp(1, LONGEST)
}

impl State {
    /// Maximum data of the pending records together; None unless it is known and suits a read into one object.
    pub(super) fn several(&self) -> Option<usize> {
        let most = if self.draining { None } else { self.records.max_data() };
        most.filter(|most| (LONGEST_BODY + 1..=MOST_AT_ONCE).contains(most))
    }

    /// How many bytes to read from the session; None if there is nothing to read.
    fn next_read(&mut self) -> Option<usize> {
        self.next_record().map(max_data)
    }

    /// Body length of the next record, if it is known, otherwise the maximum; None if there is nothing to read.
    fn next_record(&mut self) -> Option<usize> {
        if self.draining {
            return Some(LONGEST);
        }
        match self.records.take() {
            NextRecord::Complete(TlsRecord::ApplicationData { body }) => Some(body),
            NextRecord::Complete(TlsRecord::Other) | NextRecord::Unframed => {
                self.draining = true;
                Some(LONGEST)
            }
            NextRecord::Nothing => None,
        }
    }

    /// Updates the state after a read of `asked` bytes returned `got` bytes.
    fn after_read(&mut self, asked: usize, got: usize) {
        // Data is shorter than its record's body, so a read that returned as much as requested has left some, unless it
        // requested the maximum of a record.
        self.draining |= got >= asked && asked < LONGEST;
    }

    /// Updates the state once the session wants more data.
    fn after_last_read(&mut self) {
        self.draining = false;
        self.records.forget_complete();
        self.answered = true;
    }
}

/// How many bytes to read from the session; None if there is nothing to read.
fn next_read(transport: &Bound<'_, TlsTransport>) -> PyResult<Option<usize>> {
    let py = transport.py();
    let this = transport.get();
    let (size, draining) = this.state.with(py, |state| (state.next_read(), state.draining));
    // Checked first because reading would raise an exception to report it.
    if draining && this.session.is_unpatched && this.session.is_empty(py)? {
        this.state.with(py, State::after_last_read);
        return Ok(None);
    }
    Ok(size)
}

fn read_bytes(transport: &Bound<'_, TlsTransport>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let several = read_several(transport);
    receive::feed_remaining(transport)?;
    let (mut chunks, mut ended) = several?;
    while !ended && let Some(size) = next_read(transport)? {
        match this.session.read(py, size)? {
            Read::Data(data) => {
                this.state.with(py, |state| state.after_read(size, data.as_bytes().len()));
                chunks.push(data);
            }
            Read::End => {
                ended = true;
                break;
            }
            Read::Wanting => {
                this.state.with(py, State::after_last_read);
                break;
            }
        }
    }
    let data = match chunks.as_slice() {
        [] => None,
        [only] => Some(only.clone()),
        several => Some(join(py, several)?),
    };
    if let (Some(data), Some(protocol)) = (data, this.protocol(py)) {
        drop(chunks);
        match reader_sink::reader_of(&protocol) {
            Some((sink, reader)) => {
                if !(sink.add)(&reader, data.as_bytes()) {
                    return Err(memory::out_of_memory(py));
                }
                (sink.added)(&reader)?;
            }
            None => protocol.call_method1(pyo3::intern!(py, "data_received"), (data,)).map(drop)?,
        }
    }
    if ended { close::peer_closed(transport) } else { Ok(()) }
}

/// Reads several records into one object, if the size of their data is known, so that nothing has to be joined
/// (benchmark `tls.echo_100k_10_connections`). Also returns whether the peer's `close_notify` was read.
fn read_several<'py>(transport: &Bound<'py, TlsTransport>) -> PyResult<(Vec<Bound<'py, PyBytes>>, bool)> {
    let py = transport.py();
    let this = transport.get();
    let Some(most) = this.state.with(py, |state| state.several()).filter(|_| this.session.is_unpatched) else {
        return Ok((Vec::new(), false));
    };
    let mut writer = BytesWriter::new(py, most)?;
    let mut ended = false;
    while writer.remaining() > 0
        && let Some(body) = this.state.with(py, |state| if state.draining { None } else { state.next_record() })
    {
        receive::feed_record(transport, body)?;
        let size = max_data(body);
        let read = |part: &Bound<'py, PyAny>| this.session.read_into(py, size, part);
        let count = |outcome: &Read<usize>| if let Read::Data(count) = outcome { *count } else { 0 };
        match writer.fill(size, read, count)? {
            Read::Data(count) => this.state.with(py, |state| state.after_read(size, count)),
            Read::End => {
                ended = true;
                break;
            }
            // A record without data, as for a key update: the session has not been given the records after it.
            Read::Wanting if this.state.with(py, |state| state.unfed.is_some()) => {
                this.state.with(py, |state| state.answered = true);
            }
            Read::Wanting => {
                this.state.with(py, State::after_last_read);
                break;
            }
        }
    }
    let data = writer.finish()?;
    Ok((if data.as_bytes().is_empty() { Vec::new() } else { vec![data] }, ended))
}

/// Joins by Python's `join`, because memory allocated in Rust would be zeroed first.
fn join<'py>(py: Python<'py>, chunks: &[Bound<'py, PyBytes>]) -> PyResult<Bound<'py, PyBytes>> {
    let joined = memory::bytes(py, b"")?.call_method1(pyo3::intern!(py, "join"), (memory::tuple(py, chunks)?,))?;
    Ok(joined.cast_into::<PyBytes>()?)
}

fn read_into_protocol(transport: &Bound<'_, TlsTransport>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let Some(protocol) = this.protocol(py) else { return Ok(()) };
    let Some(mut size) = this.state.with(py, State::next_read) else { return Ok(()) };
    let hint = this.session.incoming_pending(py)?;
    let buffer = protocol.call_method1(pyo3::intern!(py, "get_buffer"), (hint,))?;
    let writer = PyMemoryView::from(&buffer)?;
    let wanted: usize = writer.as_any().len()?;
    if wanted == 0 {
        return Err(ferrio_cpython::error::<PyRuntimeError>("get_buffer() returned an empty buffer"));
    }
    let (mut filled, mut ended) = (0, false);
    loop {
        size = size.min(wanted - filled);
        match read_part(transport, &writer, filled, size)? {
            Read::Data(count) => {
                this.state.with(py, |state| state.after_read(size, count));
                filled += count;
            }
            Read::End => {
                ended = true;
                break;
            }
            Read::Wanting => {
                this.state.with(py, State::after_last_read);
                break;
            }
        }
        if filled == wanted {
            // Other callbacks run before the remaining data is read.
            this.owner(py).call_method1(name!("call_soon"), (transport.getattr(name!("_do_read"))?,))?;
            break;
        }
        match this.state.with(py, State::next_read) {
            Some(next) => size = next,
            None => break,
        }
    }
    drop((writer, buffer));
    if filled > 0 {
        protocol.call_method1(pyo3::intern!(py, "buffer_updated"), (filled,))?;
    }
    if ended { close::peer_closed(transport) } else { Ok(()) }
}

fn read_part(
    transport: &Bound<'_, TlsTransport>,
    writer: &Bound<'_, PyMemoryView>,
    from: usize,
    size: usize,
) -> PyResult<Read<usize>> {
    let py = transport.py();
    let session = &transport.get().session;
    if from == 0 {
        return session.read_into(py, size, writer.as_any());
    }
    let remaining = slice(py, from, Some(from + size))?;
    session.read_into(py, size, &writer.as_any().get_item(remaining)?)
}

#[pymethods]
impl TlsTransport {
    /// Whether the protocol is being told of data.
    pub(super) fn is_reading(slf: &Bound<'_, Self>) -> bool {
        slf.get().state.with(slf.py(), |state| !state.reading_paused)
    }

    /// Tell the protocol of no data until `resume_reading()`.
    fn pause_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().state.with(slf.py(), |state| {
            if !state.reading_paused {
                state.reading_paused_at = noted::instant();
            }
            state.reading_paused = true;
        });
        slf.get().send_pending(slf.py())
    }

    /// Tell the protocol of data again.
    fn resume_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        slf.get().send_pending(py)?;
        let paused = slf.get().state.with(py, |state| std::mem::replace(&mut state.reading_paused, false));
        if paused {
            slf.get().owner(py).call_method1(name!("call_soon"), (slf.getattr(name!("_resume"))?,))?;
        }
        Ok(())
    }

    /// Resume reading after a pause.
    fn _resume(slf: &Bound<'_, Self>) -> PyResult<()> {
        match slf.get().phase(slf.py()) {
            Phase::Unwrapped | Phase::Handshake => Ok(()),
            Phase::Wrapped => read(slf),
            Phase::Flushing => close::flush(slf),
            Phase::Shutdown => close::shut_down(slf),
        }
    }

    fn _do_read(slf: &Bound<'_, Self>) -> PyResult<()> {
        read(slf)
    }
}
