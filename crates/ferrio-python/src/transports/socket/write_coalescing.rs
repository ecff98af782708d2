//! Write coalescing: a stream's answers to requests that arrived together go out in one system call.
//!
//! A `StreamWriter` whose reader has more unread data is about to write again. Its data is kept, and sent with the
//! write that answers the last request or at the end of the loop's turn, whichever comes first.
//!
//! Invariants: data is kept within one turn only. While there is some, the write buffer is empty and the connection
//! open; every other operation on the connection sends it first. Once the program has got the socket object, it may act
//! on the connection unseen, so nothing is kept any more. If a process forks in the middle of a turn, the child leaves
//! the data to its parent and keeps none itself during that turn.

use pyo3::prelude::*;

use super::SocketTransport;
use super::joined_writes;
use super::write;

/// Maximum number of bytes kept: asyncio's high water mark.
const LIMIT: usize = 64 * 1024;

/// Sends what is kept when the turn ends.
fn on_end_of_turn(object: &Bound<'_, PyAny>) -> PyResult<()> {
    let transport = object.cast::<SocketTransport>()?;
    transport.get().state.with(transport.py(), |state| state.listed = false);
    send(transport)
}

/// Keeps data to be sent later in this turn. False if it cannot wait.
#[inline]
pub(crate) fn coalesce(transport: &Bound<'_, SocketTransport>, data: &[u8]) -> bool {
    let py = transport.py();
    transport.get().state.with(py, |state| {
        let is_open =
            !data.is_empty() && state.lifecycle.is_open() && !state.eof_written && !state.exclusive.is_taken();
        if !is_open
            || state.joined.are_pending()
            || state.shown
            || !state.buffer.is_empty()
            || state.coalesced.len() + data.len() > LIMIT
        {
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

/// Takes out what is kept; empty if there is nothing, or if the parent process sends it.
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

/// Adds `data` to what `take` returned, if both fit into one send.
#[inline]
pub(crate) fn join(coalesced: &mut Vec<u8>, data: &[u8]) -> bool {
    let fits = coalesced.len() + data.len() <= LIMIT;
    if fits {
        coalesced.extend_from_slice(data);
    }
    fits
}

/// Empties a buffer and gives it back to the loop for reuse.
#[inline]
pub(crate) fn give_back(transport: &SocketTransport, py: Python<'_>, mut memory: Vec<u8>) {
    memory.clear();
    transport.state.with(py, |state| {
        if let Some(owner) = &state.owner {
            owner.get().io.end_of_turn.give_back(py, memory);
        }
    });
}

/// Sends all that is kept or held, before another operation on the connection.
#[inline]
pub(crate) fn send(transport: &Bound<'_, SocketTransport>) -> PyResult<()> {
    let (is_empty, are_pending) =
        transport.get().state.with(transport.py(), |state| (state.coalesced.is_empty(), state.joined.are_pending()));
    // Never both.
    match (is_empty, are_pending) {
        (true, false) => Ok(()),
        (_, true) => joined_writes::send(transport),
        (false, false) => send_coalesced(transport),
    }
}

/// Sends what is kept.
#[inline]
pub(crate) fn send_coalesced(transport: &Bound<'_, SocketTransport>) -> PyResult<()> {
    let coalesced = take(transport.get(), transport.py());
    if coalesced.is_empty() { Ok(()) } else { write::send_coalesced(transport, coalesced) }
}
