//! `Waiting`: a `send` or `receive` of a memory object stream that waits, and the wait queue that it is in.
//!
//! It stands where anyio's code has the event of the waiting operation: in the stream's `_waiters`, and as a key in its
//! state's `waiting_senders` or `waiting_receivers`. Anyio's code calls `set()` on it, as these natives do.

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::memory::{Text, out_of_memory};
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::objects::coroutine::Awaiting;
use ferrio_cpython::objects::create_task;
use ferrio_cpython::objects::current::get_running_loop;
use ferrio_cpython::objects::waiter::FutureWaiter;
use ferrio_engine::{Ticket, Waiters};
use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::originals;
use super::scopes_of_tasks::has_pending_cancellation;
use crate::locks::boolean;

/// A waiting `send` with its item, or a waiting `receive` with its task.
#[pyclass(frozen, weakref, name = "_StreamWait", module = "ferrio")]
pub(crate) struct Waiting {
    task: Option<OwnedRef>,
    inner: GilCell<Inner>,
}

struct Inner {
    /// What the operation awaits.
    future: FutureWaiter,
    is_set: bool,
    /// What is sent, or what was received.
    item: Option<OwnedRef>,
    /// Its place in the native queue.
    ticket: Option<Ticket>,
}

impl Waiting {
    /// A `send` of `item`, and what it awaits.
    pub(super) fn sender<'py>(item: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, Self>, Awaiting)> {
        Self::new(item.py(), None, Some(OwnedRef::of(item)))
    }

    /// A `receive` of `task`, and what it awaits.
    pub(super) fn receiver<'py>(task: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, Self>, Awaiting)> {
        Self::new(task.py(), Some(OwnedRef::of(task)), None)
    }

    fn new(py: Python<'_>, task: Option<OwnedRef>, item: Option<OwnedRef>) -> PyResult<(Bound<'_, Self>, Awaiting)> {
        let future = create_task::waiter(&get_running_loop(py)?)?;
        let awaiting = Awaiting::new(&future)?;
        let inner = Inner { future: FutureWaiter::new(&future), is_set: false, item, ticket: None };
        Ok((Bound::new(py, Self { task, inner: GilCell::new(inner) })?, awaiting))
    }

    /// Ends the wait.
    pub(super) fn wake(&self, py: Python<'_>) -> PyResult<()> {
        let future = self.inner.with(py, |inner| {
            let was_set = std::mem::replace(&mut inner.is_set, true);
            (!was_set).then(|| inner.future.clone_ref(py))
        });
        future.map_or(Ok(()), |future| future.wake(py, boolean(py, true)))
    }

    /// The item, if there is one.
    pub(super) fn item<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.inner.with(py, |inner| inner.item.as_ref().map(|item| item.bind(py).clone()))
    }

    /// Gives it an item.
    pub(super) fn put(&self, item: Bound<'_, PyAny>) {
        let before = self.inner.with(item.py(), |inner| inner.item.replace(item.into()));
        drop(before);
    }

    /// Whether the task that receives is about to be cancelled.
    pub(super) fn is_about_to_be_cancelled(&self, py: Python<'_>) -> PyResult<bool> {
        self.task.as_ref().map_or(Ok(false), |task| has_pending_cancellation(task.bind(py)))
    }
}

#[pymethods]
impl Waiting {
    /// End the wait.
    fn set(&self, py: Python<'_>) -> PyResult<()> {
        self.wake(py)
    }

    /// Whether the wait has ended.
    fn is_set(&self, py: Python<'_>) -> bool {
        self.inner.with(py, |inner| inner.is_set)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.task.as_ref().map_or(Ok(()), |task| task.traverse(&visit))?;
        let outcome = self.inner.traverse(&visit, |inner| {
            inner.future.traverse(&visit)?;
            inner.item.as_ref().map_or(Ok(()), |item| item.traverse(&visit))
        });
        outcome.unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        let item = self.inner.with(py, |inner| inner.item.take());
        drop(item);
    }
}

