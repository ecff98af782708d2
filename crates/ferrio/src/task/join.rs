//! Handles of tasks.
//!
//! A task and its handle share the place of the outcome. Invariant: an outcome is stored once and taken once; whoever
//! waits for it is woken after it is stored.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::mem::needs_drop;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use crate::error::{Cancelled, TaskError};
use crate::runtime::TaskId;
use crate::runtime::local::Local;
use crate::runtime::task_waker::Key;
use crate::runtime::waking::wake;

use super::bounded_drop::bounded_drop;

/// Where a task's outcome goes.
pub(super) struct Join<T> {
    outcome: RefCell<Option<Result<T, TaskError>>>,
    is_done: Cell<bool>,
    has_handle: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl<T> Join<T> {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            outcome: RefCell::new(None),
            is_done: Cell::new(false),
            has_handle: Cell::new(true),
            waker: RefCell::new(None),
        })
    }

    /// Stores the outcome and wakes who waits; without a handle, drops it.
    pub(super) fn complete(&self, outcome: Result<T, TaskError>) {
        self.is_done.set(true);
        if !self.has_handle.get() {
            // A panic of its destructor was reported by its hook, and there is nobody else to tell.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(outcome)));
            return;
        }
        *self.outcome.borrow_mut() = Some(outcome);
        let waker = self.waker.take();
        if let Some(waker) = waker {
            wake(waker);
        }
    }
}

/// The handle of a task: awaiting it returns the future's output, or why there is none.
///
/// Dropping it detaches the task, which goes on; see [`Task::cancel_on_drop`].
///
/// ```
/// ferrio::run(async {
///     let task = ferrio::spawn(async { panic!("out of luck") });
///     let error = task.await.expect_err("it panicked");
///     assert_eq!(error.to_string(), "the task panicked: out of luck");
/// })?;
/// # Ok::<(), ferrio::RunError>(())
/// ```
#[must_use = "dropping the handle detaches the task; `drop` says so"]
pub struct Task<T: 'static> {
    join: Rc<Join<T>>,
    key: Key,
    local: Weak<Local>,
}

impl<T> Task<T> {
    pub(super) const fn new(join: Rc<Join<T>>, key: Key, local: Weak<Local>) -> Self {
        Self { join, key, local }
    }

    /// Requests that the task ends: its next step drops its future, in the next turn.
    ///
    /// False if it is done already.
    ///
    /// ```
    /// ferrio::run(async {
    ///     let task = ferrio::spawn(std::future::pending::<()>());
    ///     assert!(task.cancel());
    ///     assert!(task.await.expect_err("it was cancelled").is_cancelled());
    /// })?;
    /// # Ok::<(), ferrio::RunError>(())
    /// ```
    #[expect(clippy::must_use_candidate, reason = "most callers know the answer")]
    pub fn cancel(&self) -> bool {
        self.canceller().cancel()
    }

    /// The same, with a message for who awaits the task.
    pub fn cancel_with(&self, message: impl Into<Cow<'static, str>>) -> bool {
        self.canceller().cancel_with(message)
    }

    /// Cancels the task later, without its handle.
    ///
    /// ```
    /// ferrio::run(async {
    ///     let task = ferrio::spawn(std::future::pending::<()>());
    ///     let canceller = task.canceller();
    ///     let other = ferrio::spawn(async move { canceller.cancel() });
    ///     assert!(task.await.expect_err("it was cancelled").is_cancelled());
    ///     assert!(other.await.expect("it has a result"));
    /// })?;
    /// # Ok::<(), ferrio::RunError>(())
    /// ```
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        Canceller { key: self.key, local: Weak::clone(&self.local) }
    }

    /// Whether the task has ended. The outcome is kept until it is awaited.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.join.is_done.get()
    }

    /// Names the task.
    #[must_use]
    pub const fn id(&self) -> TaskId {
        TaskId(self.key)
    }

    /// The same handle, but dropping it cancels the task.
    ///
    /// ```
    /// use std::rc::Rc;
    ///
    /// ferrio::run(async {
    ///     let resource = Rc::new(());
    ///     let copy = Rc::clone(&resource);
    ///     let task = ferrio::spawn(async move {
    ///         let _copy = copy;
    ///         std::future::pending::<()>().await
    ///     });
    ///     drop(task.cancel_on_drop());
    ///     ferrio::yield_now().await;
    ///     assert_eq!(Rc::strong_count(&resource), 1);
    /// })?;
    /// # Ok::<(), ferrio::RunError>(())
    /// ```
    pub const fn cancel_on_drop(self) -> CancelOnDrop<T> {
        CancelOnDrop(self)
    }

    /// Calls `look` with the outcome, if it is there.
    pub(crate) fn with_outcome<R>(&self, look: impl FnOnce(&Result<T, TaskError>) -> R) -> Option<R> {
        self.join.outcome.borrow().as_ref().map(look)
    }

    /// Has the waker of `context` woken when the task ends.
    pub(crate) fn register(&self, context: &Context<'_>) {
        let mut waker = self.join.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            let before = waker.replace(context.waker().clone());
            drop(waker);
            drop(before);
        }
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.is_done() {
            self.register(context);
            return Poll::Pending;
        }
        let outcome = self.join.outcome.take();
        Poll::Ready(outcome.expect("a task is not awaited again after its outcome was returned"))
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.join.has_handle.set(false);
        drop(self.join.waker.take());
        let outcome = self.join.outcome.take();
        match outcome {
            Some(outcome) if needs_drop::<T>() => bounded_drop(outcome),
            outcome => drop(outcome),
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Task").field("id", &self.id()).field("is_done", &self.is_done()).finish()
    }
}

/// The handle of a task that is cancelled when the handle is dropped; see [`Task::cancel_on_drop`].
#[must_use = "dropping the handle cancels the task"]
#[derive(Debug)]
pub struct CancelOnDrop<T: 'static>(Task<T>);

impl<T> Deref for CancelOnDrop<T> {
    type Target = Task<T>;

    fn deref(&self) -> &Task<T> {
        &self.0
    }
}

impl<T> DerefMut for CancelOnDrop<T> {
    fn deref_mut(&mut self) -> &mut Task<T> {
        &mut self.0
    }
}

impl<T> Future for CancelOnDrop<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl<T> Drop for CancelOnDrop<T> {
    fn drop(&mut self) {
        if !self.0.is_done() {
            self.0.cancel();
        }
    }
}

/// Cancels a task, whatever its result is; see [`Task::canceller`].
#[derive(Clone, Debug)]
pub struct Canceller {
    key: Key,
    local: Weak<Local>,
}

impl Canceller {
    /// Requests that the task ends; see [`Task::cancel`].
    #[expect(clippy::must_use_candidate, reason = "most callers know the answer")]
    pub fn cancel(&self) -> bool {
        self.request(Cancelled::default())
    }

    /// The same, with a message for who awaits the task.
    pub fn cancel_with(&self, message: impl Into<Cow<'static, str>>) -> bool {
        self.request(Cancelled::because(message))
    }

    fn request(&self, reason: Cancelled) -> bool {
        self.local.upgrade().is_some_and(|local| local.cancel(self.key, reason))
    }
}
