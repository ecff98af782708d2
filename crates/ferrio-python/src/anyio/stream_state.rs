//! `StreamState`: what both ends of a memory object stream share: buffer, wait queues, and counts of open ends.
//!
//! Anyio's streams find it as their `_state`. It has the attributes of anyio's `_MemoryObjectStreamState`
//! (`stream_attributes.rs`), for anyio's own code, which serves subclasses and other loops. Invariant: once Python code has seen the buffer, that `deque` is
//! where the items are.

use std::collections::VecDeque;

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::memory::{self, out_of_memory};
use ferrio_cpython::capi::owned_ref::OwnedRef;
use pyo3::prelude::*;

use super::stream_waits::{ItemReceiver, Queue, Waiting};
use crate::common::numbers::plain_integer;

/// The state of a memory object stream.
#[pyclass(frozen, weakref, name = "_MemoryObjectStreamState", module = "anyio.streams.memory")]
pub(crate) struct StreamState(pub(super) GilCell<Inner>);

pub(super) struct Inner {
    pub(super) size: Size,
    pub(super) open_senders: i64,
    pub(super) open_receivers: i64,
    pub(super) buffer: Buffer,
    pub(super) senders: Queue,
    pub(super) receivers: Queue,
}

/// `max_buffer_size`.
pub(super) struct Size {
    pub(super) given: OwnedRef,
    /// How many items fit.
    limit: usize,
}

pub(super) enum Buffer {
    Native(VecDeque<OwnedRef>),
    Shown(OwnedRef),
}

/// One of the wait queues.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Senders,
    Receivers,
}

/// What was first in a wait queue.
pub(super) enum First<'py> {
    Native(Bound<'py, Waiting>),
    /// Anyio's own event, and the item to send or the receiver.
    Theirs(Bound<'py, PyAny>, Bound<'py, PyAny>),
}

/// Whether there was room for an item.
#[must_use]
pub(super) enum Room {
    Added,
    Full,
}

impl Size {
    pub(super) fn of(given: &Bound<'_, PyAny>) -> PyResult<Self> {
        let limit = match plain_integer(given) {
            Some(size) => usize::try_from(size).unwrap_or(0),
            None => saturated(given.extract::<f64>()?.ceil()),
        };
        Ok(Self { given: OwnedRef::of(given), limit })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates, which is wanted")]
fn saturated(limit: f64) -> usize {
    limit as usize
}

impl Inner {
    #[inline]
    pub(super) fn queue(&mut self, side: Side) -> &mut Queue {
        match side {
            Side::Senders => &mut self.senders,
            Side::Receivers => &mut self.receivers,
        }
    }
}

impl StreamState {
    /// The state of a stream with one end of each kind.
    pub(super) fn create<'py>(size: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let inner = Inner {
            size: Size::of(size)?,
            open_senders: 1,
            open_receivers: 1,
            buffer: Buffer::Native(VecDeque::new()),
            senders: Queue::new(),
            receivers: Queue::new(),
        };
        Bound::new(size.py(), Self(GilCell::new(inner)))
    }

    /// Whether an end of that kind is open.
    #[inline]
    pub(super) fn has_open(&self, py: Python<'_>, side: Side) -> bool {
        self.0.with(py, |inner| match side {
            Side::Senders => inner.open_senders != 0,
            Side::Receivers => inner.open_receivers != 0,
        })
    }

    /// Takes one from the open ends of that kind; returns whether it was the last.
    pub(super) fn close_one(&self, py: Python<'_>, side: Side) -> bool {
        self.0.with(py, |inner| {
            let count = match side {
                Side::Senders => &mut inner.open_senders,
                Side::Receivers => &mut inner.open_receivers,
            };
            *count -= 1;
            *count == 0
        })
    }

    /// Adds an item to the buffer, if there is room.
    #[inline]
    pub(super) fn try_buffer(&self, item: &Bound<'_, PyAny>) -> PyResult<Room> {
        let py = item.py();
        let (shown, limit) = self.0.with(py, |inner| {
            let limit = inner.size.limit;
            match &mut inner.buffer {
                Buffer::Shown(buffer) => Ok((Some(buffer.bind(py).clone()), limit)),
                Buffer::Native(items) if items.len() >= limit => Ok((None, 0)),
                Buffer::Native(items) => push(items, item).map(|()| (None, limit)),
            }
        })?;
        match shown {
            Some(buffer) if buffer.len()? < limit => {
                buffer.call_method1(pyo3::intern!(py, "append"), (item,)).map(|_| Room::Added)
            }
            Some(_) => Ok(Room::Full),
            None => Ok(if limit == 0 { Room::Full } else { Room::Added }),
        }
    }

    /// Adds an item to the buffer, full or not.
    pub(super) fn buffer(&self, item: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = item.py();
        let shown = self.0.with(py, |inner| match &mut inner.buffer {
            Buffer::Shown(buffer) => Ok(Some(buffer.bind(py).clone())),
            Buffer::Native(items) => push(items, item).map(|()| None),
        })?;
        match shown {
            Some(buffer) => buffer.call_method1(pyo3::intern!(py, "append"), (item,)).map(drop),
            None => Ok(()),
        }
    }

