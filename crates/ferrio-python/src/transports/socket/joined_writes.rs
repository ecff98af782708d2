//! Joined writes: what one callback writes to a connection leaves in one system call when the callback ends.
//!
//! `JoinPolicy` decides for each connection whether writes are held. Held bytes lie in the loop's `PendingWrites`, whose
//! thread sends them if the callback waits for something.
//!
//! Invariants: while bytes are held, the write buffer is empty and the connection open; every other operation on the
//! connection sends them first. Not more is held than the protocol's high water mark allows.

use std::sync::OnceLock;
use std::time::Duration;

use ferrio_cpython::capi::buffer::{Chunk, Data};
use ferrio_cpython::{LoopBase, thread_identifier};
use ferrio_engine::{Callback, FirstWrite, JoinPolicy};
use ferrio_sys::clock::monotonic;
use ferrio_sys::{PendingWrites, Sent};
use pyo3::prelude::*;

use super::write::{buffer, push_chunks};
use super::{SocketTransport, State, close, write_coalescing};
use crate::event_loop::{base, end_of_callback, exception_handler};
use crate::transports::tls::TlsTransport;

/// Maximum number of bytes held for a connection: asyncio's high water mark.
const LIMIT: usize = 64 * 1024;

/// Writes of this many bytes are not copied: they go out at once, with what is held before them.
const LARGE: usize = 16 * 1024;

/// The writes of a connection in the callback that runs, and what is known of its earlier callbacks.
#[derive(Default)]
pub(crate) struct JoinedWrites {
    pub(crate) policy: JoinPolicy,
    /// Where the bytes are held; valid until the callback ends.
    place: Option<usize>,
    /// How many bytes are held.
    len: usize,
    /// How many times the callback has written; 0 if its end is not observed.
    writes: u32,
    /// Whether its writes are held.
    holds: bool,
    /// When it first wrote, in nanoseconds of the monotonic clock.
    began: u64,
}

impl JoinedWrites {
    /// For a new connection.
    pub(crate) fn new() -> Self {
        static ARE_ON: OnceLock<bool> = OnceLock::new();
        let are_on = *ARE_ON.get_or_init(|| std::env::var_os("FERRIO_JOIN_WRITES").is_none_or(|value| value != "0"));
        Self { policy: if are_on { JoinPolicy::default() } else { JoinPolicy::off() }, ..Self::default() }
    }

    /// Whether bytes are held.
    #[inline]
    pub(crate) fn are_pending(&self) -> bool {
        self.len > 0
    }

    /// How many bytes are held.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// What to do with a write.
    #[inline]
    fn next_write(&mut self) -> FirstWrite {
        if self.writes == 0 {
            return self.policy.first_write();
        }
        self.writes += 1;
        if self.holds { FirstWrite::Hold } else { FirstWrite::Send }
    }
}

impl State {
    /// What to do with a write. The write buffer is empty and the connection not lost.
    #[inline]
    pub(super) fn next_write(&mut self) -> FirstWrite {
        self.joined.next_write()
    }
}

/// What became of a write.
pub(super) enum Outcome<'py> {
    /// It is to be sent now.
    Unsent(Data<'py>),
    /// It is held, or was sent with what was held before.
    Done,
}

/// Does what the policy says about a write, unless that is to send it.
#[inline(never)]
pub(super) fn join<'py>(
    transport: &Bound<'py, SocketTransport>,
    data: Data<'py>,
    fate: FirstWrite,
) -> PyResult<Outcome<'py>> {
    let py = transport.py();
    if observe(transport, fate) && fits(transport, data.len()) && data.with(py, |bytes| hold(transport, bytes)) {
        return Ok(Outcome::Done);
    }
    let pending = take(transport);
    if pending.is_empty() {
        return Ok(Outcome::Unsent(data));
    }
    push_chunks(transport, vec![Chunk::Copied(pending.into()), data.into_chunk(py, 0)?], true).map(|()| Outcome::Done)
}

/// As `join`, for several chunks of one write. Returns those to be sent now, after what was held before them.
#[inline(never)]
pub(super) fn join_all(
    transport: &Bound<'_, SocketTransport>,
    chunks: Vec<Chunk>,
    fate: FirstWrite,
) -> PyResult<Vec<Chunk>> {
    let len = chunks.iter().map(|chunk| chunk.as_ref().len()).sum();
    let fits = observe(transport, fate) && fits(transport, len);
    let mut chunks = chunks.into_iter().peekable();
    if fits {
        while chunks.next_if(|chunk| hold(transport, chunk.as_ref())).is_some() {}
    }
    if chunks.peek().is_none() {
        return Ok(Vec::new());
    }
    let pending = take(transport);
    Ok((!pending.is_empty()).then(|| Chunk::Copied(pending.into())).into_iter().chain(chunks).collect())
}

/// Makes sure that the callback's end is reported. Whether the write may be held: not outside of the loop's callbacks.
fn observe(transport: &Bound<'_, SocketTransport>, fate: FirstWrite) -> bool {
    let py = transport.py();
    let this = transport.get();
    let Some(owner) = this.owner(py) else { return false };
    // Not in a child forked during the callback, either; nor where a run is repeated, because what is held depends on how
    // long callbacks take.
    if !owner.get().io.end_of_turn.is_open(py) || base(&owner).is_simulated() {
        return false;
    }
    if this.state.with(py, |state| state.joined.writes > 0) {
        return true;
    }
    if !end_of_callback::postpone(&owner, transport, on_end_of_callback) {
        return false;
    }
    let holds = fate == FirstWrite::Hold;
    this.state.with(py, |state| {
        state.joined.writes = 1;
        state.joined.holds = holds;
        state.joined.began = monotonic();
    });
    holds
}

