//! Task groups: no task outlives the block that spawned it.
//!
//! States of a group: open; aborting, from the drop of the block's future on or its first step after a failure, in which
//! every task is cancelled; closed, when the block has ended. A group goes from one to the next only. So tasks that fail in
//! the same turn all do so, as in asyncio. Invariant: when [`task_group`] returns, all tasks of the group have ended, and
//! each failure is in the error that it returns.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::error::{Failure, TaskError};
use crate::runtime::waking::wake;
use crate::task::{Canceller, Task, spawn};

/// Spawns tasks into a group; copies refer to the same one. See [`task_group`] for an example.
pub struct TaskGroup<E: 'static> {
    shared: Rc<Shared<E>>,
}

struct Shared<E> {
    /// The tasks that have not ended, in the order they were spawned.
    children: RefCell<BTreeMap<u64, Option<Canceller>>>,
    spawned: Cell<u64>,
    failures: RefCell<Vec<Failure<E>>>,
    state: Cell<State>,
    /// Who runs the group.
    waker: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Aborting,
    Closed,
}

/// All failures of a [`task_group`], in the order they came: at least one.
///
/// ```
/// use ferrio::Failure;
///
/// ferrio::run(async {
///     let failed = ferrio::task_group(async |group| {
///         drop(group.spawn(async { Err::<(), _>("out of paper") }));
///         drop(group.spawn::<()>(async { panic!("out of luck") }));
///         std::future::pending::<Result<(), &str>>().await
///     });
///     let failures = failed.await.expect_err("two tasks failed").into_failures();
///     assert!(matches!(failures[0], Failure::Error("out of paper")));
///     assert!(matches!(failures[1], Failure::Task(_)));
/// })?;
/// # Ok::<(), ferrio::RunError>(())
/// ```
#[derive(Debug)]
pub struct GroupError<E> {
    failures: Vec<Failure<E>>,
}

impl<E> GroupError<E> {
    /// The failures.
    #[must_use]
    pub fn failures(&self) -> &[Failure<E>] {
        &self.failures
    }

    /// The failures, by value.
    #[must_use]
    pub fn into_failures(self) -> Vec<Failure<E>> {
        self.failures
    }
}

impl<E: fmt::Display> fmt::Display for GroupError<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.failures.len();
        write!(formatter, "unhandled errors in a task group ({count} sub-error{}", if count == 1 { "" } else { "s" })?;
        self.failures.iter().try_for_each(|failure| write!(formatter, "; {failure}"))?;
        formatter.write_str(")")
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for GroupError<E> {}

