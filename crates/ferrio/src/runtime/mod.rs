//! The runtime: runs tasks in turns on the thread that it was made on.

pub(crate) mod call;
pub(crate) mod choices;
mod chosen_turn;
pub(crate) mod current;
mod handle;
mod inbox;
pub(crate) mod io_driver;
pub(crate) mod local;
pub(crate) mod slots;
mod sync;
pub(crate) mod task_waker;
pub(crate) mod timer;
pub(crate) mod waking;

use std::cell::Cell;
use std::fmt;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

pub use handle::{Closed, Handle};

use crate::error::RunError;

use choices::Choices;
use local::{Clock, Local};
use task_waker::{Key, TaskWaker};

/// Names a task. No other task of the same runtime has the same name while the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TaskId(pub(crate) Key);

/// Runs `future` on this thread until it is done, with a runtime of its own.
///
/// Then the tasks that are left are dropped, in the order they were spawned, and calls in threads end.
///
/// # Errors
///
/// Fails if a runtime runs on this thread already, if it is stopped, or if the system lacks descriptors.
///
/// # Panics
///
/// Panics if `future` does; a panic in a task becomes an error of its handle.
///
/// ```
/// assert_eq!(ferrio::run(async { 6 * 7 })?, 42);
///
/// // A run inside a run is an error.
/// let inner = ferrio::run(async { ferrio::run(async {}) })?;
/// assert!(matches!(inner, Err(ferrio::RunError::Nested)));
/// # Ok::<(), ferrio::RunError>(())
/// ```
pub fn run<F: Future>(future: F) -> Result<F::Output, RunError> {
    // Before the runtime, so that it is dropped after it if it was not polled.
    if current::is_entered() {
        return Err(RunError::Nested);
    }
    Runtime::new().run_until(future)
}

/// Runs tasks on the thread that it was made on, when it is asked to.
///
/// Dropping it drops its tasks, in the order they were spawned; who awaits one gets
/// [`TaskError::Cancelled`](crate::TaskError::Cancelled). Then it waits for the calls that
/// [`to_thread`](crate::to_thread) began.
///
/// ```
/// let runtime = ferrio::Runtime::new();
/// let task = runtime.spawn(async { 6 });
/// let answer = runtime.run_until(async { 7 * task.await.expect("it has a result") })?;
/// assert_eq!(answer, 42);
/// # Ok::<(), ferrio::RunError>(())
/// ```
pub struct Runtime {
    local: Rc<Local>,
}

impl Runtime {
    /// A runtime without tasks. What it needs from the system it gets when it first waits.
    #[must_use]
    pub fn new() -> Self {
        Self { local: Local::new(Clock::System, None) }
    }

    /// A runtime whose time begins at 0 and jumps to the next deadline when there is nothing to do.
    pub(crate) fn with_virtual_time() -> Self {
        Self { local: Local::new(Clock::Virtual(Cell::new(0)), None) }
    }

    /// The same, and what happens around the loop is chosen.
    pub(crate) fn with_choices(choices: Choices) -> Self {
        Self { local: Local::new(Clock::Virtual(Cell::new(0)), Some(choices)) }
    }

    pub(crate) const fn local(&self) -> &Rc<Local> {
        &self.local
    }

    /// Runs until `future` is done. Tasks that are left stay, and go on in the next run.
    ///
    /// # Errors
    ///
    /// Fails if a runtime runs on this thread already, if it is stopped, or if the system lacks descriptors.
    ///
    /// ```
    /// let runtime = ferrio::Runtime::new();
    /// let handle = runtime.handle();
    /// let stopped = runtime.run_until(async move {
    ///     handle.stop().expect("the runtime exists");
    ///     std::future::pending::<()>().await;
    /// });
    /// assert!(matches!(stopped, Err(ferrio::RunError::Stopped)));
    /// ```
    pub fn run_until<F: Future>(&self, future: F) -> Result<F::Output, RunError> {
        let _entered = self.enter()?;
        let mut future = pin!(future);
        let wake = TaskWaker::new(Key::MAIN, self.local.shared());
        let waker = Waker::from(std::sync::Arc::clone(&wake));
        self.local.queue(Key::MAIN);
        let mut outcome = None;
        while outcome.is_none() {
            self.turn_once(None, &mut || {
                wake.begin_step();
                // A wake-up of an earlier run's future may still be queued.
                if outcome.is_none()
                    && let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
                {
                    outcome = Some(output);
                }
            })?;
            if self.local.stopping().take() {
                break;
            }
        }
        outcome.ok_or(RunError::Stopped)
    }

    /// Runs until [`Handle::stop`] is called.
    ///
    /// # Errors
    ///
    /// Fails if a runtime runs on this thread already, or if the system lacks descriptors.
    ///
    /// ```
    /// let runtime = ferrio::Runtime::new();
    /// let handle = runtime.handle();
    /// let task = runtime.spawn(async move { handle.stop() });
    /// runtime.run_forever()?;
    /// assert!(task.is_done());
    /// # Ok::<(), ferrio::RunError>(())
    /// ```
    pub fn run_forever(&self) -> Result<(), RunError> {
        let _entered = self.enter()?;
        while !self.local.stopping().take() {
            self.turn_once(None, &mut || {})?;
        }
        Ok(())
    }

    /// One turn: waits at most `limit` if nothing is ready, without end if it is None, then runs what is ready.
    ///
    /// # Errors
    ///
    /// Fails if a runtime runs on this thread already, or if the system lacks descriptors.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let runtime = ferrio::Runtime::new();
    /// let task = runtime.spawn(async {});
    /// runtime.turn(Some(Duration::ZERO))?;
    /// assert!(task.is_done());
    /// # Ok::<(), ferrio::RunError>(())
    /// ```
    pub fn turn(&self, limit: Option<Duration>) -> Result<(), RunError> {
        let _entered = self.enter()?;
        Ok(self.turn_once(limit, &mut || {})?)
    }

    /// `main` polls the future that the run is for.
    #[inline]
    fn turn_once(&self, limit: Option<Duration>, main: &mut dyn FnMut()) -> io::Result<()> {
        match self.local.choices() {
            None => self.local.turn(limit, main),
            Some(choices) => chosen_turn::turn(&self.local, choices, main),
        }
    }

    /// What other threads need to reach this runtime.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(self.local.shared())
    }

    fn enter(&self) -> Result<current::Entered, RunError> {
        if current::is_entered() {
            return Err(RunError::Nested);
        }
        // A panic of an earlier run's future may have left it set.
        self.local.current().set(None);
        Ok(current::enter(&self.local))
    }
}

impl Default for Runtime {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // Destructors may use the runtime: they may cancel, wake and deregister.
        let _entered = current::enter(&self.local);
        self.local.close();
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Runtime").finish_non_exhaustive()
    }
}
