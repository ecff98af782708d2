//! The hot objects: futures, tasks, handles, coroutines, and the scheduling half of a loop.
//!
//! They refer to one another: a task is a future, a loop runs handles and steps tasks, a coroutine awaits futures.

pub mod async_with;
pub mod bridge;
pub mod coroutine;
pub mod coroutine_check;
pub mod create_task;
pub mod current;
pub mod failures;
pub mod future;
pub mod handle;
pub mod loop_base;
pub mod loop_flags;
pub mod native_methods;
pub mod recording;
pub mod runnable;
pub mod scheduling;
pub mod task;
pub mod task_factory;
pub mod waiter;
pub mod watching;