/// Runs `body` with a group, and waits for all tasks that were spawned into it.
///
/// If a task or `body` fails, `body` is dropped and the other tasks are cancelled; cancelled tasks are no failure. If
/// the returned future is dropped, all tasks are cancelled.
///
/// # Errors
///
/// Returns all failures, if there are any. A task that failed has no result: its handle says that it was cancelled.
///
/// ```
/// ferrio::run(async {
///     let sum = ferrio::task_group(async |group| {
///         let six = group.spawn(async { Ok::<_, String>(6) });
///         let seven = group.spawn(async { Ok(7) });
///         Ok(six.await.expect("it has a result") * seven.await.expect("it has a result"))
///     });
///     assert_eq!(sum.await.expect("nothing failed"), 42);
///
///     let failed = ferrio::task_group(async |group| {
///         let never = group.spawn(std::future::pending::<Result<(), &str>>());
///         group.spawn(async { Err::<(), _>("out of paper") });
///         let _ = never.await;
///         Ok(())
///     });
///     let error = failed.await.expect_err("a task failed");
///     assert_eq!(error.to_string(), "unhandled errors in a task group (1 sub-error; out of paper)");
/// })?;
/// # Ok::<(), ferrio::RunError>(())
/// ```
pub async fn task_group<T, E: 'static>(
    body: impl AsyncFnOnce(TaskGroup<E>) -> Result<T, E>,
) -> Result<T, GroupError<E>> {
    let group = TaskGroup::new();
    let _abort = AbortOnDrop(group.clone());
    let shared = &group.shared;
    let outcome = {
        let mut body = pin!(body(group.clone()));
        poll_fn(|context| {
            shared.register(context);
            match body.as_mut().poll(context) {
                Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
                Poll::Pending if shared.has_failed() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    };
    let result = match outcome {
        Some(Ok(result)) => Some(result),
        Some(Err(error)) => {
            shared.fail(Failure::Error(error));
            None
        }
        None => None,
    };
    poll_fn(|context| shared.poll_ended(context)).await;
    shared.state.set(State::Closed);
    let failures = shared.failures.take();
    match result {
        Some(result) if failures.is_empty() => Ok(result),
        Some(_) | None => Err(GroupError { failures }),
    }
}

impl<E> TaskGroup<E> {
    fn new() -> Self {
        let shared = Shared {
            children: RefCell::default(),
            spawned: Cell::new(0),
            failures: RefCell::default(),
            state: Cell::new(State::Open),
            waker: RefCell::default(),
        };
        Self { shared: Rc::new(shared) }
    }

    /// Runs `future` as a task of the group. If the group has failed or is closed, the task is cancelled before it
    /// begins.
    ///
    /// Dropping the handle detaches it from the task, not the task from the group.
    pub fn spawn<T: 'static>(&self, future: impl Future<Output = Result<T, E>> + 'static) -> Task<T> {
        let number = self.shared.spawned.get();
        self.shared.spawned.set(number + 1);
        self.shared.children.borrow_mut().insert(number, None);
        let child = Child { shared: Rc::clone(&self.shared), number };
        let task = spawn(run_child(child, future));
        match self.shared.state.get() {
            State::Open => {
                if let Some(place) = self.shared.children.borrow_mut().get_mut(&number) {
                    *place = Some(task.canceller());
                }
            }
            State::Aborting | State::Closed => {
                task.cancel_with("the task group accepts no tasks any more");
            }
        }
        task
    }
}

impl<E> Clone for TaskGroup<E> {
    fn clone(&self) -> Self {
        Self { shared: Rc::clone(&self.shared) }
    }
}

impl<E> fmt::Debug for TaskGroup<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TaskGroup").field("state", &self.shared.state.get()).finish_non_exhaustive()
    }
}

impl<E> Shared<E> {
    fn fail(&self, failure: Failure<E>) {
        self.failures.borrow_mut().push(failure);
        self.wake();
    }

    fn has_failed(&self) -> bool {
        !self.failures.borrow().is_empty()
    }

    fn abort(&self) {
        if self.state.get() == State::Open {
            self.state.set(State::Aborting);
            let cancellers: Vec<_> = self.children.borrow().values().flatten().cloned().collect();
            for canceller in cancellers {
                canceller.cancel_with("its task group failed or was cancelled");
            }
        }
    }

    fn wake(&self) {
        let waker = self.waker.take();
        if let Some(waker) = waker {
            wake(waker);
        }
    }

    fn register(&self, context: &Context<'_>) {
        let before = self.waker.replace(Some(context.waker().clone()));
        drop(before);
    }

    fn poll_ended(&self, context: &Context<'_>) -> Poll<()> {
        self.register(context);
        if self.has_failed() {
            self.abort();
        }
        if self.children.borrow().is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Cancels the tasks if the group's future is dropped before they have ended.
struct AbortOnDrop<E: 'static>(TaskGroup<E>);

impl<E> Drop for AbortOnDrop<E> {
    fn drop(&mut self) {
        self.0.shared.abort();
    }
}

/// A task's membership, from its spawn until its future is dropped.
struct Child<E> {
    shared: Rc<Shared<E>>,
    number: u64,
}

impl<E> Drop for Child<E> {
    fn drop(&mut self) {
        let canceller = self.shared.children.borrow_mut().remove(&self.number);
        drop(canceller);
        if self.shared.children.borrow().is_empty() {
            self.shared.wake();
        }
    }
}

/// Runs a task's future; if it fails, hands the failure to the group, which cancels this task too.
async fn run_child<T, E>(child: Child<E>, future: impl Future<Output = Result<T, E>>) -> T {
    let mut future = pin!(future);
    let outcome = poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map_err(Failure::Error),
        Err(payload) => Poll::Ready(Err(Failure::Task(TaskError::panicked(payload)))),
    });
    match outcome.await {
        Ok(result) => result,
        Err(failure) => {
            child.shared.fail(failure);
            pending().await
        }
    }
}
