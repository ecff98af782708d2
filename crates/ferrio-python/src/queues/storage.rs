//! The items of a queue.
//!
//! Items are stored natively until a program reads `_queue`; from then on the deque or list that it got holds them, so
//! that changes to that object change the queue. A priority queue uses a list from the start, because the heap compares
//! items in Python.

use std::collections::VecDeque;

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::memory::out_of_memory;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::queue::State;
use crate::common::imports;

/// The order in which a queue returns its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// First in, first out.
    Fifo,
    /// Last in, first out.
    Lifo,
    /// Lowest first.
    Priority,
}

/// Where the items are stored.
pub(super) enum Storage {
    Native(VecDeque<OwnedRef>),
    /// The object that a program got as `_queue`.
    Object(OwnedRef),
}

impl Default for Storage {
    fn default() -> Self {
        Self::Native(VecDeque::new())
    }
}

impl Storage {
    /// Empty storage for a queue of that kind.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn new(py: Python<'_>, kind: Kind) -> PyResult<Self> {
        Ok(match kind {
            Kind::Fifo | Kind::Lifo => Self::default(),
            Kind::Priority => Self::Object(memory::empty_list(py)?.into()),
        })
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Native(items) => items.iter().try_for_each(|item| item.traverse(visit)),
            Self::Object(object) => object.traverse(visit),
        }
    }
}

/// The object that holds the items; None if they are stored natively.
fn object<'py>(py: Python<'py>, state: &GilCell<State>) -> Option<Bound<'py, PyAny>> {
    state.with(py, |state| match &mut state.items {
        Storage::Native(_) => None,
        Storage::Object(object) => Some(object.bind(py).clone()),
    })
}

/// The number of items.
#[inline]
pub(super) fn len(py: Python<'_>, state: &GilCell<State>) -> PyResult<usize> {
    let native = state.with(py, |state| match &mut state.items {
        Storage::Native(items) => Ok(items.len()),
        Storage::Object(object) => Err(object.bind(py).clone()),
    });
    native.or_else(|object| object.len())
}

/// Whether there are no items, evaluated as `not self._queue`.
#[inline]
pub(super) fn is_empty(py: Python<'_>, state: &GilCell<State>) -> PyResult<bool> {
    let native = state.with(py, |state| match &mut state.items {
        Storage::Native(items) => Ok(items.is_empty()),
        Storage::Object(object) => Err(object.bind(py).clone()),
    });
    native.or_else(|object| Ok(!object.is_truthy()?))
}

/// Reserves space for one more item; false if memory runs out.
#[inline]
pub(super) fn reserve_one(items: &mut VecDeque<OwnedRef>) -> bool {
    items.len() < items.capacity() || items.try_reserve(1).is_ok()
}

/// Adds an item.
#[inline]
pub(super) fn put(state: &GilCell<State>, kind: Kind, item: Bound<'_, PyAny>) -> PyResult<()> {
    let py = item.py();
    let item = OwnedRef::from(item);
    let rejected = state.with(py, |state| match &mut state.items {
        Storage::Native(items) => {
            if !reserve_one(items) {
                return Some((None, item));
            }
            items.push_back(item);
            None
        }
        Storage::Object(object) => Some((Some(object.bind(py).clone()), item)),
    });
    let Some((object, item)) = rejected else {
        return Ok(());
    };
    let Some(object) = object else {
        return Err(out_of_memory(py));
    };
    match kind {
        Kind::Priority => imports::heappush(py)?.call1((object, item.into_bound(py))).map(drop),
        Kind::Fifo | Kind::Lifo => object.call_method1(pyo3::intern!(py, "append"), (item.into_bound(py),)).map(drop),
    }
}

/// Removes and returns the next item.
///
/// # Errors
/// `IndexError` if there is none.
#[inline]
pub(super) fn get<'py>(py: Python<'py>, state: &GilCell<State>, kind: Kind) -> PyResult<Bound<'py, PyAny>> {
    let native = state.with(py, |state| match &mut state.items {
        Storage::Native(items) => Ok(if kind == Kind::Fifo { items.pop_front() } else { items.pop_back() }),
        Storage::Object(object) => Err(object.bind(py).clone()),
    });
    match native {
        Ok(Some(item)) => Ok(item.into_bound(py)),
        Ok(None) => Err(ferrio_cpython::error::<PyIndexError>("pop from an empty deque")),
        Err(object) => match kind {
            Kind::Fifo => object.call_method0(pyo3::intern!(py, "popleft")),
            Kind::Lifo => object.call_method0(pyo3::intern!(py, "pop")),
            Kind::Priority => imports::heappop(py)?.call1((object,)),
        },
    }
}

/// `_queue`: from now on the returned object holds the items.
pub(super) fn shown<'py>(py: Python<'py>, state: &GilCell<State>, kind: Kind) -> PyResult<Bound<'py, PyAny>> {
    if let Some(object) = object(py, state) {
        return Ok(object);
    }
    let list = listed(py, state)?;
    let object = if kind == Kind::Fifo { imports::deque(py)?.call1((list,))? } else { list };
    set(py, state, Storage::Object(object.clone().into()));
    Ok(object)
}

/// The items as a list, or the object that holds them.
pub(super) fn listed<'py>(py: Python<'py>, state: &GilCell<State>) -> PyResult<Bound<'py, PyAny>> {
    let native = state.with(py, |state| match &mut state.items {
        Storage::Native(items) => Ok(items.iter().map(|item| item.bind(py).clone()).collect::<Vec<_>>()),
        Storage::Object(object) => Err(object.bind(py).clone()),
    });
    match native {
        Ok(items) => Ok(memory::list(py, items)?.into_any()),
        Err(object) => Ok(object),
    }
}

/// Replaces all items.
pub(super) fn set(py: Python<'_>, state: &GilCell<State>, fresh: Storage) {
    let before = state.with(py, |state| std::mem::replace(&mut state.items, fresh));
    drop(before);
}
