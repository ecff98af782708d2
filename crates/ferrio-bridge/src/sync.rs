//! What `messages.rs` and `wake_state.rs` take from the standard library; the loom tests put loom's in its place.

pub(crate) use std::sync::{Mutex, MutexGuard};
