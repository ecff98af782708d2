//! Answers of a stream to requests that came together go out together: one system call in place of one for each.
//!
//! A `StreamWriter` whose reader holds more unread data writes again soon, so what it writes is gathered, and sent with
//! the write that answers the last request or at the end of the loop's turn, whichever comes first. Invariants: nothing
//! is gathered but within a turn, and nothing outlives the turn; while something is gathered the write buffer is empty and
//! the connection open; whatever else is done to the connection sends it first. Who was shown the socket can do things to
//! the connection that nobody hears of: nothing is gathered from then on. A process that a fork made in the midst of a
//! turn leaves the sending to its parent, and gathers nothing itself.

use ferrio_cpython::capi::owned_ref::Held;
use ferrio_cpython::{GilCell, LoopBase};
use ferrio_sys::fork;
use pyo3::prelude::*;

use super::SocketTransport;
use super::write;
use crate::event_loop::Loop;

/// What is gathered at most, in bytes: asyncio's high water mark.
const LIMIT: usize = 64 * 1024;

/// The connections of a loop that gathered something in this turn.
#[derive(Default)]
pub(crate) struct Gatherings(GilCell<State>);

#[derive(Default)]
struct State {
    /// A turn runs.
    open: bool,
    /// The fork generation in which the turn began.
    generation: u32,
    listed: Vec<Held<SocketTransport>>,
    /// Memory for the next one.
    spare: Vec<u8>,
}

impl Gatherings {
    /// A turn begins.
    #[inline]
    pub(crate) fn begin(&self, py: Python<'_>) {
        self.0.with(py, |state| {
            state.open = true;
            state.generation = fork::generation();
        });
    }
}

/// A turn ends: sends what was gathered and not sent so far.
#[inline]
pub(crate) fn finish(slf: &Bound<'_, Loop>) -> PyResult<()> {
    let listed = slf.get().io.gatherings.0.with(slf.py(), |state| {
        state.open = false;
        std::mem::take(&mut state.listed)
    });
    if listed.is_empty() { Ok(()) } else { send_all(slf, &listed) }
}

fn send_all(slf: &Bound<'_, Loop>, listed: &[Held<SocketTransport>]) -> PyResult<()> {
    let py = slf.py();
    // A protocol may be told that its connection does not take everything: not as part of the task that ran last.
    let mut outcome = LoopBase::settle(slf.as_super());
    for transport in listed {
        let transport = transport.bind(py);
        transport.get().state.with(py, |state| state.listed = false);
        outcome = outcome.and(send(transport));
    }
    outcome
}

/// Takes data to be sent later in this turn. False if it cannot wait.
#[inline]
pub(crate) fn gather(transport: &Bound<'_, SocketTransport>, data: &[u8]) -> bool {
    let py = transport.py();
    transport.get().state.with(py, |state| {
        let is_open =
            !data.is_empty() && state.lost == 0 && !state.closing && !state.eof_written && !state.exclusive.is_taken();
        if !is_open || state.shown || !state.buffer.is_empty() || state.gathered.len() + data.len() > LIMIT {
            return false;
        }
        let Some(owner) = &state.owner else { return false };
        let gatherings = &owner.get().io.gatherings.0;
        if !gatherings.with(py, |loops| loops.open && loops.generation == fork::generation()) {
            return false;
        }
        if state.gathered.is_empty() {
            let memory = gatherings.with(py, |loops| {
                if !std::mem::replace(&mut state.listed, true) {
                    loops.listed.push(Held::of(transport));
                }
                std::mem::take(&mut loops.spare)
            });
            state.gathered = memory;
        }
        state.gathered.extend_from_slice(data);
        true
    })
}

/// What is gathered, taken away; empty if there is nothing or its sending is the parent process's.
#[inline]
pub(crate) fn take(transport: &SocketTransport, py: Python<'_>) -> Vec<u8> {
    transport.state.with(py, |state| {
        if state.gathered.is_empty() {
            return Vec::new();
        }
        let mut gathered = std::mem::take(&mut state.gathered);
        let generation =
            state.owner.as_ref().map(|owner| owner.get().io.gatherings.0.with(py, |loops| loops.generation));
        if generation != Some(fork::generation()) {
            gathered.clear();
        }
        gathered
    })
}

/// Adds `data` to what `take` gave, if that may be sent together.
#[inline]
pub(crate) fn join(gathered: &mut Vec<u8>, data: &[u8]) -> bool {
    let fits = gathered.len() + data.len() <= LIMIT;
    if fits {
        gathered.extend_from_slice(data);
    }
    fits
}

/// Gives memory back.
#[inline]
pub(crate) fn give_back(transport: &SocketTransport, py: Python<'_>, mut memory: Vec<u8>) {
    memory.clear();
    let replaced = transport.state.with(py, |state| {
        let Some(owner) = &state.owner else { return memory };
        owner.get().io.gatherings.0.with(py, |loops| std::mem::replace(&mut loops.spare, memory))
    });
    drop(replaced);
}

/// Sends what is gathered.
#[inline]
pub(crate) fn send(transport: &Bound<'_, SocketTransport>) -> PyResult<()> {
    if transport.get().state.with(transport.py(), |state| state.gathered.is_empty()) {
        return Ok(());
    }
    let gathered = take(transport.get(), transport.py());
    if gathered.is_empty() { Ok(()) } else { write::send_gathered(transport, gathered) }
}
