//! wait: until some of many tasks are done.

use std::future::poll_fn;
use std::task::{Context, Poll};

use crate::task::Task;

/// When [`wait`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnWhen {
    /// When a task is done.
    FirstCompleted,
    /// When a task has panicked, or all are done. A task whose output is an error has not panicked: see
    /// [`gather`](crate::gather) and [`task_group`](crate::task_group).
    FirstPanic,
    /// When all tasks are done.
    AllCompleted,
}

/// Waits, and takes out the tasks that are done, in their order. Those that are not stay in `tasks`, and go on; nothing
/// is lost if the future is dropped. To wait for some time only, use [`timeout`](crate::timeout).
///
/// ```
/// use ferrio::ReturnWhen;
///
/// ferrio::run(async {
///     let ready = ferrio::spawn(async { 1 });
///     let never = ferrio::spawn(std::future::pending());
///     let mut tasks = vec![never, ready];
///     let done = ferrio::wait(&mut tasks, ReturnWhen::FirstCompleted).await;
///     for task in done {
///         assert_eq!(task.await.expect("it has a result"), 1);
///     }
///     assert_eq!(tasks.len(), 1);
/// })?;
/// # Ok::<(), ferrio::RunError>(())
/// ```
pub async fn wait<T: 'static>(tasks: &mut Vec<Task<T>>, return_when: ReturnWhen) -> Vec<Task<T>> {
    poll_fn(|context| poll(tasks, return_when, context)).await;
    tasks.extract_if(.., |task| task.is_done()).collect()
}

fn poll<T>(tasks: &[Task<T>], return_when: ReturnWhen, context: &Context<'_>) -> Poll<()> {
    let is_enough = |task: &Task<T>| match return_when {
        ReturnWhen::FirstCompleted => task.is_done(),
        ReturnWhen::FirstPanic => {
            task.with_outcome(|outcome| outcome.as_ref().is_err_and(crate::TaskError::is_panic)) == Some(true)
        }
        ReturnWhen::AllCompleted => false,
    };
    if tasks.iter().any(is_enough) {
        return Poll::Ready(());
    }
    let mut unfinished = tasks.iter().filter(|task| !task.is_done());
    let Some(first) = unfinished.next() else { return Poll::Ready(()) };
    first.register(context);
    if return_when != ReturnWhen::AllCompleted {
        unfinished.for_each(|task| task.register(context));
    }
    Poll::Pending
}
