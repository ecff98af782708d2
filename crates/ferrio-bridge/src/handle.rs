//! Running code on the loop from other threads.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use pyo3::prelude::*;

use crate::inbox::{Inbox, Message};
use crate::loop_bridge::LoopBridge;
use crate::native;
use crate::panics::for_python;

/// Sends code to the event loop, from any thread and without the interpreter's lock.
///
/// What several threads send before the loop looks is run in one turn, after one wake-up. A handle may outlive its loop
/// and the interpreter.
///
/// ```no_run
/// use ferrio_bridge::Handle;
/// use pyo3::prelude::*;
///
/// /// Calls `function` with a number that another thread computes.
/// #[pyfunction]
/// fn compute(py: Python<'_>, function: Py<PyAny>) -> PyResult<()> {
///     let handle = Handle::current(py)?;
///     std::thread::spawn(move || {
///         let number = (1..=20_u64).product::<u64>();
///         // Fails if the loop is closed, and then no one wants the number.
///         let _ = handle.run(move |py| function.call1(py, (number,)).map(drop));
///     });
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Handle {
    inbox: Arc<Inbox>,
}

/// The event loop is closed, so it runs no more code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl Handle {
    /// A handle of the loop that runs on this thread.
    ///
    /// # Errors
    /// `RuntimeError` if none does.
    pub fn current(py: Python<'_>) -> PyResult<Self> {
        for_python(py, || {
            let bridge = LoopBridge::of(&native::running_loop(py)?)?;
            Ok(Self { inbox: Arc::clone(&bridge.get().inbox) })
        })
    }

    /// Runs `code` on the loop's thread in one of its next turns, in the order of the calls. What it raises goes to the
    /// loop's exception handler.
    ///
    /// # Errors
    /// [`Closed`] if the loop is closed; then `code` is dropped. So it is if the loop closes before it runs it.
    pub fn run(&self, code: impl FnOnce(Python<'_>) -> PyResult<()> + Send + 'static) -> Result<(), Closed> {
        self.inbox.push(Message::Run(Box::new(code))).map_err(|_| Closed)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the event loop is closed")
    }
}

impl Error for Closed {}
