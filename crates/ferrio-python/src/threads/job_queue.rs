//! `JobQueue`: what waits for the workers of one pool, and the workers that wait for it.
//!
//! It has the methods of `queue.SimpleQueue` that `concurrent.futures.thread` calls: it is the executor's `_work_queue`.
//! An item is a `Job`, a work item of the standard library, or None, which ends the workers of an executor that was shut
//! down. Items are added and taken with the GIL held and no Python code in between. In a child made by `fork` the
//! workers of the parent are forgotten before the next job is added.

use std::sync::Arc;
use std::time::Duration;

use ferrio_cpython::capi::memory;
use ferrio_cpython::{GilCell, GilFlag};
use ferrio_engine::{Crew, ReadyQueue};
use ferrio_sys::clock::monotonic;
use ferrio_sys::{Parker, fork};
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::threads::stock;

struct State {
    items: ReadyQueue<Py<PyAny>>,
    crew: Crew<Arc<Seat>>,
    /// None was in the queue: the executor may be shut down.
    ending: bool,
    /// The fork generation of the process whose workers these are.
    generation: u32,
}

/// Where a worker waits for a job.
#[derive(Default)]
pub(super) struct Seat {
    parker: Parker,
    /// The worker is to end: it has waited too long.
    dismissed: GilFlag,
}

impl Seat {
    /// Waits, without the GIL, until the worker is called or dismissed.
    pub(super) fn wait(&self) {
        self.parker.park();
    }

    pub(super) fn is_dismissed(&self) -> bool {
        self.dismissed.get()
    }
}

/// The queue of one pool.
#[pyclass(frozen, weakref, module = "ferrio")]
pub(crate) struct JobQueue(GilCell<State>);

impl JobQueue {
    pub(crate) fn new() -> Self {
        let (items, crew) = (ReadyQueue::new(), Crew::new());
        Self(GilCell::new(State { items, crew, ending: false, generation: fork::generation() }))
    }

    /// Adds an item and wakes a worker, unless one is on its way.
    pub(crate) fn add(&self, py: Python<'_>, item: Bound<'_, PyAny>) -> PyResult<()> {
        let ends = item.is_none();
        let added = self.0.with(py, |state| {
            state.ending |= ends;
            state.items.try_push(item.unbind()).map(|()| state.crew.call())
        });
        match added {
            Ok(called) => {
                if let Some(seat) = called {
                    seat.parker.unpark();
                }
                Ok(())
            }
            Err(item) => {
                drop(item);
                Err(memory::out_of_memory(py))
            }
        }
    }

    /// Whether each waiting item has a free worker, and `more` items would too.
    pub(crate) fn has_workers_for(&self, py: Python<'_>, more: usize) -> bool {
        self.0.with(py, |state| state.items.len() + more <= state.crew.free())
    }

    /// Whether the executor may be shut down.
    pub(super) fn is_ending(&self, py: Python<'_>) -> bool {
        self.0.with(py, |state| state.ending)
    }

    /// Whether the workers are those of the process that has made this one by `fork`. They are forgotten then.
    #[inline]
    pub(crate) fn forget_workers_of_parent(&self, py: Python<'_>) -> bool {
        let forgotten = self.0.with(py, |state| {
            if state.generation == fork::generation() {
                return None;
            }
            state.generation = fork::generation();
            Some(state.crew.take_all())
        });
        forgotten.is_some()
    }

    /// Takes an item for a worker, and wakes the next worker if items remain.
    pub(super) fn take<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let (item, called) = self.0.with(py, |state| {
            let item = state.items.pop();
            (item, if state.items.is_empty() { None } else { state.crew.call() })
        });
        if let Some(seat) = called {
            seat.parker.unpark();
        }
        item.map(|item| item.into_bound(py))
    }

    /// Notes that a worker waits for items. False if an item has come, or there is no memory for the note.
    #[must_use]
    pub(super) fn stand_by(&self, py: Python<'_>, seat: &Arc<Seat>) -> bool {
        let now = monotonic();
        self.0.with(py, |state| state.items.is_empty() && state.crew.stand_by(Arc::clone(seat), now).is_ok())
    }

    /// Ends the workers that have waited for `limit` or longer, but one.
    pub(crate) fn dismiss_idle(&self, py: Python<'_>, limit: Duration) {
        let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        let Some(instant) = monotonic().checked_sub(limit) else { return };
        while let Some(seat) = self.0.with(py, |state| state.crew.dismiss(instant)) {
            seat.dismissed.set(true);
            seat.parker.unpark();
        }
    }

    /// Notes that a worker that was called is here.
    pub(super) fn arrive(&self, py: Python<'_>) {
        self.0.with(py, |state| state.crew.arrive());
    }
}

#[pymethods]
impl JobQueue {
    fn put(&self, item: Bound<'_, PyAny>) -> PyResult<()> {
        self.add(item.py(), item)
    }

    fn put_nowait(&self, item: Bound<'_, PyAny>) -> PyResult<()> {
        self.put(item)
    }

    fn get_nowait<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.0.with(py, |state| state.items.pop()) {
            Some(item) => Ok(item.into_bound(py)),
            None => Err(stock::queue_is_empty(py)?),
        }
    }

    fn qsize(&self, py: Python<'_>) -> usize {
        self.0.with(py, |state| state.items.len())
    }

    fn empty(&self, py: Python<'_>) -> bool {
        self.0.with(py, |state| state.items.is_empty())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let outcome = self.0.traverse(&visit, |state| state.items.iter().try_for_each(|item| visit.call(item)));
        outcome.unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        let items = self.0.with(py, |state| state.items.take_all());
        drop(items);
    }
}
