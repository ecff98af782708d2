//! What `bell.rs` and `sleep_state.rs` take from the standard library; the loom tests put loom's in its place.

pub(crate) use std::sync::Arc;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
