//! What both ends of a memory object stream do. The ends are anyio's own objects; their state is ferrio's
//! (`stream_state.rs`). A stream whose state is anyio's own is left to anyio's own methods.

use pyo3::prelude::*;
use pyo3::types::PySet;

use super::originals;
use super::stream_state::{First, Room, Side, StreamState};
use super::stream_waits::wake;

/// Whether the operation can be done without waiting.
#[must_use]
pub(super) enum Now<T> {
    Done(T),
    WouldBlock,
}

/// `stream._state`, if it is ferrio's.
#[inline]
pub(super) fn state_of<'py>(stream: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, StreamState>>> {
    let state = stream.getattr(pyo3::intern!(stream.py(), "_state"))?;
    Ok(state.cast_into_exact::<StreamState>().ok())
}

/// Whether the end of a stream is closed.
#[inline]
pub(super) fn is_closed(stream: &Bound<'_, PyAny>) -> PyResult<bool> {
    stream.getattr(pyo3::intern!(stream.py(), "_closed"))?.is_truthy()
}

/// Adds a wait to the stream's `_waiters`, which do not exist before the first.
pub(super) fn add_waiter(stream: &Bound<'_, PyAny>, waiting: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = stream.py();
    let name = pyo3::intern!(py, "_waiters");
    let waiters = stream.getattr(name)?;
    if let Ok(waiters) = waiters.cast::<PySet>() {
        return waiters.add(waiting);
    }
    let waiters = PySet::empty(py)?;
    waiters.add(waiting)?;
    stream.setattr(name, waiters)
}

/// `send_nowait` on an end that is open on both sides.
pub(super) fn send_now<'py>(state: &Bound<'py, StreamState>, item: &Bound<'py, PyAny>) -> PyResult<Now<()>> {
    let py = state.py();
    while let Some(first) = state.get().first(py, Side::Receivers)? {
        match first {
            First::Native(waiting) => {
                if waiting.get().is_about_to_be_cancelled(py)? {
                    continue;
                }
                waiting.get().put(item.clone());
                waiting.get().wake(py)?;
            }
            First::Theirs(event, receiver) => {
                let task = receiver.getattr(pyo3::intern!(py, "task_info"))?;
                if task.call_method0(pyo3::intern!(py, "has_pending_cancellation"))?.is_truthy()? {
                    continue;
                }
                receiver.setattr(pyo3::intern!(py, "item"), item)?;
                wake(&event)?;
            }
        }
        return Ok(Now::Done(()));
    }
    Ok(match state.get().try_buffer(item)? {
        Room::Added => Now::Done(()),
        Room::Full => Now::WouldBlock,
    })
}

/// `receive_nowait` on an end that is open.
pub(super) fn receive_now<'py>(state: &Bound<'py, StreamState>) -> PyResult<Now<Bound<'py, PyAny>>> {
    let py = state.py();
    let this = state.get();
    if let Some(first) = this.first(py, Side::Senders)? {
        let (event, item) = match first {
            First::Native(waiting) => {
                let item = waiting.get().item(py).unwrap_or_else(|| originals::nothing(py));
                (waiting.into_any(), item)
            }
            First::Theirs(event, item) => (event, item),
        };
        if this.is_drained(py)? {
            if let Err(error) = wake(&event) {
                // Not lost, as it is in the buffer already in anyio's own method.
                this.buffer(&item)?;
                return Err(error);
            }
            return Ok(Now::Done(item));
        }
        this.buffer(&item)?;
        wake(&event)?;
    }
    if let Some(item) = this.next_item(py)? {
        return Ok(Now::Done(item));
    }
    if !this.has_open(py, Side::Senders) {
        return Err(originals::anyio_error(py, "EndOfStream"));
    }
    Ok(Now::WouldBlock)
}
