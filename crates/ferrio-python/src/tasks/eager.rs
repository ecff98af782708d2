//! `eager_task_factory`: tasks that run up to their first wait when they are created.
//!
//! It is a Python function, the result of asyncio's own `create_eager_task_factory` for ferrio's `Task`: libraries
//! recognise such factories by their `__code__` and take the constructor from their `__closure__` (anyio does, to start
//! its tasks later). ferrio's loop recognises this factory and creates the tasks without calling it
//! (`ferrio_cpython::objects::create_task`).

use ferrio_cpython::objects::task;
use pyo3::prelude::*;

use crate::common::imports;

pub(super) fn eager_task_factory(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let factory =
        imports::tasks_module(py)?.getattr(name!("create_eager_task_factory"))?.call1((task::task_type(py)?,))?;
    let text = "Make a task of ferrio's that runs up to its first wait at once: for `loop.set_task_factory()`.";
    factory.setattr(name!("__doc__"), text)?;
    Ok(factory)
}
