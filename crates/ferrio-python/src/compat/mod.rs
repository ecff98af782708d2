//! Where the asyncio of one Python release behaves differently from another's: what the primitives ask.

pub(crate) mod locks;
pub(crate) mod task_groups;
