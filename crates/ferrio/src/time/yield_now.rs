//! Letting the others run.

use std::pin::Pin;
use std::task::{Context, Poll};

/// Pending once.
#[derive(Debug, Default)]
#[must_use = "it does nothing unless it is awaited"]
pub struct YieldNow {
    has_yielded: bool,
}

/// Lets all other tasks that are ready run first: asyncio's `sleep(0)`.
///
/// ```
/// ferrio::run(async {
///     let task = ferrio::spawn(async {});
///     ferrio::yield_now().await;
///     assert!(task.is_done());
/// })?;
/// # Ok::<(), ferrio::RunError>(())
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow::default()
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
