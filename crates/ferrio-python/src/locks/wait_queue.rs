//! `_waiters`, `_getters`, `_putters`: the wait queues of primitives as Python sees them.
//!
//! asyncio keeps deques there, which tests and subclasses read and change. This is a view: a change to it changes the
//! wait queue itself. It has the methods of a deque that programs use.

use ferrio_cpython::capi::memory::{self, Text};
use ferrio_cpython::objects::waiter::FutureWaiter;
use ferrio_engine::{Ticket, Waiters};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList};
use pyo3::{PyTraverseError, PyVisit};

/// Calls a closure with a primitive's wait queue; the closure must not run Python code.
pub(crate) type Access = fn(&Bound<'_, PyAny>, &mut dyn FnMut(&mut Waiters<FutureWaiter>));

/// A view of a wait queue, with a deque's methods.
#[pyclass(frozen, name = "_Waiters", module = "ferrio")]
pub(crate) struct WaitQueue {
    owner: Py<PyAny>,
    access: Access,
}

/// A view of the wait queue of `owner` that `access` finds.
pub(crate) fn view<T>(owner: &Bound<'_, T>, access: Access) -> WaitQueue {
    WaitQueue { owner: owner.clone().into_any().unbind(), access }
}

/// The same; None before the first wait, when asyncio creates its deque.
pub(crate) fn view_if_used<T>(owner: &Bound<'_, T>, access: Access) -> Option<WaitQueue> {
    let queue = view(owner, access);
    queue.with(owner.py(), |waiters| waiters.was_used()).then_some(queue)
}

/// Replaces the waiters in the wait queue that `access` finds by the objects of `waiters`; None stands for no objects.
pub(crate) fn assign<T>(owner: &Bound<'_, T>, access: Access, waiters: &Bound<'_, PyAny>) -> PyResult<()> {
    let queue = view(owner, access);
    let entries = if waiters.is_none() {
        Vec::new()
    } else {
        waiters.try_iter()?.map(|waiter| Ok(FutureWaiter::new(&waiter?))).collect::<PyResult<Vec<_>>>()?
    };
    let mut entries = Some(entries);
    let before = queue.with(owner.py(), |queue| {
        let before = queue.take_all();
        queue.mark_used();
        for waiter in entries.take().into_iter().flatten() {
            let _ = queue.push(waiter);
        }
        before
    });
    drop(before);
    Ok(())
}

impl WaitQueue {
    /// Calls `access` with the wait queue and returns its result.
    pub(crate) fn with<R>(&self, py: Python<'_>, mut access: impl FnMut(&mut Waiters<FutureWaiter>) -> R) -> R
    where
        R: Default,
    {
        let mut outcome = R::default();
        (self.access)(self.owner.bind(py), &mut |queue| outcome = access(queue));
        outcome
    }

    fn list<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let futures = self.with(py, |queue| queue.iter().map(|waiter| waiter.future(py)).collect::<Vec<_>>());
        memory::list(py, futures)
    }

    /// The ticket of the first waiter equal to `object`.
    fn find(&self, object: &Bound<'_, PyAny>) -> PyResult<Option<Ticket>> {
        let py = object.py();
        let entries: Vec<_> =
            self.with(py, |queue| queue.entries().map(|(at, waiter)| (at, waiter.future(py))).collect());
        for (ticket, future) in entries {
            if future.is(object) || future.eq(object)? {
                return Ok(Some(ticket));
            }
        }
        Ok(None)
    }
}

#[pymethods]
impl WaitQueue {
    fn __len__(&self, py: Python<'_>) -> usize {
        self.with(py, |queue| queue.len())
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.list(py)?.try_iter()
    }

    fn __getitem__<'py>(&self, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.list(index.py())?.as_any().get_item(index)
    }

    fn __contains__(&self, waiter: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.find(waiter)?.is_some())
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<Text> {
        Ok(Text(format!("deque({})", self.list(py)?.repr()?)))
    }

    /// Park a future behind all others.
    fn append(&self, waiter: &Bound<'_, PyAny>) {
        let mut entry = Some(FutureWaiter::new(waiter));
        self.with(waiter.py(), |queue| {
            if let Some(entry) = entry.take() {
                let _ = queue.push(entry);
            }
        });
    }

    /// Park a future before all others.
    fn appendleft(&self, waiter: &Bound<'_, PyAny>) {
        let mut entry = Some(FutureWaiter::new(waiter));
        self.with(waiter.py(), |queue| {
            if let Some(entry) = entry.take() {
                let _ = queue.push_front(entry);
            }
        });
    }

    /// Take out the future that has been there longest.
    pub(crate) fn popleft<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let waiter = self.with(py, Waiters::pop);
        waiter
            .map(|waiter| waiter.future(py))
            .ok_or_else(|| ferrio_cpython::error::<PyIndexError>("pop from an empty deque"))
    }

    /// Take a future out.
    fn remove(&self, waiter: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = waiter.py();
        let removed = match self.find(waiter)? {
            Some(ticket) => self.with(py, |queue| queue.remove(ticket)),
            None => None,
        };
        removed.map(drop).ok_or_else(|| ferrio_cpython::error::<PyValueError>("deque.remove(x): x not in deque"))
    }

    /// Take all futures out.
    fn clear(&self, py: Python<'_>) {
        drop(self.with(py, Waiters::take_all));
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.owner)
    }
}

/// Visits a wait queue for the garbage collector.
pub(crate) fn traverse(waiters: &Waiters<FutureWaiter>, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
    waiters.iter().try_for_each(|waiter| waiter.traverse(visit))
}

/// Defines how a primitive's wait queue is found, and the setter of `_waiters`, for a class whose field `state` is a
/// `GilCell` of the engine's `$state`.
macro_rules! has_wait_queue {
    ($class:ident, $state:ident) => {
        fn waiters(state: &mut $state<FutureWaiter>) -> &mut ferrio_engine::Waiters<FutureWaiter> {
            &mut state.waiters
        }

        pub(crate) fn access(
            object: &Bound<'_, PyAny>,
            change: &mut dyn FnMut(&mut ferrio_engine::Waiters<FutureWaiter>),
        ) {
            if let Ok(primitive) = object.cast::<$class>() {
                primitive.get().state.with(object.py(), |state| change(&mut state.waiters));
            }
        }

        #[pymethods]
        impl $class {
            #[setter(_waiters)]
            fn set_waiters(slf: &Bound<'_, Self>, waiters: &Bound<'_, PyAny>) -> PyResult<()> {
                $crate::locks::wait_queue::assign(slf, access, waiters)
            }
        }
    };
}
pub(crate) use has_wait_queue;