/// Whether `len` more bytes may be held.
fn fits(transport: &Bound<'_, SocketTransport>, len: usize) -> bool {
    transport.get().state.with(transport.py(), |state| {
        let may_hold = state.lifecycle.is_open() && !state.eof_written && !state.exclusive.is_taken();
        may_hold && len < LARGE && state.joined.len + len <= LIMIT.min(state.flow.high())
    })
}

fn hold(transport: &Bound<'_, SocketTransport>, bytes: &[u8]) -> bool {
    let py = transport.py();
    let this = transport.get();
    let Some(owner) = this.owner(py) else { return false };
    let place = this.state.with(py, |state| state.joined.place);
    let hold = |writes: &PendingWrites| writes.hold(place, this.fd, bytes, thread_identifier(py));
    let place = owner.get().io.end_of_callback.with_own_pending_writes(py, hold);
    if place.is_some() {
        this.state.with(py, |state| {
            state.joined.place = place;
            state.joined.len += bytes.len();
        });
    }
    place.is_some()
}

/// The callback has ended: sends what is held, and learns from it.
fn on_end_of_callback(object: &Bound<'_, PyAny>) -> PyResult<()> {
    let transport = object.cast::<SocketTransport>()?;
    let py = transport.py();
    let this = transport.get();
    let sent = send_pending(transport);
    let now = monotonic();
    this.state.with(py, |state| {
        let joined = &mut state.joined;
        let callback = Callback {
            writes: joined.writes,
            took: Duration::from_nanos(now.saturating_sub(joined.began)),
            blocked: sent.as_ref().is_some_and(|sent| sent.blocked),
        };
        joined.policy.callback_ended(callback);
        joined.writes = 0;
        joined.place = None;
    });
    let Some(sent) = sent else { return Ok(()) };
    if !matches!(&sent.unsent, Ok(unsent) if unsent.is_empty())
        && let Some(owner) = this.owner(py)
    {
        // What follows may call the protocol, which must not run as part of the last task.
        LoopBase::flush_current_task(owner.as_super())?;
    }
    finish_sending(transport, sent)
}

/// Sends what is held, before anything else is done to the connection.
#[inline]
pub(crate) fn send(transport: &Bound<'_, SocketTransport>) -> PyResult<()> {
    match send_pending(transport) {
        None => Ok(()),
        Some(sent) => {
            if sent.blocked {
                turn_off(transport);
            }
            finish_sending(transport, sent)
        }
    }
}

/// Sends what is held; what the socket does not accept is dropped.
pub(super) fn send_or_drop(transport: &Bound<'_, SocketTransport>) {
    drop(send_pending(transport));
}

#[pymethods]
impl SocketTransport {
    /// Whether what one callback writes may leave in one system call when the callback ends.
    ///
    /// False sends what is held, and from then on every write at once. New connections start with True, unless the
    /// environment variable `FERRIO_JOIN_WRITES` is 0.
    fn set_join_writes(slf: &Bound<'_, Self>, enabled: bool) -> PyResult<()> {
        if !enabled {
            return end(slf);
        }
        slf.get().state.with(slf.py(), |state| {
            state.shown = false;
            if state.joined.policy.is_off() {
                state.joined.policy = JoinPolicy::default();
            }
        });
        Ok(())
    }
}

/// Sends what is kept or held, and from now on every write at once.
pub(crate) fn end(transport: &Bound<'_, SocketTransport>) -> PyResult<()> {
    let outcome = write_coalescing::send(transport);
    transport.get().state.with(transport.py(), |state| state.shown = true);
    turn_off(transport);
    outcome
}

/// Sends what a connection below `transport` holds; other transports hold nothing.
#[inline]
pub(crate) fn send_below(transport: &Bound<'_, PyAny>) -> PyResult<()> {
    match transport.cast_exact::<SocketTransport>() {
        Ok(own) => send(own),
        Err(_) => match transport.cast_exact::<TlsTransport>() {
            Ok(tls) => tls.get().send_pending(tls.py()),
            Err(_) => Ok(()),
        },
    }
}

fn turn_off(transport: &Bound<'_, SocketTransport>) {
    transport.get().state.with(transport.py(), |state| {
        state.joined.policy = JoinPolicy::off();
        state.joined.holds = false;
    });
}

fn send_pending(transport: &Bound<'_, SocketTransport>) -> Option<Sent> {
    with_pending(transport, PendingWrites::send)
}

fn take(transport: &Bound<'_, SocketTransport>) -> Vec<u8> {
    with_pending(transport, PendingWrites::take).unwrap_or_default()
}

/// None if nothing is held, or if it is the parent process's.
fn with_pending<R>(
    transport: &Bound<'_, SocketTransport>,
    use_it: impl FnOnce(&PendingWrites, usize) -> R,
) -> Option<R> {
    let py = transport.py();
    let this = transport.get();
    let place = this.state.with(py, |state| {
        let are_pending = std::mem::take(&mut state.joined.len) > 0;
        state.joined.place.filter(|_| are_pending)
    })?;
    let owner = this.owner(py)?;
    owner.get().io.end_of_callback.with_pending_writes(py, |writes| use_it(writes, place))
}

/// Buffers what was not sent, or ends the connection for an error.
fn finish_sending(transport: &Bound<'_, SocketTransport>, sent: Sent) -> PyResult<()> {
    match sent.unsent {
        Ok(unsent) if unsent.is_empty() => Ok(()),
        // A second send, to be sure of an edge: the first may have been one in part.
        Ok(unsent) => buffer(transport, Chunk::Copied(unsent.into()), true),
        Err(error) => {
            close::fatal_error(transport, exception_handler::from_io(&error), "Fatal write error on socket transport")
        }
    }
}
