//! anyio's asyncio backend, natively: what `install()` puts in the place of methods of anyio's class `AsyncIOBackend`.
//!
//! Each part is a function with the name and the arguments of the method that it replaces. It serves tasks on ferrio's
//! loops; on any other loop, and where none runs, it calls anyio's own method (`backend.rs`). `python/ferrio/_anyio.py`
//! decides for which versions of anyio the parts are put in place.

mod acquiring;
mod async_with;
pub(crate) mod backend;
mod capacity_limiter;
mod checkpoints;
mod clock;
mod condition;
mod event;
pub(crate) mod fail_after;
mod functions;
pub(crate) mod groups;
mod limiter_acquire;
mod limiter_tokens;
mod lock;
pub(crate) mod lookup;
mod members;
mod memory_stream;
mod new_streams;
mod originals;
mod primitives;
mod receiving;
pub(crate) mod scopes;
mod scopes_of_tasks;
mod semaphore;
mod sending;
mod serving;
mod stream_attributes;
mod stream_ends;
pub(crate) mod stream_state;
pub(crate) mod stream_waits;
pub(crate) mod task_states;
pub(crate) mod threads;

use ferrio_cpython::capi::coroutine_function::mark;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Adds the table of parts, by the names of the methods that they replace, and what puts them to use.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    for class in [
        py.get_type::<scopes::CancelScope>(),
        py.get_type::<groups::TaskGroup>(),
        py.get_type::<groups::TaskHandle>(),
        py.get_type::<groups::TaskStatus>(),
        py.get_type::<task_states::TaskState>(),
    ] {
        // Without the module, as in the interpreter's messages about Python classes.
        class.setattr(name!("__name__"), class.name()?)?;
    }
    scopes::with_block::add_methods(py)?;
    fail_after::add_methods(py)?;
    mark(py.get_type::<groups::TaskGroup>().as_any(), &["__aenter__", "__aexit__", "start"])?;
    mark(py.get_type::<groups::TaskHandle>().as_any(), &["wait"])?;
    let parts = PyDict::new(py);
    for part in [
        wrap_pyfunction!(clock::current_time, module)?,
        wrap_pyfunction!(checkpoints::checkpoint, module)?,
        wrap_pyfunction!(checkpoints::sleep, module)?,
        wrap_pyfunction!(checkpoints::checkpoint_if_cancelled, module)?,
        wrap_pyfunction!(checkpoints::cancel_shielded_checkpoint, module)?,
        wrap_pyfunction!(clock::current_effective_deadline, module)?,
        wrap_pyfunction!(scopes::create_cancel_scope, module)?,
        wrap_pyfunction!(groups::create_task_group, module)?,
        wrap_pyfunction!(event::create_event, module)?,
        wrap_pyfunction!(threads::run_sync_in_worker_thread, module)?,
    ] {
        parts.set_item(part.getattr(name!("__name__"))?, part)?;
    }
    module.add("_anyio_parts", parts)?;
    module.add("_anyio_functions", functions::table(module)?)?;
    module.add_function(wrap_pyfunction!(functions::in_place_of, module)?)?;
    module.add_function(wrap_pyfunction!(scopes::is_cancellation_of_a_scope, module)?)?;
    module.add_function(wrap_pyfunction!(lookup::get_async_backend, module)?)?;
    module.add_function(wrap_pyfunction!(task_states::task_state, module)?)?;
    module.add_function(wrap_pyfunction!(task_states::set_task_state, module)?)?;
    module.add_function(wrap_pyfunction!(primitives::primitives, module)?)?;
    module.add_function(wrap_pyfunction!(backend::begin, module)?)
}
