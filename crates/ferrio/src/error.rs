//! The errors of runs and tasks.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};

/// Why a task has no result although it did not panic: it was cancelled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cancelled {
    message: Option<Cow<'static, str>>,
}

impl Cancelled {
    pub(crate) fn because(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: Some(message.into()) }
    }

    /// The message given to [`Task::cancel_with`](crate::Task::cancel_with).
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(formatter, "the task was cancelled: {message}"),
            None => formatter.write_str("the task was cancelled"),
        }
    }
}

impl std::error::Error for Cancelled {}

/// Why a task has no result.
///
/// ```
/// use ferrio::TaskError;
///
/// ferrio::run(async {
///     let task = ferrio::spawn(std::future::pending::<()>());
///     task.cancel_with("no longer needed");
///     let error = task.await.expect_err("it was cancelled");
///     assert_eq!(error.to_string(), "the task was cancelled: no longer needed");
///     assert!(matches!(error, TaskError::Cancelled(_)));
/// })?;
/// # Ok::<(), ferrio::RunError>(())
/// ```
#[derive(Debug)]
pub enum TaskError {
    /// It was cancelled, or its runtime was dropped.
    Cancelled(Cancelled),
    /// It panicked.
    Panicked(Panic),
}

/// What a panic left.
///
/// ```
/// ferrio::run(async {
///     let error = ferrio::spawn(async { panic!("out of luck") }).await.expect_err("it panicked");
///     let panic = error.into_panic().expect("it is no cancellation");
///     assert_eq!(panic.text().as_deref(), Some("out of luck"));
///     let payload = panic.into_payload(); // for `std::panic::resume_unwind`
///     assert!(payload.is::<&str>());
/// })?;
/// # Ok::<(), ferrio::RunError>(())
/// ```
pub struct Panic {
    /// A mutex makes it `Sync`.
    payload: Mutex<Box<dyn Any + Send>>,
}

impl Panic {
    pub(crate) const fn new(payload: Box<dyn Any + Send>) -> Self {
        Self { payload: Mutex::new(payload) }
    }

    /// The value that was panicked with, for `std::panic::resume_unwind`.
    #[must_use]
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.payload.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its text, if the value is one.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let payload = self.payload.lock().unwrap_or_else(PoisonError::into_inner);
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| payload.downcast_ref::<String>().cloned())
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Panic").field(&self.text()).finish()
    }
}

impl TaskError {
    pub(crate) fn panicked(payload: Box<dyn Any + Send>) -> Self {
        Self::Panicked(Panic::new(payload))
    }

    /// Whether the task was cancelled.
    #[must_use]
    pub const fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled(_))
    }

    /// Whether the task panicked.
    #[must_use]
    pub const fn is_panic(&self) -> bool {
        matches!(self, Self::Panicked(_))
    }

    /// The panic.
    ///
    /// # Errors
    ///
    /// The error itself, if the task was cancelled.
    pub fn into_panic(self) -> Result<Panic, Self> {
        match self {
            Self::Panicked(panic) => Ok(panic),
            Self::Cancelled(_) => Err(self),
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(cancelled) => cancelled.fmt(formatter),
            Self::Panicked(panic) => match panic.text() {
                Some(text) => write!(formatter, "the task panicked: {text}"),
                None => formatter.write_str("the task panicked"),
            },
        }
    }
}

impl std::error::Error for TaskError {}

impl From<Cancelled> for TaskError {
    fn from(cancelled: Cancelled) -> Self {
        Self::Cancelled(cancelled)
    }
}

/// Why a task of a [`gather`](crate::gather) or a [`task_group`](crate::task_group) failed.
#[derive(Debug)]
pub enum Failure<E> {
    /// Its future returned this error.
    Error(E),
    /// It panicked or was cancelled.
    Task(TaskError),
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(formatter),
            Self::Task(error) => error.fmt(formatter),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for Failure<E> {}

/// Why a run ended without the result of its future.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// A runtime already runs on this thread: await the future instead.
    Nested,
    /// [`Handle::stop`](crate::Handle::stop) was called before the future was done.
    Stopped,
    /// The system refused a poller, a pipe or a wait.
    System(io::Error),
}

impl fmt::Display for RunError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nested => formatter.write_str("a runtime already runs on this thread; await the future instead"),
            Self::Stopped => formatter.write_str("the runtime stopped before the future was done"),
            Self::System(error) => write!(formatter, "the runtime cannot wait for events: {error}"),
        }
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::System(error) => Some(error),
            Self::Nested | Self::Stopped => None,
        }
    }
}

impl From<io::Error> for RunError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}
