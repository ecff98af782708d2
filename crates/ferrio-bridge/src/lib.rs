//! Rust futures as asyncio tasks, on the event loop's own thread.
//!
//! An extension written with `PyO3` returns [`spawn_local`]'s task, or [`coroutine`]'s coroutine, from a plain function;
//! Python awaits it. The future is polled by the running event loop, inside the task's step: there is no second
//! runtime, no other thread and no need for `Send`. [`await_py`] awaits any Python awaitable from Rust.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use ferrio_bridge::{await_py, sleep, spawn_local};
//! use pyo3::prelude::*;
//!
//! /// `task = double_later(awaitable)` in Python.
//! #[pyfunction]
//! fn double_later<'py>(py: Python<'py>, awaitable: Py<PyAny>) -> PyResult<Bound<'py, PyAny>> {
//!     spawn_local(py, async move {
//!         sleep(Duration::from_millis(10)).await;
//!         let value = await_py(awaitable).await?;
//!         let number: i64 = Python::attach(|py| value.extract(py))?;
//!         Ok::<i64, PyErr>(2 * number)
//!     })
//! }
//! ```
//!
//! It works on every event loop of asyncio; on ferrio's (`pip install ferrio`) it uses fewer and cheaper calls.
//!
//! * **Cancelling** a task drops its future, on the loop's thread, before whoever awaits the task sees `CancelledError`.
//!   A future that waits in one [`await_py`] has the exception raised in the Python code that it awaits, and then in
//!   its own, as Python's `await` does.
//! * **A panic** becomes `RuntimeError`, an error of that task alone.
//! * **Other threads** wake futures by their wakers, and run code on the loop through a [`Handle`]. They never attach to
//!   the interpreter for that, so they may outlive it.
//! * **The loop's end** drops what is left, in the order of creation, on the thread that closes the loop.
#![forbid(unsafe_code)]

mod abandoned;
mod async_fd;
mod asyncio;
mod await_py;
mod bare_wait;
mod callback;
mod coroutine;
mod forks;
mod futures;
mod handle;
mod inbox;
mod interpreter;
mod loop_bridge;
mod messages;
mod native;
mod notify;
mod panics;
mod polling;
mod sleep;
mod spawn;
mod sync;
mod task_waker;
mod wake_state;

pub use async_fd::AsyncFd;
pub use await_py::{AwaitPy, await_py};
pub use bare_wait::yield_now;
pub use handle::{Closed, Handle};
pub use interpreter::check_interpreter;
pub use notify::{Notified, Notify};
pub use sleep::{Sleep, sleep};
pub use spawn::{coroutine, spawn_local};
