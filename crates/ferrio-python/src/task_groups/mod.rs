//! Task groups, as in asyncio's `taskgroups.py`.
//!
//! `group.rs` holds the group's state and methods, `create_task.rs` the creation of tasks, `attributes.rs` the
//! attributes that programs read, `enter.rs` and `exit.rs` the coroutines of `async with`, `cancel.rs` `cancel()`;
//! `compat/task_groups.rs` describes the differences between Pythons.

mod attributes;
mod cancel;
mod create_task;
mod enter;
mod exit;
pub(crate) mod group;

use pyo3::prelude::*;

use crate::locks::add_class;

/// Adds the class to the extension module.
pub(crate) fn add_classes(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // asyncio's behaviour is inspected now, before `install()` replaces its class by this one.
    crate::compat::task_groups::behavior(module.py())?;
    group::CLASS.set(&module.py().get_type::<group::TaskGroup>());
    add_class::<group::TaskGroup>(module, &["__aenter__", "__aexit__"])
}
