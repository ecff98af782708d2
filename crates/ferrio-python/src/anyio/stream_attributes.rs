//! What Python sees of a memory object stream's state: the attributes of anyio's `_MemoryObjectStreamState`, for its own
//! code.

use std::collections::VecDeque;

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{PyTraverseError, PyVisit};

use super::stream_state::{Buffer, Inner, Side, Size, StreamState, entry};
use super::stream_waits::Queue;
use crate::common::imports;

static KNOWN: GilCell<Option<Known>> = GilCell::new(None);

/// What states claim to be.
struct Known {
    /// Anyio's class.
    class: Py<PyAny>,
    /// Its generic alias by which anyio makes states.
    alias: Py<PyAny>,
}

/// Notes anyio's class of the states and its generic alias, before the first state is made.
pub(super) fn note_class(class: &Bound<'_, PyAny>, alias: &Bound<'_, PyAny>) {
    let fresh = Known { class: class.clone().unbind(), alias: alias.clone().unbind() };
    let before = KNOWN.with(class.py(), |known| known.replace(fresh));
    drop(before);
}

fn known(py: Python<'_>, which: fn(&Known) -> &Py<PyAny>) -> Py<PyAny> {
    let found = KNOWN.with(py, |known| known.as_ref().map(|known| which(known).clone_ref(py)));
    found.expect("states are made once it is there")
}

impl StreamState {
    /// The `OrderedDict` of a wait queue, in which the waits are from now on.
    fn shown_queue<'py>(&self, py: Python<'py>, side: Side) -> PyResult<Bound<'py, PyAny>> {
        loop {
            let (waits, shown) = self.0.with(py, |inner| {
                let queue = inner.queue(side);
                (queue.each(py), queue.shown(py))
            });
            if let Some(entries) = shown {
                return Ok(entries);
            }
            let entries = imports::ordered_dict(py)?.call0()?;
            for waiting in &waits {
                entries.set_item(waiting, entry(side, waiting)?)?;
            }
            // Making it may have run other code, which may have changed the queue.
            let before = self.0.with(py, |inner| {
                let queue = inner.queue(side);
                let is_as_before = matches!(queue, Queue::Native(_)) && {
                    let now = queue.each(py);
                    now.len() == waits.len() && now.iter().zip(&waits).all(|(now, before)| now.is(before))
                };
                is_as_before.then(|| std::mem::replace(queue, Queue::Shown(OwnedRef::of(&entries))))
            });
            if before.is_some() {
                drop(before);
                return Ok(entries);
            }
        }
    }
}

#[pymethods]
impl StreamState {
    #[getter]
    fn __class__(slf: &Bound<'_, Self>) -> Py<PyAny> {
        known(slf.py(), |known| &known.class)
    }

    #[getter(__orig_class__)]
    fn shown_alias(slf: &Bound<'_, Self>) -> Py<PyAny> {
        known(slf.py(), |known| &known.alias)
    }

    #[getter(__dict__)]
    fn shown_attributes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let attributes = memory::dict(py)?;
        attributes.set_item("max_buffer_size", self.max_buffer_size(py))?;
        attributes.set_item("buffer", self.shown_buffer(py)?)?;
        attributes.set_item("waiting_receivers", self.waiting_receivers(py)?)?;
        attributes.set_item("waiting_senders", self.waiting_senders(py)?)?;
        attributes.set_item("__orig_class__", known(py, |known| &known.alias))?;
        attributes.set_item("open_send_channels", self.open_send_channels(py))?;
        attributes.set_item("open_receive_channels", self.open_receive_channels(py))?;
        Ok(attributes)
    }

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        known(slf.py(), |known| &known.class).bind(slf.py()).getattr(name!("__repr__"))?.call1((slf,))
    }

    #[getter]
    fn max_buffer_size<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.0.with(py, |inner| inner.size.given.bind(py).clone())
    }

    #[setter]
    fn set_max_buffer_size(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let size = Size::of(value)?;
        let before = self.0.with(value.py(), |inner| std::mem::replace(&mut inner.size, size));
        drop(before);
        Ok(())
    }

    #[getter]
    fn open_send_channels(&self, py: Python<'_>) -> i64 {
        self.0.with(py, |inner| inner.open_senders)
    }

    #[setter]
    fn set_open_send_channels(&self, py: Python<'_>, count: i64) {
        self.0.with(py, |inner| inner.open_senders = count);
    }

    #[getter]
    fn open_receive_channels(&self, py: Python<'_>) -> i64 {
        self.0.with(py, |inner| inner.open_receivers)
    }

    #[setter]
    fn set_open_receive_channels(&self, py: Python<'_>, count: i64) {
        self.0.with(py, |inner| inner.open_receivers = count);
    }

    #[getter]
    fn waiting_receivers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.shown_queue(py, Side::Receivers)
    }

    #[getter]
    fn waiting_senders<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.shown_queue(py, Side::Senders)
    }

    /// The `deque` of the buffer, in which the items are from now on.
    #[getter(buffer)]
    fn shown_buffer<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let shown = |inner: &mut Inner| match &inner.buffer {
            Buffer::Native(_) => None,
            Buffer::Shown(buffer) => Some(buffer.bind(py).clone()),
        };
        if let Some(buffer) = self.0.with(py, shown) {
            return Ok(buffer);
        }
        let fresh = imports::deque(py)?.call0()?;
        // Making it may have run other code.
        if let Some(buffer) = self.0.with(py, shown) {
            return Ok(buffer);
        }
        let before = self.0.with(py, |inner| std::mem::replace(&mut inner.buffer, Buffer::Shown(OwnedRef::of(&fresh))));
        if let Buffer::Native(items) = before {
            for item in items {
                fresh.call_method1(pyo3::intern!(py, "append"), (item.into_bound(py),))?;
            }
        }
        Ok(fresh)
    }

    /// Statistics about the current state of the stream.
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let numbers = (
            self.buffered(py)?,
            self.max_buffer_size(py),
            self.open_send_channels(py),
            self.open_receive_channels(py),
            self.waiting(py, Side::Senders)?,
            self.waiting(py, Side::Receivers)?,
        );
        ferrio_cpython::module(py, name!("anyio.streams.memory"))?
            .getattr(name!("MemoryObjectStreamStatistics"))?
            .call1(numbers)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let outcome = self.0.traverse(&visit, |inner| {
            match &inner.buffer {
                Buffer::Native(items) => items.iter().try_for_each(|item| item.traverse(&visit))?,
                Buffer::Shown(buffer) => buffer.traverse(&visit)?,
            }
            inner.size.given.traverse(&visit)?;
            inner.senders.traverse(&visit)?;
            inner.receivers.traverse(&visit)
        });
        outcome.unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        let before = self.0.with(py, |inner| {
            let buffer = std::mem::replace(&mut inner.buffer, Buffer::Native(VecDeque::new()));
            let senders = std::mem::replace(&mut inner.senders, Queue::new());
            (buffer, senders, std::mem::replace(&mut inner.receivers, Queue::new()))
        });
        drop(before);
    }
}
