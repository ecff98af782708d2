//! The waiters of a future, as 3.14 records them for `asyncio.capture_call_graph()` and related functions.
//!
//! `awaited_by` holds the one waiter itself or, from the second on, a set: most futures never need a set. Earlier
//! versions record nothing.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyFrozenSet, PySet};

use super::FutureRef;
use crate::capi::owned_ref::OwnedRef;

/// Whether the running Python records waiters.
#[inline]
pub(crate) fn is_kept(py: Python<'_>) -> bool {
    static CELL: PyOnceLock<bool> = PyOnceLock::new();
    *CELL.get_or_init(py, || py.version_info() >= (3, 14))
}

impl<'py> FutureRef<'py> {
    /// Records that `waiter` waits for the future.
    pub(crate) fn add_awaited_by(&self, waiter: &Bound<'py, PyAny>) -> PyResult<()> {
        let py = self.py();
        let Some(present) = self.body().awaited_by.as_ref().map(|present| present.get(py)) else {
            self.update(|body| body.awaited_by = Some(OwnedRef::from(waiter.clone())));
            return Ok(());
        };
        if let Ok(set) = present.cast_exact::<PySet>() {
            return set.add(waiter);
        }
        if !present.is(waiter) {
            let set = PySet::new(py, [&present, waiter])?;
            let before = self.update(|body| {
                body.awaited_by_is_set = true;
                body.awaited_by.replace(set.into())
            });
            drop(before);
        }
        Ok(())
    }

    /// Records that `waiter` waits no more.
    pub(crate) fn discard_awaited_by(&self, waiter: &Bound<'py, PyAny>) -> PyResult<()> {
        let py = self.py();
        let Some(present) = self.body().awaited_by.as_ref().map(|present| present.get(py)) else {
            return Ok(());
        };
        if let Ok(set) = present.cast_exact::<PySet>() {
            return set.discard(waiter).map(drop);
        }
        if present.is(waiter) {
            drop(self.update(|body| body.awaited_by.take()));
        }
        Ok(())
    }

    /// A frozen set of the waiters, or None.
    pub(super) fn show_awaited_by(&self) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py();
        let Some(present) = self.body().awaited_by.as_ref().map(|present| present.get(py)) else {
            return Ok(py.None().into_bound(py));
        };
        let waiters = match present.cast_exact::<PySet>() {
            Ok(set) => set.iter().collect(),
            Err(_) => vec![present],
        };
        Ok(PyFrozenSet::new(py, waiters)?.into_any())
    }
}

/// `asyncio.future_add_to_awaited_by` for ferrio futures; returns false for others.
///
/// # Errors
/// Any exception that hashing the waiter raises.
pub(crate) fn note_waiter<'py>(future: &Bound<'py, PyAny>, waiter: &Bound<'py, PyAny>) -> PyResult<bool> {
    match FutureRef::of(future) {
        Some(future) if !waiter.is_none() => future.add_awaited_by(waiter).map(|()| true),
        Some(_) | None => Ok(false),
    }
}

/// `asyncio.future_discard_from_awaited_by` for ferrio futures; returns false for others.
///
/// # Errors
/// Any exception that hashing the waiter raises.
pub(crate) fn forget_waiter<'py>(future: &Bound<'py, PyAny>, waiter: &Bound<'py, PyAny>) -> PyResult<bool> {
    match FutureRef::of(future) {
        Some(future) if !waiter.is_none() => future.discard_awaited_by(waiter).map(|()| true),
        Some(_) | None => Ok(false),
    }
}
