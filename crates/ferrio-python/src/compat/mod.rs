//! Differences in behaviour between the asyncio of Python releases.

pub(crate) mod locks;
pub(crate) mod task_groups;