/// Ends the wait that an event of anyio's stands for, or a `Waiting`.
pub(super) fn wake(event: &Bound<'_, PyAny>) -> PyResult<()> {
    match event.cast_exact::<Waiting>() {
        Ok(waiting) => waiting.get().wake(event.py()),
        Err(_) => super::event::set(event),
    }
}

/// A wait queue of one side of a stream.
///
/// Invariant: once Python code has seen the `OrderedDict`, that is where the waits are.
pub(super) enum Queue {
    Native(Waiters<OwnedRef<Waiting>>),
    Shown(OwnedRef),
}

impl Queue {
    pub(super) const fn new() -> Self {
        Self::Native(Waiters::new())
    }

    /// The `OrderedDict`, if Python code has seen it.
    pub(super) fn shown<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        match self {
            Self::Native(_) => None,
            Self::Shown(shown) => Some(shown.bind(py).clone()),
        }
    }

    /// How many wait, in the native queue.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Native(waits) => waits.len(),
            Self::Shown(_) => 0,
        }
    }

    /// Adds a wait to the native queue.
    pub(super) fn push(&mut self, waiting: &Bound<'_, Waiting>) -> PyResult<()> {
        let py = waiting.py();
        if let Self::Native(waits) = self {
            let ticket = waits.push(OwnedRef::of(waiting)).ok_or_else(|| out_of_memory(py))?;
            waiting.get().inner.with(py, |inner| inner.ticket = Some(ticket));
        }
        Ok(())
    }

    /// Takes the first out of the native queue.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<OwnedRef<Waiting>> {
        match self {
            Self::Native(waits) => waits.pop(),
            Self::Shown(_) => None,
        }
    }

    /// Takes a wait out of the native queue, if it is there.
    pub(super) fn remove(&mut self, waiting: &Bound<'_, Waiting>) -> Option<OwnedRef<Waiting>> {
        let Self::Native(waits) = self else { return None };
        let ticket = waiting.get().inner.with(waiting.py(), |inner| inner.ticket.take())?;
        waits.remove(ticket)
    }

    /// All in the native queue.
    pub(super) fn each<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, Waiting>> {
        match self {
            Self::Native(waits) => waits.iter().map(|waiting| waiting.bind(py).clone()).collect(),
            Self::Shown(_) => Vec::new(),
        }
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Native(waits) => waits.iter().try_for_each(|waiting| waiting.traverse(visit)),
            Self::Shown(shown) => shown.traverse(visit),
        }
    }
}

/// A waiting `receive` as anyio's code sees it, the value in `waiting_receivers`: it puts the item in.
#[pyclass(frozen, weakref, name = "_MemoryObjectItemReceiver", module = "anyio.streams.memory")]
pub(crate) struct ItemReceiver(pub(super) Py<Waiting>);

#[pymethods]
impl ItemReceiver {
    #[getter]
    fn task_info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let task = self.0.get().task.as_ref().map_or_else(|| originals::nothing(py), |task| task.bind(py).clone());
        originals::in_backend(py, "AsyncIOTaskInfo")?.call1((task,))
    }

    #[getter]
    fn item<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.get().item(py).ok_or_else(no_item)
    }

    #[setter]
    fn set_item(&self, item: Bound<'_, PyAny>) {
        self.0.get().put(item);
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<Text> {
        let task = self.task_info(py)?.repr()?;
        let item = self.0.get().item(py).unwrap_or_else(|| originals::nothing(py)).repr()?;
        Ok(Text(format!("_MemoryObjectItemReceiver(task_info={task}, item={item})")))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

/// The error of a wait that ended without an item.
#[cold]
pub(super) fn no_item() -> PyErr {
    ferrio_cpython::error::<PyAttributeError>("'_MemoryObjectItemReceiver' object has no attribute 'item'")
}
