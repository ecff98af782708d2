//! Tasks and futures: making them, and asyncio's functions about them.
//!
//! A file for each section of asyncio's manual on them. Functions follow the running Python's; what differs between
//! versions is asked of the interpreter's own function where patch releases differ too.

pub(crate) mod chaining;
pub(crate) mod completion;
mod creating;
mod eager;
mod ensuring;
mod extending;
mod gathering;
mod introspection;
mod making;
mod shielding;
pub(crate) mod threads;
mod waiters;

use pyo3::prelude::*;

use crate::imports;

pub(crate) use chaining::wrap_future;
pub(crate) use ensuring::{ensure, wrap_awaitable};
pub(crate) use gathering::gather_all;

/// Adds the functions to the extension module.
pub(crate) fn add_functions(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(ensuring::isfuture, module)?)?;
    module.add_function(wrap_pyfunction!(ensuring::iscoroutine, module)?)?;
    module.add_function(wrap_pyfunction!(ensuring::ensure_future, module)?)?;
    module.add_function(wrap_pyfunction!(gathering::gather, module)?)?;
    module.add_function(wrap_pyfunction!(shielding::shield, module)?)?;
    module.add_function(wrap_pyfunction!(completion::as_completed, module)?)?;
    module.add_function(wrap_pyfunction!(chaining::wrap_future, module)?)?;
    module.add_function(wrap_pyfunction!(threads::run_coroutine_threadsafe, module)?)?;
    module.add_function(wrap_pyfunction!(introspection::current_task, module)?)?;
    module.add_function(wrap_pyfunction!(introspection::all_tasks, module)?)?;
    module.add_function(wrap_pyfunction!(extending::_register_task, module)?)?;
    module.add_function(wrap_pyfunction!(extending::_unregister_task, module)?)?;
    module.add_function(wrap_pyfunction!(extending::_enter_task, module)?)?;
    module.add_function(wrap_pyfunction!(extending::_leave_task, module)?)?;
    if creating::takes_any(module.py())? {
        module.add_function(wrap_pyfunction!(creating::create_any_task, module)?)?;
    } else {
        module.add_function(wrap_pyfunction!(creating::create_named_task, module)?)?;
    }
    if imports::python_version(module.py()) >= (3, 12) {
        add_eager_functions(module)?;
    }
    if imports::python_version(module.py()) >= (3, 14) {
        module.add_function(wrap_pyfunction!(waiters::future_add_to_awaited_by, module)?)?;
        module.add_function(wrap_pyfunction!(waiters::future_discard_from_awaited_by, module)?)?;
    }
    Ok(())
}

/// What came with Python 3.12.
fn add_eager_functions(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(extending::_register_eager_task, module)?)?;
    module.add_function(wrap_pyfunction!(extending::_unregister_eager_task, module)?)?;
    module.add_function(wrap_pyfunction!(extending::_swap_current_task, module)?)?;
    module.add("eager_task_factory", eager::eager_task_factory(module.py())?)
}
