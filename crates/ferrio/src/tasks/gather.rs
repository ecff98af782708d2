//! gather and `join_all`: several futures at the same time, results in their order.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::error::{Failure, TaskError};
use crate::task::{Task, spawn};

use super::ended::Ended;

/// Waits for the tasks of a [`gather`].
#[derive(Debug)]
#[must_use = "dropping it cancels the tasks"]
pub struct Gather<T: 'static, E: 'static> {
    tasks: Vec<Task<Result<T, E>>>,
    /// In the order of the tasks.
    results: Vec<Option<T>>,
    remaining: usize,
    ended: Rc<Ended>,
    has_failed: bool,
}

/// Runs each future as a task, from now on, and returns all results in the order of the futures.
///
/// As in asyncio, the first failure is returned at once and the other tasks go on; and if the returned future is
/// dropped, the tasks are cancelled.
///
/// ```
/// async fn double(number: u32) -> Result<u32, String> {
///     number.checked_mul(2).ok_or_else(|| format!("{number} is too large"))
/// }
///
/// ferrio::run(async {
///     let results = ferrio::gather([double(1), double(2)]).await;
///     assert_eq!(results.expect("they are small"), [2, 4]);
///     let error = ferrio::gather([double(1), double(u32::MAX)]).await.expect_err("one is large");
///     assert_eq!(error.to_string(), "4294967295 is too large");
/// })?;
/// # Ok::<(), ferrio::RunError>(())
/// ```
pub fn gather<T, E, F>(futures: impl IntoIterator<Item = F>) -> Gather<T, E>
where
    F: Future<Output = Result<T, E>> + 'static,
{
    let ended = Rc::new(Ended::default());
    let tasks: Vec<_> = futures.into_iter().enumerate().map(|(number, future)| ended.spawn(number, future)).collect();
    let results = tasks.iter().map(|_| None).collect();
    Gather { remaining: tasks.len(), tasks, results, ended, has_failed: false }
}

/// Its results are moved, never pinned.
impl<T, E> Unpin for Gather<T, E> {}

impl<T, E> Future for Gather<T, E> {
    type Output = Result<Vec<T>, Failure<E>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        while self.remaining > 0 {
            let Some(number) = self.ended.next(context) else { return Poll::Pending };
            let failure = match Pin::new(&mut self.tasks[number]).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Ok(result))) => {
                    self.results[number] = Some(result);
                    self.remaining -= 1;
                    continue;
                }
                Poll::Ready(Ok(Err(error))) => Failure::Error(error),
                Poll::Ready(Err(error)) => Failure::Task(error),
            };
            self.has_failed = true;
            return Poll::Ready(Err(failure));
        }
        Poll::Ready(Ok(std::mem::take(&mut self.results).into_iter().flatten().collect()))
    }
}

impl<T, E> Drop for Gather<T, E> {
    fn drop(&mut self) {
        if !self.has_failed {
            for task in self.tasks.iter().filter(|task| !task.is_done()) {
                task.cancel();
            }
        }
    }
}

/// Runs each future as a task, and returns all outcomes in the order of the futures: asyncio's `gather` with
/// `return_exceptions=True`.
///
/// The tasks begin when it is first polled, and are cancelled when it is dropped.
///
/// ```
/// ferrio::run(async {
///     let squares = ferrio::join_all((1..4).map(|number| async move { number * number })).await;
///     let squares: Vec<_> = squares.into_iter().map(|square| square.expect("it has a result")).collect();
///     assert_eq!(squares, [1, 4, 9]);
/// })?;
/// # Ok::<(), ferrio::RunError>(())
/// ```
pub async fn join_all<F>(futures: impl IntoIterator<Item = F>) -> Vec<Result<F::Output, TaskError>>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let tasks: Vec<_> = futures.into_iter().map(|future| spawn(future).cancel_on_drop()).collect();
    let mut outcomes = Vec::with_capacity(tasks.len());
    for task in tasks {
        outcomes.push(task.await);
    }
    outcomes
}
