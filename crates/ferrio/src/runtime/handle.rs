//! Handles: what other threads may do with a runtime.

use std::fmt;
use std::sync::Arc;

use super::current;
use super::task_waker::{Message, Shared};

/// Reaches a runtime from any thread.
///
/// ```
/// use std::thread;
///
/// ferrio::run(async {
///     let (sender, receiver) = std::sync::mpsc::channel();
///     let handle = ferrio::Handle::current();
///     let thread = thread::spawn(move || {
///         handle.call_soon_threadsafe(move || sender.send(6 * 7).expect("it is received"))
///     });
///     thread.join().expect("it does not panic").expect("the runtime runs");
///     ferrio::yield_now().await;
///     ferrio::yield_now().await;
///     assert_eq!(receiver.recv(), Ok(42));
/// })?;
/// # Ok::<(), ferrio::RunError>(())
/// ```
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

/// The runtime is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the runtime is gone")
    }
}

impl std::error::Error for Closed {}

impl Handle {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared) }
    }

    /// The handle of the runtime that runs on this thread.
    ///
    /// # Panics
    ///
    /// Panics if none runs.
    #[must_use]
    #[track_caller]
    pub fn current() -> Self {
        Self::new(current::expect("Handle::current").shared())
    }

    /// Has `function` called on the runtime's thread, after what is ready there.
    ///
    /// # Errors
    ///
    /// Fails if the runtime is gone.
    pub fn call_soon_threadsafe(&self, function: impl FnOnce() + Send + 'static) -> Result<(), Closed> {
        self.shared.post(Message::Call(Box::new(function))).map_err(|_| Closed)
    }

    /// Ends the run after the turn that is under way. [`Runtime::run_until`](crate::Runtime::run_until) then fails,
    /// and [`Runtime::run_forever`](crate::Runtime::run_forever) returns; both have an example.
    ///
    /// # Errors
    ///
    /// Fails if the runtime is gone.
    pub fn stop(&self) -> Result<(), Closed> {
        let is_own = current::with(|local| {
            let is_own = Arc::ptr_eq(local.shared(), &self.shared);
            local.stopping().set(is_own || local.stopping().get());
            is_own
        });
        if is_own == Some(true) {
            return Ok(());
        }
        self.shared.post(Message::Stop).map_err(|_| Closed)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Handle").finish_non_exhaustive()
    }
}
