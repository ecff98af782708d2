//! Blocking calls in threads.

mod pool;
mod to_thread;

pub use to_thread::{ToThread, to_thread};
