//! Queues, as in asyncio's `queues.py`.
//!
//! `queue.rs` holds the class, `storage.rs` its items, `operations.rs` the operations that do not wait, `coroutines.rs`
//! the bodies of `get`, `put` and `join`, `methods.rs` the performance-critical methods, `kinds.rs` the queues with
//! another order. `ferrio-engine` decides which waiter is woken. A subclass may override any method; where asyncio
//! calls a method on `self`, it is called by name here too, except on exact queues without attributes of their own
//! (`operations::kind`).

mod coroutines;
pub(crate) mod kinds;
mod methods;
mod operations;
pub(crate) mod queue;
mod storage;

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use self::storage::Kind;
use crate::locks::add_class;

pyo3::create_exception!(
    ferrio,
    QueueShutDown,
    PyException,
    "Raised when putting on to or getting from a shut-down Queue."
);

/// Adds the classes to the extension module.
pub(crate) fn add_classes(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let shut_down = shut_down_class(module.py())?;
    if shut_down.is(module.py().get_type::<QueueShutDown>()) {
        module.add("QueueShutDown", shut_down)?;
    }
    methods::add(module.py())?;
    add_class::<queue::Queue>(module, &["get", "put", "join"])?;
    add_class::<kinds::PriorityQueue>(module, &[])?;
    add_class::<kinds::LifoQueue>(module, &[])?;
    let py = module.py();
    for (place, kind) in &operations::CLASSES {
        place.set(&match kind {
            Kind::Fifo => py.get_type::<queue::Queue>(),
            Kind::Lifo => py.get_type::<kinds::LifoQueue>(),
            Kind::Priority => py.get_type::<kinds::PriorityQueue>(),
        });
    }
    Ok(())
}

/// asyncio's `QueueShutDown`; one of ferrio's own before 3.13.
pub(crate) fn shut_down_class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CELL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let found = || match ferrio_cpython::module(py, name!("asyncio.queues"))?.getattr_opt(name!("QueueShutDown"))? {
        Some(class) => Ok::<_, PyErr>(class.cast_into::<PyType>()?.unbind()),
        None => Ok(py.get_type::<QueueShutDown>().unbind()),
    };
    Ok(CELL.get_or_try_init(py, found)?.bind(py))
}

/// The error for a queue that was shut down.
#[cold]
fn shut_down(py: Python<'_>) -> PyErr {
    shut_down_class(py).map_or_else(|error| error, |class| PyErr::from_type(class.clone(), ()))
}
