//! Locks, events, conditions, semaphores and barriers, as in asyncio's `locks.py`.
//!
//! `ferrio-engine` decides which waiter is next; this folder holds the Python classes and the bodies of their
//! coroutines. An operation that need not wait creates a coroutine object and nothing else. A task that has to wait
//! gets a future of the running loop, so cancellation, `wait_for` and foreign loops work as with asyncio's own classes.
//!
//! Methods that a subclass may override are called by name; exact instances without attributes of their own
//! (`is_unpatched`) skip that.

mod async_context;
pub(crate) mod barrier;
mod barrier_wait;
pub(crate) mod condition;
mod condition_wait;
pub(crate) mod event;
pub(crate) mod lock;
pub(crate) mod loop_bound;
pub(crate) mod optional_argument;
pub(crate) mod semaphore;
pub(crate) mod wait_queue;
mod wait_slot;

use ferrio_cpython::capi::coroutine_function;
use ferrio_cpython::capi::memory::Text;
use ferrio_cpython::objects::waiter::FutureWaiter;
use pyo3::PyClass;
use pyo3::prelude::*;
use pyo3::types::PyBool;

use crate::common::imports;

/// Adds the classes to the extension module.
pub(crate) fn add_classes(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // asyncio's behaviour is inspected now, before `install()` replaces its classes by these.
    crate::compat::locks::behavior(module.py())?;
    let py = module.py();
    lock::CLASS.set(&py.get_type::<lock::Lock>());
    lock::add_methods(py)?;
    event::add_methods(py)?;
    condition::CLASS.set(&py.get_type::<condition::Condition>());
    condition::add_methods(py)?;
    semaphore::add_methods(py)?;
    barrier::CLASS.set(&py.get_type::<barrier::Barrier>());
    add_class::<lock::Lock>(module, &["acquire"])?;
    add_class::<event::Event>(module, &["wait"])?;
    add_class::<condition::Condition>(module, &["wait", "wait_for"])?;
    add_class::<semaphore::Semaphore>(module, &["acquire"])?;
    add_class::<semaphore::BoundedSemaphore>(module, &[])?;
    add_class::<barrier::Barrier>(module, &["wait", "reset", "abort", "__aenter__", "__aexit__"])
}

/// Adds a class whose methods `coroutines` count as `async def`. Sets its unqualified name, which the interpreter's
/// messages show; a raw type's name includes the module.
pub(crate) fn add_class<T: PyClass>(module: &Bound<'_, PyModule>, coroutines: &[&str]) -> PyResult<()> {
    let class = module.py().get_type::<T>();
    class.setattr(name!("__name__"), class.name()?)?;
    coroutine_function::mark(class.as_any(), coroutines)?;
    module.add_class::<T>()
}

/// Whether an await ended because the waiting task was cancelled.
pub(crate) fn is_cancellation(py: Python<'_>, error: &PyErr) -> PyResult<bool> {
    Ok(error.is_instance(py, imports::cancelled_error(py)?.as_any()))
}

/// Wakes the waiters that a primitive chose.
pub(crate) fn wake_all(py: Python<'_>, chosen: Vec<FutureWaiter>, result: bool) -> PyResult<()> {
    chosen.into_iter().try_for_each(|waiter| waiter.wake(py, boolean(py, result)))
}

#[inline]
pub(crate) fn boolean(py: Python<'_>, value: bool) -> Bound<'_, PyAny> {
    PyBool::new(py, value).to_owned().into_any()
}

/// `object.__repr__` followed by `extra` in brackets.
pub(crate) fn described(object: &Bound<'_, PyAny>, extra: &str) -> PyResult<Text> {
    let object_repr = imports::object_class(object.py())?.call_method1(name!("__repr__"), (object,))?;
    let object_repr: String = object_repr.extract()?;
    let inside =
        object_repr.strip_prefix('<').and_then(|remaining| remaining.strip_suffix('>')).unwrap_or(&object_repr);
    Ok(Text(format!("<{inside} [{extra}]>")))
}

/// `, waiters:N` if there are waiters, otherwise empty.
pub(crate) fn waiters_suffix(count: usize) -> String {
    if count == 0 { String::new() } else { format!(", waiters:{count}") }
}
