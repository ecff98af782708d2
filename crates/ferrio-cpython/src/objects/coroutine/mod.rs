//! Coroutine objects whose body is a state machine in Rust.
//!
//! A coroutine is lazy until first resumed, has `send`, `throw`, `close` and `__await__`, and warns when it is never
//! awaited: tasks, `await` and `asyncio.iscoroutine` treat it as one of Python's. Its body (`Body`) is a value that is
//! resumed again and again until it returns or raises; it waits for other awaitables through an `Awaiting`.
//!
//! Invariant: only the code that resumes a body touches it; a second resumption meanwhile is refused, and the collector
//! leaves a running body alone. `object.rs` has the creation and resumption, `lifetime.rs` the end of objects,
//! `methods.rs` the Python interface, `erased_body.rs` the storage of bodies.

mod awaiter;
mod erased_body;
pub(crate) mod frame;
mod lifetime;
mod methods;
mod object;
pub mod origin;

use pyo3::prelude::*;

pub use crate::capi::visitor::Visitor;
pub use awaiter::Awaiting;
pub(crate) use object::{adopt, coroutine_type_pointer, name_of};
pub use object::{coroutine_type, spawn};

use crate::capi::resume::Step;

/// The state machine of a coroutine.
pub trait Body: Send + 'static {
    /// Whether it owns `Py`s, which are released at once only while `PyO3` has recorded that the thread is attached.
    /// Bodies of hot operations own `OwnedRef`s instead and save that (benchmark `lock_uncontended`).
    const OWNS_PY: bool = true;

    /// Resumes with `input`: None at first and after a yield that needs no answer, an error when an exception is thrown
    /// in. At `close` that is a `GeneratorExit`, after which the body may not yield.
    ///
    /// # Errors
    /// Any exception that the coroutine raises; it is not resumed again then.
    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>>;

    /// What it returns if it need not wait: called by an `await` before the first resumption, unless the body owns
    /// `Py`s. None means that nothing was done, and `resume` will be called. A result returned this way costs a third
    /// less (benchmarks `queue_unbounded`, `lock_uncontended`).
    ///
    /// # Errors
    /// Any exception that the coroutine raises.
    #[inline]
    fn try_complete<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let _ = py;
        Ok(None)
    }

    /// Shows the collector the objects it holds. Runs no Python code.
    fn traverse(&self, visitor: &Visitor<'_>);

    /// The await in progress, for tools that inspect a running program.
    fn awaiting(&self) -> Option<&Awaiting> {
        None
    }
}