    /// Takes the first item out of the buffer.
    #[inline]
    pub(super) fn next_item<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (item, shown) = self.0.with(py, |inner| match &mut inner.buffer {
            Buffer::Native(items) => (items.pop_front(), None),
            Buffer::Shown(buffer) => (None, Some(buffer.bind(py).clone())),
        });
        match shown {
            Some(buffer) if buffer.len()? > 0 => buffer.call_method0(pyo3::intern!(py, "popleft")).map(Some),
            _ => Ok(item.map(|item| item.into_bound(py))),
        }
    }

    /// Whether the buffer has no item.
    pub(super) fn is_drained(&self, py: Python<'_>) -> PyResult<bool> {
        self.buffered(py).map(|count| count == 0)
    }

    pub(super) fn buffered(&self, py: Python<'_>) -> PyResult<usize> {
        let (count, shown) = self.0.with(py, |inner| match &inner.buffer {
            Buffer::Native(items) => (items.len(), None),
            Buffer::Shown(buffer) => (0, Some(buffer.bind(py).clone())),
        });
        shown.map_or(Ok(count), |buffer| buffer.len())
    }

    /// Takes the first out of a wait queue.
    #[inline]
    pub(super) fn first<'py>(&self, py: Python<'py>, side: Side) -> PyResult<Option<First<'py>>> {
        let (native, shown) = self.0.with(py, |inner| {
            let queue = inner.queue(side);
            (queue.pop(), queue.shown(py))
        });
        if let Some(entries) = shown {
            return first_shown(&entries);
        }
        Ok(native.map(|waiting| First::Native(waiting.into_bound(py))))
    }

    /// Adds a wait to a wait queue.
    pub(super) fn park(&self, side: Side, waiting: &Bound<'_, Waiting>) -> PyResult<()> {
        let py = waiting.py();
        let shown = self.0.with(py, |inner| {
            let queue = inner.queue(side);
            queue.push(waiting).map(|()| queue.shown(py))
        })?;
        shown.map_or(Ok(()), |entries| entries.set_item(waiting, entry(side, waiting)?))
    }

    /// Takes a wait, or anyio's event of one, out of a wait queue; returns whether it was there.
    pub(super) fn remove(&self, side: Side, event: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = event.py();
        let waiting = event.cast_exact::<Waiting>().ok();
        let (removed, shown) = self.0.with(py, |inner| {
            let queue = inner.queue(side);
            (waiting.and_then(|waiting| queue.remove(waiting)), queue.shown(py))
        });
        let Some(entries) = shown else { return Ok(removed.is_some()) };
        let is_there = entries.contains(event)?;
        if is_there {
            entries.del_item(event)?;
        }
        Ok(is_there)
    }

    /// The waits in a wait queue, or anyio's events of them.
    pub(super) fn waits<'py>(&self, py: Python<'py>, side: Side) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let (native, shown) = self.0.with(py, |inner| {
            let queue = inner.queue(side);
            (queue.each(py), queue.shown(py))
        });
        match shown {
            Some(entries) => memory::collected(entries.try_iter()?),
            None => Ok(native.into_iter().map(Bound::into_any).collect()),
        }
    }

    pub(super) fn waiting(&self, py: Python<'_>, side: Side) -> PyResult<usize> {
        let (count, shown) = self.0.with(py, |inner| {
            let queue = inner.queue(side);
            (queue.len(), queue.shown(py))
        });
        shown.map_or(Ok(count), |entries| entries.len())
    }
}

fn push(items: &mut VecDeque<OwnedRef>, item: &Bound<'_, PyAny>) -> PyResult<()> {
    items.try_reserve(1).map_err(|_| out_of_memory(item.py()))?;
    items.push_back(OwnedRef::of(item));
    Ok(())
}

/// What anyio's code has under a wait.
pub(super) fn entry<'py>(side: Side, waiting: &Bound<'py, Waiting>) -> PyResult<Bound<'py, PyAny>> {
    let py = waiting.py();
    match side {
        Side::Receivers => Ok(Bound::new(py, ItemReceiver(waiting.clone().unbind()))?.into_any()),
        Side::Senders => Ok(waiting.get().item(py).unwrap_or_else(|| py.None().into_bound(py))),
    }
}

/// Takes the first entry of an `OrderedDict`, if there is one.
fn first_shown<'py>(entries: &Bound<'py, PyAny>) -> PyResult<Option<First<'py>>> {
    if entries.len()? == 0 {
        return Ok(None);
    }
    let popped = entries.call_method1(pyo3::intern!(entries.py(), "popitem"), (false,))?;
    let (event, entry) = popped.extract::<(Bound<'py, PyAny>, Bound<'py, PyAny>)>()?;
    Ok(Some(match event.cast_into_exact::<Waiting>() {
        Ok(waiting) => First::Native(waiting),
        Err(other) => First::Theirs(other.into_inner(), entry),
    }))
}
