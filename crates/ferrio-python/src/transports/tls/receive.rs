//! Receiving: from the lower transport to the session, all at once or one record at a time.
//!
//! A memory BIO keeps the largest capacity that it has needed for as long as the connection lives; one that holds a
//! record at a time stays small. Invariant: received bytes are given to the session in order, and all of them before
//! the session is used for anything but the next record.

use ferrio_cpython::capi::buffer_view::BufferView;
use ferrio_engine::TlsRecords;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::read::LONGEST_BODY;
use super::{Phase, TlsTransport, close, handshake, read};

/// Received bytes that the session has not been given completely.
pub(super) struct UnfedData {
    data: Py<PyBytes>,
    /// How many of the bytes the session was given.
    given: usize,
    /// How many bytes of the next record the session was given before these.
    begun: usize,
}

/// Handles bytes that the lower transport received.
pub(crate) fn received(transport: &Bound<'_, TlsTransport>, data: &Bound<'_, PyBytes>) -> PyResult<()> {
    let py = transport.py();
    match transport.get().phase(py) {
        Phase::Unwrapped => feed(transport, data),
        Phase::Handshake => feed(transport, data).and_then(|()| handshake::step(transport)),
        Phase::Wrapped => store_for_reading(transport, data).and_then(|()| read::read(transport)),
        Phase::Flushing => feed(transport, data).and_then(|()| close::flush(transport)),
        Phase::Shutdown => feed(transport, data).and_then(|()| close::shut_down(transport)),
    }
}

/// Gives received bytes to the session.
pub(super) fn feed(transport: &Bound<'_, TlsTransport>, data: &Bound<'_, PyBytes>) -> PyResult<()> {
    let py = transport.py();
    feed_remaining(transport)?;
    transport.get().session.feed(py, data)?;
    transport.get().state.with(py, |state| state.records.feed(data.as_bytes()));
    Ok(())
}

/// Stores received bytes for the read that follows.
fn store_for_reading(transport: &Bound<'_, TlsTransport>, data: &Bound<'_, PyBytes>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let begun = this.state.with(py, |state| {
        let may_pass_on = !state.reading_paused && !state.lends_buffer && !state.draining && state.unfed.is_none();
        if may_pass_on { state.records.begun() } else { None }
    });
    let Some(begun) = begun.filter(|_| this.session.is_unpatched && data.as_bytes().len() > LONGEST_BODY) else {
        return feed(transport, data);
    };
    let several = this.state.with(py, |state| {
        state.records.feed(data.as_bytes());
        let several = state.several().is_some();
        if several {
            state.unfed = Some(UnfedData { data: data.clone().unbind(), given: 0, begun });
        }
        several
    });
    if several { Ok(()) } else { this.session.feed(py, data) }
}

/// Gives the session the next record, whose body has `body` bytes.
pub(super) fn feed_record(transport: &Bound<'_, TlsTransport>, body: usize) -> PyResult<()> {
    let py = transport.py();
    if transport.get().state.with(py, |state| state.draining) {
        return feed_remaining(transport);
    }
    let part = transport.get().state.with(py, |state| {
        let unfed = state.unfed.as_mut()?;
        let from = unfed.given;
        let before = std::mem::take(&mut unfed.begun);
        unfed.given += (TlsRecords::HEADER + body).saturating_sub(before);
        Some((unfed.data.clone_ref(py), from..unfed.given))
    });
    let Some((data, part)) = part else { return Ok(()) };
    transport.get().session.feed(py, &BufferView::of(data.bind(py), part)?)
}

/// Gives the session all stored bytes.
#[inline]
pub(super) fn feed_remaining(transport: &Bound<'_, TlsTransport>) -> PyResult<()> {
    let py = transport.py();
    let Some(unfed) = transport.get().state.with(py, |state| state.unfed.take()) else { return Ok(()) };
    let data = unfed.data.bind(py);
    let len = data.as_bytes().len();
    if unfed.given >= len {
        return Ok(());
    }
    transport.get().session.feed(py, &BufferView::of(data, unfed.given..len)?)
}
