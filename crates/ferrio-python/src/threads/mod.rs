//! Worker threads: a `ThreadPoolExecutor` whose queue, workers and jobs of a loop are in Rust.
//!
//! The pool keeps to the protocol of `concurrent.futures.thread`: its queue is the executor's `_work_queue`, a worker is
//! a `threading.Thread` in `_threads` and `_threads_queues`, and None in the queue ends workers. So `submit`, `shutdown`
//! and the interpreter's exit are those of the standard library. What a loop runs in its threads is a `Job`: no future
//! of `concurrent.futures` with its condition and lock, and no callback between it and the loop's future.

pub(crate) mod executor;
pub(crate) mod job;
pub(crate) mod job_queue;
pub(crate) mod running;
mod stock;
pub(crate) mod worker;
