//! Timeouts: the future is dropped at the deadline.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::runtime::waking::wake;

use super::instant::{Instant, now};
use super::sleep::{Sleep, sleep, sleep_until};

/// The deadline came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the deadline has passed")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for std::io::Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::new(std::io::ErrorKind::TimedOut, elapsed)
    }
}

pin_project! {
    /// A future with a deadline; see [`timeout`].
    #[must_use = "it does nothing unless it is awaited"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        sleep: Sleep,
    }
}

/// Awaits `future` for at most `length`; then it fails, and dropping the returned future drops `future`.
///
/// A future that is ready at its deadline has its result.
///
/// ```
/// use std::time::Duration;
///
/// ferrio::run(async {
///     let slow = ferrio::timeout(Duration::from_millis(1), std::future::pending::<()>());
///     assert!(slow.await.is_err());
///     let ready = ferrio::timeout(Duration::from_millis(1), async { 42 });
///     assert_eq!(ready.await, Ok(42));
/// })?;
/// # Ok::<(), ferrio::RunError>(())
/// ```
pub fn timeout<F: Future>(length: Duration, future: F) -> Timeout<F> {
    Timeout { future, sleep: sleep(length) }
}

/// The same with a deadline, which several steps may share.
///
/// ```
/// use std::time::Duration;
/// use ferrio::time;
///
/// ferrio::run(async {
///     let deadline = time::now() + Duration::from_secs(1);
///     assert_eq!(time::timeout_at(deadline, async { 1 }).await, Ok(1));
///     assert_eq!(time::timeout_at(deadline, async { 2 }).await, Ok(2));
/// })?;
/// # Ok::<(), ferrio::RunError>(())
/// ```
pub fn timeout_at<F: Future>(deadline: Instant, future: F) -> Timeout<F> {
    Timeout { future, sleep: sleep_until(deadline) }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(context) {
            return Poll::Ready(Ok(output));
        }
        Pin::new(this.sleep).poll(context).map(|()| Err(Elapsed))
    }
}

impl<F> fmt::Debug for Timeout<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Timeout").field("sleep", &self.sleep).finish_non_exhaustive()
    }
}

/// The deadline of a [`timeout_scope`], which its body may move; copies share it.
#[derive(Clone, Debug)]
pub struct TimeoutScope {
    shared: Rc<SharedDeadline>,
}

#[derive(Debug)]
struct SharedDeadline {
    when: Cell<Option<Instant>>,
    /// Set by each move, until the sleep has followed it.
    is_moved: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl TimeoutScope {
    /// The deadline, if there is one.
    #[must_use]
    pub fn when(&self) -> Option<Instant> {
        self.shared.when.get()
    }

    /// Moves the deadline; None removes it.
    pub fn reschedule(&self, when: Option<Instant>) {
        self.shared.when.set(when);
        self.shared.is_moved.set(true);
        let waker = self.shared.waker.take();
        if let Some(waker) = waker {
            wake(waker);
        }
    }
}

/// Runs `body` with a deadline that it may move: asyncio's `timeout()`.
///
/// # Errors
///
/// Fails if the deadline comes first; then the body is dropped.
///
/// ```
/// use std::time::Duration;
/// use ferrio::time;
///
/// ferrio::run(async {
///     let outcome = time::timeout_scope(Some(Duration::from_secs(60)), async |scope| {
///         scope.reschedule(Some(time::now()));
///         std::future::pending::<()>().await
///     });
///     assert_eq!(outcome.await, Err(time::Elapsed));
/// })?;
/// # Ok::<(), ferrio::RunError>(())
/// ```
pub async fn timeout_scope<T>(
    length: Option<Duration>,
    body: impl AsyncFnOnce(TimeoutScope) -> T,
) -> Result<T, Elapsed> {
    let when = Cell::new(length.map(|length| now() + length));
    let shared = Rc::new(SharedDeadline { when, is_moved: Cell::new(true), waker: RefCell::new(None) });
    let scope = TimeoutScope { shared: Rc::clone(&shared) };
    let mut body = pin!(body(scope));
    let mut sleep: Option<Sleep> = None;
    std::future::poll_fn(|context| {
        if let Poll::Ready(output) = body.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        if shared.is_moved.take() {
            match (shared.when.get(), &mut sleep) {
                (Some(deadline), Some(sleep)) => sleep.reset(deadline),
                (Some(deadline), None) => sleep = Some(sleep_until(deadline)),
                (None, _) => sleep = None,
            }
        }
        shared.waker.replace(Some(context.waker().clone()));
        match &mut sleep {
            Some(sleep) => Pin::new(sleep).poll(context).map(|()| Err(Elapsed)),
            None => Poll::Pending,
        }
    })
    .await
}
