//! Tasks and futures: their creation, and asyncio's functions for them.
//!
//! One file for each section of asyncio's manual on them. The functions follow the running Python's; where even patch
//! releases differ, the interpreter's own function is inspected.

pub(crate) mod as_completed;
mod call_graph;
pub(crate) mod create_task;
mod eager;
mod ensure_future;
mod gather;
mod introspection;
mod registration;
mod shield;
pub(crate) mod sleep;
pub(crate) mod threadsafe;
pub(crate) mod wait;
pub(crate) mod wait_for;
pub(crate) mod wrap_future;

use pyo3::prelude::*;

use crate::common::imports;

pub(crate) use ensure_future::{ensure, wrap_awaitable};
pub(crate) use gather::gather_all;

/// Adds the functions to the extension module.
pub(crate) fn add_functions(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(ensure_future::isfuture, module)?)?;
    module.add_function(wrap_pyfunction!(ensure_future::iscoroutine, module)?)?;
    module.add_function(wrap_pyfunction!(ensure_future::ensure_future, module)?)?;
    module.add_function(wrap_pyfunction!(gather::gather, module)?)?;
    module.add_function(wrap_pyfunction!(shield::shield, module)?)?;
    module.add_function(wrap_pyfunction!(as_completed::as_completed, module)?)?;
    module.add_function(wrap_pyfunction!(wrap_future::wrap_future, module)?)?;
    module.add_function(wrap_pyfunction!(threadsafe::run_coroutine_threadsafe, module)?)?;
    module.add_function(wrap_pyfunction!(introspection::current_task, module)?)?;
    module.add_function(wrap_pyfunction!(introspection::all_tasks, module)?)?;
    module.add_function(wrap_pyfunction!(registration::_register_task, module)?)?;
    module.add_function(wrap_pyfunction!(registration::_unregister_task, module)?)?;
    module.add_function(wrap_pyfunction!(registration::_enter_task, module)?)?;
    module.add_function(wrap_pyfunction!(registration::_leave_task, module)?)?;
    if create_task::takes_any(module.py())? {
        module.add_function(wrap_pyfunction!(create_task::create_any_task, module)?)?;
    } else {
        module.add_function(wrap_pyfunction!(create_task::create_named_task, module)?)?;
    }
    if imports::python_version(module.py()) >= (3, 12) {
        add_eager_functions(module)?;
    }
    if imports::python_version(module.py()) >= (3, 14) {
        module.add_function(wrap_pyfunction!(call_graph::future_add_to_awaited_by, module)?)?;
        module.add_function(wrap_pyfunction!(call_graph::future_discard_from_awaited_by, module)?)?;
    }
    Ok(())
}

/// Adds the functions that exist since Python 3.12.
fn add_eager_functions(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(registration::_register_eager_task, module)?)?;
    module.add_function(wrap_pyfunction!(registration::_unregister_eager_task, module)?)?;
    module.add_function(wrap_pyfunction!(registration::_swap_current_task, module)?)?;
    module.add("eager_task_factory", eager::eager_task_factory(module.py())?)
}
