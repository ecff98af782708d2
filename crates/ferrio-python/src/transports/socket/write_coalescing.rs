//! Answers of a stream to requests that came together go out together: one system call in place of one for each.
//!
//! A `StreamWriter` whose reader holds more unread data writes again soon, so what it writes is gathered, and sent with
//! the write that answers the last request or at the end of the loop's turn, whichever comes first. Invariants: nothing
//! is gathered but within a turn, and nothing outlives the turn; while something is gathered the write buffer is empty and
//! the connection open; whatever else is done to the connection sends it first. Who was shown the socket can do things to
//! the connection that nobody hears of: nothing is gathered from then on. A process that a fork made in the midst of a
//! turn leaves the sending to its parent, and gathers nothing itself.

use pyo3::prelude::*;

use super::SocketTransport;
use super::write;

/// What is gathered at most, in bytes: asyncio's high water mark.
const LIMIT: usize = 64 * 1024;

/// The turn ends.
fn on_end_of_turn(object: &Bound<'_, PyAny>) -> PyResult<()> {
    let transport = object.cast::<SocketTransport>()?;
    transport.get().state.with(transport.py(), |state| state.listed = false);
    send(transport)
}

/// Takes data to be sent later in this turn. False if it cannot wait.
#[inline]
pub(crate) fn coalesce(transport: &Bound<'_, SocketTransport>, data: &[u8]) -> bool {
    let py = transport.py();
    transport.get().state.with(py, |state| {
        let is_open =
            !data.is_empty() && state.lifecycle.is_open() && !state.eof_written && !state.exclusive.is_taken();
        if !is_open || state.shown || !state.buffer.is_empty() || state.coalesced.len() + data.len() > LIMIT {
            return false;
        }
        let Some(owner) = &state.owner else { return false };
        let end_of_turn = &owner.get().io.end_of_turn;
        if !end_of_turn.is_open(py) {
            return false;
        }
        if state.coalesced.is_empty() {
            if !std::mem::replace(&mut state.listed, true) {
                end_of_turn.add(py, transport, on_end_of_turn);
            }
            state.coalesced = end_of_turn.take_memory(py);
        }
        state.coalesced.extend_from_slice(data);
        true
    })
}

/// What is gathered, taken away; empty if there is nothing or its sending is the parent process's.
#[inline]
pub(crate) fn take(transport: &SocketTransport, py: Python<'_>) -> Vec<u8> {
    transport.state.with(py, |state| {
        if state.coalesced.is_empty() {
            return Vec::new();
        }
        let mut coalesced = std::mem::take(&mut state.coalesced);
        if !state.owner.as_ref().is_some_and(|owner| owner.get().io.end_of_turn.is_of_this_process(py)) {
            coalesced.clear();
        }
        coalesced
    })
}

/// Adds `data` to what `take` gave, if that may be sent together.
#[inline]
pub(crate) fn join(coalesced: &mut Vec<u8>, data: &[u8]) -> bool {
    let fits = coalesced.len() + data.len() <= LIMIT;
    if fits {
        coalesced.extend_from_slice(data);
    }
    fits
}

/// Gives memory back.
#[inline]
pub(crate) fn give_back(transport: &SocketTransport, py: Python<'_>, mut memory: Vec<u8>) {
    memory.clear();
    transport.state.with(py, |state| {
        if let Some(owner) = &state.owner {
            owner.get().io.end_of_turn.give_back(py, memory);
        }
    });
}

/// Sends what is gathered.
#[inline]
pub(crate) fn send(transport: &Bound<'_, SocketTransport>) -> PyResult<()> {
    if transport.get().state.with(transport.py(), |state| state.coalesced.is_empty()) {
        return Ok(());
    }
    let coalesced = take(transport.get(), transport.py());
    if coalesced.is_empty() { Ok(()) } else { write::send_coalesced(transport, coalesced) }
}
