//! `as_completed`: outcomes in the order they come.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::error::TaskError;
use crate::task::Task;

use super::ended::Ended;

/// The outcomes of several tasks; see [`as_completed`].
#[derive(Debug)]
#[must_use = "it does nothing unless it is asked for the next outcome"]
pub struct AsCompleted<T: 'static> {
    /// Those whose outcome was returned are None.
    tasks: Vec<Option<Task<T>>>,
    remaining: usize,
    ended: Rc<Ended>,
}

/// Runs each future as a task, from now on, and returns the outcomes as they come. Dropping it detaches the tasks.
///
/// ```
/// use std::time::Duration;
///
/// ferrio::testing::run_in_virtual_time(async {
///     let mut outcomes = ferrio::as_completed([3, 1, 2].map(|seconds| async move {
///         ferrio::sleep(Duration::from_secs(seconds)).await;
///         seconds
///     }));
///     let mut order = Vec::new();
///     while let Some(outcome) = outcomes.next().await {
///         order.push(outcome.expect("it has a result"));
///     }
///     assert_eq!(order, [1, 2, 3]);
/// })?;
/// # Ok::<(), ferrio::RunError>(())
/// ```
pub fn as_completed<F>(futures: impl IntoIterator<Item = F>) -> AsCompleted<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let ended = Rc::new(Ended::default());
    let tasks: Vec<_> =
        futures.into_iter().enumerate().map(|(number, future)| Some(ended.spawn(number, future))).collect();
    AsCompleted { remaining: tasks.len(), tasks, ended }
}

impl<T> AsCompleted<T> {
    /// The next outcome; None after the last one.
    pub async fn next(&mut self) -> Option<Result<T, TaskError>> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<T, TaskError>>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        let Some(number) = self.ended.next(context) else { return Poll::Pending };
        let Some(mut task) = self.tasks[number].take() else { unreachable!("a task ends once") };
        self.remaining -= 1;
        Pin::new(&mut task).poll(context).map(Some)
    }
}

impl<T> Stream for AsCompleted<T> {
    type Item = Result<T, TaskError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}
