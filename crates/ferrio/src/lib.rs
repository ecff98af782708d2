//! asyncio's vocabulary for Rust: tasks, locks, queues, timeouts, sockets and child processes on one thread.
//!
//! Futures run on the thread that calls [`run`], need not be `Send`, and share data by [`Rc`](std::rc::Rc) and
//! [`Cell`](std::cell::Cell). Wakers may be used from any thread, so futures of other libraries work too. Names and
//! rules are asyncio's where Rust has no stronger convention; cancelling a task drops its future.
//!
//! ```
//! use std::time::Duration;
//!
//! let answer = ferrio::run(async {
//!     let task = ferrio::spawn(async {
//!         ferrio::sleep(Duration::from_millis(1)).await;
//!         6
//!     });
//!     7 * task.await.expect("it neither panics nor is cancelled")
//! })?;
//! assert_eq!(answer, 42);
//! # Ok::<(), ferrio::RunError>(())
//! ```
#![forbid(unsafe_code)]

mod error;
pub mod io;
mod locks;
pub mod net;
pub mod process;
mod queues;
mod runtime;
pub mod signal;
mod task;
mod tasks;
pub mod testing;
mod threads;
pub mod time;

pub use error::{Cancelled, Failure, Panic, RunError, TaskError};
pub use locks::{
    Acquire, AcquirePermit, Barrier, BarrierWait, BrokenBarrier, Condition, Event, Lock, LockGuard, Permit, Semaphore,
    WaitBarrier, WaitEvent,
};
pub use queues::{
    Fifo, Get, Heap, LifoQueue, OrderedQueue, PriorityQueue, Put, PutError, Queue, QueueShutDown, Stack, Storage,
    TryGetError, TryPutError,
};
pub use runtime::{Closed, Handle, Runtime, TaskId, run};
pub use task::{CancelOnDrop, Canceller, Task, current_task, spawn};
pub use tasks::{
    AsCompleted, Gather, GroupError, ReturnWhen, TaskGroup, as_completed, gather, join_all, shield, task_group, wait,
};
pub use threads::{ToThread, to_thread};
pub use time::{sleep, timeout, yield_now};
