//! `_waiters`, `_getters`, `_putters`: the lines of primitives as Python sees them.
//!
//! asyncio keeps deques there, and tests and subclasses read and change them. This is a view: a change is a change of
//! the line itself. It has what programs use of a deque.

use ferrio_cpython::capi::memory;
use ferrio_cpython::objects::waiter::Parked;
use ferrio_engine::{Ticket, Waiters};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList};
use pyo3::{PyTraverseError, PyVisit};

/// Runs a closure with a primitive's line; the closure runs no Python code.
pub(crate) type Access = fn(&Bound<'_, PyAny>, &mut dyn FnMut(&mut Waiters<Parked>));

/// A view of the line of those who wait for something.
#[pyclass(frozen, name = "_Waiters", module = "ferrio")]
pub(crate) struct Line {
    owner: Py<PyAny>,
    access: Access,
}

/// The line of `owner` that `access` finds, to be shown.
pub(crate) fn view<T>(owner: &Bound<'_, T>, access: Access) -> Line {
    Line { owner: owner.clone().into_any().unbind(), access }
}

/// The same, or None while nobody was ever parked: where asyncio makes its deque at the first wait.
pub(crate) fn view_if_used<T>(owner: &Bound<'_, T>, access: Access) -> Option<Line> {
    let line = view(owner, access);
    line.with(owner.py(), |waiters| waiters.was_used()).then_some(line)
}

/// Puts the objects of `waiters` into the line that `access` finds; None stands for nobody.
pub(crate) fn assign<T>(owner: &Bound<'_, T>, access: Access, waiters: &Bound<'_, PyAny>) -> PyResult<()> {
    let line = view(owner, access);
    let parked = if waiters.is_none() {
        Vec::new()
    } else {
        waiters.try_iter()?.map(|waiter| Ok(Parked::new(&waiter?))).collect::<PyResult<Vec<_>>>()?
    };
    let mut parked = Some(parked);
    let before = line.with(owner.py(), |line| {
        let before = line.take_all();
        line.mark_used();
        for waiter in parked.take().into_iter().flatten() {
            let _ = line.push(waiter);
        }
        before
    });
    drop(before);
    Ok(())
}

impl Line {
    /// What `access` gives of the line.
    pub(crate) fn with<R>(&self, py: Python<'_>, mut access: impl FnMut(&mut Waiters<Parked>) -> R) -> R
    where
        R: Default,
    {
        let mut outcome = R::default();
        (self.access)(self.owner.bind(py), &mut |line| outcome = access(line));
        outcome
    }

    fn list<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let futures = self.with(py, |line| line.iter().map(|parked| parked.future(py)).collect::<Vec<_>>());
        memory::list(py, futures)
    }

    /// The ticket of the first waiter equal to `object`.
    fn find(&self, object: &Bound<'_, PyAny>) -> PyResult<Option<Ticket>> {
        let py = object.py();
        let entries: Vec<_> =
            self.with(py, |line| line.entries().map(|(at, parked)| (at, parked.future(py))).collect());
        for (ticket, future) in entries {
            if future.is(object) || future.eq(object)? {
                return Ok(Some(ticket));
            }
        }
        Ok(None)
    }
}

#[pymethods]
impl Line {
    fn __len__(&self, py: Python<'_>) -> usize {
        self.with(py, |line| line.len())
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

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("deque({})", self.list(py)?.repr()?))
    }

    /// Park a future behind all others.
    fn append(&self, waiter: &Bound<'_, PyAny>) {
        let mut parked = Some(Parked::new(waiter));
        self.with(waiter.py(), |line| {
            if let Some(parked) = parked.take() {
                let _ = line.push(parked);
            }
        });
    }

    /// Park a future before all others.
    fn appendleft(&self, waiter: &Bound<'_, PyAny>) {
        let mut parked = Some(Parked::new(waiter));
        self.with(waiter.py(), |line| {
            if let Some(parked) = parked.take() {
                let _ = line.push_front(parked);
            }
        });
    }

    /// Take out the future that has been there longest.
    pub(crate) fn popleft<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let parked = self.with(py, Waiters::pop);
        parked
            .map(|parked| parked.future(py))
            .ok_or_else(|| ferrio_cpython::error::<PyIndexError>("pop from an empty deque"))
    }

    /// Take a future out.
    fn remove(&self, waiter: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = waiter.py();
        let removed = match self.find(waiter)? {
            Some(ticket) => self.with(py, |line| line.remove(ticket)),
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

/// Shows the collector a line.
pub(crate) fn traverse(waiters: &Waiters<Parked>, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
    waiters.iter().try_for_each(|parked| parked.traverse(visit))
}
