//! Code that the other folders share: imports, numbers, timers, and coroutines written as `async` blocks.

pub(crate) mod async_block;
pub(crate) mod blocking_frame;
pub(crate) mod close_guard;
pub(crate) mod imports;
pub(crate) mod noted;
pub(crate) mod numbers;
pub(crate) mod slices;
pub(crate) mod timer;
