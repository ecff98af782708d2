//! The methods of anyio's primitives that are replaced, and what replaces them.
//!
//! anyio's objects stay what they are, with their attributes in Python: a replacement works on these attributes, so it
//! and anyio's own method may serve one object in turn. It serves objects exactly of anyio's class in tasks on ferrio's
//! loops; for any other it calls anyio's own method (`originals.rs`).

use ferrio_cpython::capi::exact_type::ExactType;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyType};

use super::originals::{Lists, Methods};
use super::{
    async_with, backend, capacity_limiter, condition, event, limiter_tokens, lock, new_streams, receiving, semaphore,
    sending,
};

/// Collects the replacements of one class's methods.
type Replace = fn(&Methods<'_, '_>) -> PyResult<()>;

/// Classes that work otherwise in anyio 4.15, which keeps its own methods.
const CHANGED_IN_4_16: [&str; 4] =
    ["Condition", "MemoryObjectSendStream", "MemoryObjectReceiveStream", "UnreliableObjectReceiveStream"];

/// What replaces methods of anyio's classes, for its backend module: tuples of owner, name and value.
#[pyfunction]
#[pyo3(name = "_anyio_primitives")]
pub(crate) fn primitives<'py>(module: &Bound<'py, PyModule>) -> PyResult<Bound<'py, PyList>> {
    let py = module.py();
    if let Some(kept) = Lists::kept(module) {
        return Ok(kept);
    }
    let synchronization = ferrio_cpython::module(py, name!("anyio._core._synchronization"))?;
    let streams = ferrio_cpython::module(py, name!("anyio.streams.memory"))?;
    let abstract_streams = ferrio_cpython::module(py, name!("anyio.abc._streams"))?;
    let classes: [(&Bound<'py, PyModule>, &str, &ExactType, Replace); 7] = [
        (module, "Event", &event::CLASS, event::replace),
        (module, "Lock", &lock::CLASS, lock::replace),
        (module, "Semaphore", &semaphore::CLASS, semaphore::replace),
        (module, "CapacityLimiter", &limiter_tokens::CLASS, capacity_limiter::replace),
        (&synchronization, "Condition", &condition::CLASS, condition::replace),
        (&streams, "MemoryObjectSendStream", &sending::CLASS, sending::replace),
        (&streams, "MemoryObjectReceiveStream", &receiving::CLASS, receiving::replace),
    ];
    let lists = Lists::new(py);
    let is_latest = backend::does_as_4_16();
    for (owner, name, exact, replace) in classes {
        if !is_latest && CHANGED_IN_4_16.contains(&name) {
            continue;
        }
        let class = owner.getattr(name)?.cast_into::<PyType>()?;
        exact.set(&class);
        replace(&Methods::of(class, owner, &lists)?)?;
    }
    let inherited: [(&Bound<'py, PyModule>, &str, Replace); 4] = [
        (&synchronization, "Event", event::replace_new),
        (&synchronization, "Lock", async_with::replace_of_lock),
        (&synchronization, "Semaphore", async_with::replace_of_semaphore),
        (&abstract_streams, "UnreliableObjectReceiveStream", receiving::replace_iteration),
    ];
    for (owner, name, replace) in inherited {
        if !is_latest && CHANGED_IN_4_16.contains(&name) {
            continue;
        }
        replace(&Methods::of(owner.getattr(name)?.cast_into::<PyType>()?, owner, &lists)?)?;
    }
    if is_latest {
        new_streams::replace(py, &lists)?;
    }
    lists.keep(module)
}
