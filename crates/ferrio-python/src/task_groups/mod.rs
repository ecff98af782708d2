//! Task groups, as in asyncio's `taskgroups.py`.
//!
//! The group's state and its methods are in `group.rs`, the attributes that programs read in `attributes.rs`, what
//! `async with` awaits in `entering.rs` and `leaving.rs`, `cancel()` in `cancelling.rs`; `style.rs` has what differs between Pythons.

mod attributes;
mod cancel;
mod enter;
mod exit;
pub(crate) mod group;

use pyo3::prelude::*;

use crate::locks::add_class;

/// Adds the class to the extension module.
pub(crate) fn add_classes(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // What asyncio does is looked at now, before install() puts this class in its place.
    crate::compat::task_groups::behavior(module.py())?;
    group::CLASS.set(&module.py().get_type::<group::TaskGroup>());
    add_class::<group::TaskGroup>(module, &["__aenter__", "__aexit__"])
}
