//! What both ends of a memory object stream do, on the attributes of anyio's own streams and their shared state.
//!
//! A waiting operation is in the state's `waiting_senders` or `waiting_receivers`, an `OrderedDict` by its event of
//! anyio's, and its event in the stream's `_waiters`. A waiting `receive` has an `ItemReceiver` there, in which whoever
//! sends puts the item.

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::memory::Text;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::PySet;
use pyo3::{PyTraverseError, PyVisit};

use super::scopes_of_tasks::has_pending_cancellation;
use super::{event, originals};

/// Whether the operation can be done without waiting.
#[must_use]
pub(super) enum Now<T> {
    Done(T),
    WouldBlock,
}

/// `stream._state`.
#[inline]
pub(super) fn state_of<'py>(stream: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    stream.getattr(pyo3::intern!(stream.py(), "_state"))
}

/// Whether the end of a stream is closed.
#[inline]
pub(super) fn is_closed(stream: &Bound<'_, PyAny>) -> PyResult<bool> {
    stream.getattr(pyo3::intern!(stream.py(), "_closed"))?.is_truthy()
}

/// Takes the first entry of an `OrderedDict`, if there is one.
pub(super) fn pop_first<'py>(entries: &Bound<'py, PyAny>) -> PyResult<Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
    if entries.len()? == 0 {
        return Ok(None);
    }
    // Half the cost of `popitem`, whose keywords and tuple it saves.
    let Some(first) = entries.try_iter()?.next() else {
        return Ok(None);
    };
    let first = first?;
    let value = entries.get_item(&first)?;
    entries.del_item(&first)?;
    Ok(Some((first, value)))
}

/// Adds an event to the stream's `_waiters`, which do not exist before.
pub(super) fn add_waiter(stream: &Bound<'_, PyAny>, event: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = stream.py();
    let name = pyo3::intern!(py, "_waiters");
    let waiters = stream.getattr(name)?;
    if let Ok(waiters) = waiters.cast::<PySet>() {
        return waiters.add(event);
    }
    let waiters = PySet::empty(py)?;
    waiters.add(event)?;
    stream.setattr(name, waiters)
}

/// `send_nowait` on an end that is open on both sides.
pub(super) fn send_now<'py>(state: &Bound<'py, PyAny>, item: &Bound<'py, PyAny>) -> PyResult<Now<()>> {
    let py = state.py();
    let receivers = state.getattr(pyo3::intern!(py, "waiting_receivers"))?;
    while let Some((waiting, receiver)) = pop_first(&receivers)? {
        if let Ok(native) = receiver.cast_exact::<ItemReceiver>() {
            if has_pending_cancellation(native.get().task.bind(py))? {
                continue;
            }
            native.get().put(item.clone());
        } else {
            let task = receiver.getattr(pyo3::intern!(py, "task_info"))?;
            if task.call_method0(pyo3::intern!(py, "has_pending_cancellation"))?.is_truthy()? {
                continue;
            }
            receiver.setattr(pyo3::intern!(py, "item"), item)?;
        }
        event::set(&waiting)?;
        return Ok(Now::Done(()));
    }
    let buffer = state.getattr(pyo3::intern!(py, "buffer"))?;
    let limit = state.getattr(pyo3::intern!(py, "max_buffer_size"))?;
    let used = buffer.len()?;
    let has_room = match crate::common::numbers::plain_integer(&limit) {
        Some(limit) => usize::try_from(limit).is_ok_and(|limit| used < limit),
        None => limit.gt(used)?,
    };
    if !has_room {
        return Ok(Now::WouldBlock);
    }
    buffer.call_method1(pyo3::intern!(py, "append"), (item,))?;
    Ok(Now::Done(()))
}

/// `receive_nowait` on an end that is open.
pub(super) fn receive_now<'py>(state: &Bound<'py, PyAny>) -> PyResult<Now<Bound<'py, PyAny>>> {
    let py = state.py();
    let buffer = state.getattr(pyo3::intern!(py, "buffer"))?;
    if let Some((waiting, item)) = pop_first(&state.getattr(pyo3::intern!(py, "waiting_senders"))?)? {
        if buffer.len()? == 0 {
            if let Err(error) = event::set(&waiting) {
                // Not lost, as it is in the buffer already in anyio's own method.
                buffer.call_method1(pyo3::intern!(py, "append"), (item,))?;
                return Err(error);
            }
            return Ok(Now::Done(item));
        }
        buffer.call_method1(pyo3::intern!(py, "append"), (item,))?;
        event::set(&waiting)?;
    }
    if buffer.len()? > 0 {
        return buffer.call_method0(pyo3::intern!(py, "popleft")).map(Now::Done);
    }
    if !state.getattr(pyo3::intern!(py, "open_send_channels"))?.is_truthy()? {
        return Err(originals::anyio_error(py, "EndOfStream"));
    }
    Ok(Now::WouldBlock)
}

/// A waiting `receive`, and the item that it gets.
#[pyclass(frozen, weakref, name = "_MemoryObjectItemReceiver", module = "anyio.streams.memory")]
pub(crate) struct ItemReceiver {
    task: Py<PyAny>,
    /// anyio's event, under which it waits.
    event: Py<PyAny>,
    item: GilCell<Option<OwnedRef>>,
}

impl ItemReceiver {
    pub(super) fn new<'py>(task: &Bound<'py, PyAny>, event: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let receiver = Self { task: task.clone().unbind(), event: event.clone().unbind(), item: GilCell::new(None) };
        Bound::new(task.py(), receiver)
    }

    #[inline]
    pub(super) fn event<'a, 'py>(&'a self, py: Python<'py>) -> &'a Bound<'py, PyAny> {
        self.event.bind(py)
    }

    pub(super) fn item<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.item.with(py, |item| item.as_ref().map(|item| item.bind(py).clone()))
    }

    fn put(&self, item: Bound<'_, PyAny>) {
        let before = self.item.with(item.py(), |place| place.replace(item.into()));
        drop(before);
    }
}

#[pymethods]
impl ItemReceiver {
    #[getter]
    fn task_info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        originals::in_backend(py, "AsyncIOTaskInfo")?.call1((&self.task,))
    }

    #[getter(item)]
    pub(super) fn shown_item<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let missing = "'_MemoryObjectItemReceiver' object has no attribute 'item'";
        self.item(py).ok_or_else(|| ferrio_cpython::error::<PyAttributeError>(missing))
    }

    #[setter(item)]
    fn set_item(&self, item: Bound<'_, PyAny>) {
        self.put(item);
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<Text> {
        let task = self.task_info(py)?.repr()?;
        let item = self.item(py).unwrap_or_else(|| originals::nothing(py)).repr()?;
        Ok(Text(format!("_MemoryObjectItemReceiver(task_info={task}, item={item})")))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.task)?;
        visit.call(&self.event)?;
        let item = self.item.traverse(&visit, |item| item.as_ref().map_or(Ok(()), |item| item.traverse(&visit)));
        item.unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        let item = self.item.with(py, Option::take);
        drop(item);
    }
}
