//! `PriorityQueue` and `LifoQueue`: queues that return their items in another order.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::queue::Queue;
use super::storage::{self, Kind, Storage};

/// Defines the methods of a subclass of `Queue` whose items are kept as `$kind`.
macro_rules! queue_methods {
    ($class:ident, $kind:expr) => {
        #[pymethods]
        impl $class {
            #[new]
            #[pyo3(signature = (*arguments, **keywords), text_signature = "(maxsize=0)")]
            fn new(arguments: &Bound<'_, PyTuple>, keywords: Option<&Bound<'_, PyDict>>) -> PyClassInitializer<Self> {
                PyClassInitializer::from(Queue::new(arguments, keywords)).add_subclass(Self)
            }

            /// For subclasses: make room for items.
            fn _init(slf: &Bound<'_, Self>, maxsize: &Bound<'_, PyAny>) -> PyResult<()> {
                let _ = maxsize;
                storage::set(slf.py(), &slf.as_super().get().state, Storage::new(slf.py(), $kind)?);
                Ok(())
            }

            /// For subclasses: take an item out.
            fn _get<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
                storage::get(slf.py(), &slf.as_super().get().state, $kind)
            }

            /// For subclasses: put an item in.
            fn _put(slf: &Bound<'_, Self>, item: Bound<'_, PyAny>) -> PyResult<()> {
                storage::put(&slf.as_super().get().state, $kind, item)
            }
        }
    };
}

/// A queue that gives the lowest item first, usually tuples of a priority and something else.
#[pyclass(frozen, subclass, extends = Queue, module = "ferrio")]
pub(crate) struct PriorityQueue;

queue_methods!(PriorityQueue, Kind::Priority);

/// A queue that gives the item that was put last first.
#[pyclass(frozen, subclass, extends = Queue, module = "ferrio")]
pub(crate) struct LifoQueue;

queue_methods!(LifoQueue, Kind::Lifo);
