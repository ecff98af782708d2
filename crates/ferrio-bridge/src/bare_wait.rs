//! Lets other tasks run.

use std::future::poll_fn;
use std::task::Poll;

/// Waits for one turn of the loop, as `asyncio.sleep(0)` does.
///
/// ```no_run
/// use ferrio_bridge::yield_now;
///
/// /// Lets other tasks run between two pieces of work.
/// async fn sum(pieces: Vec<Vec<u64>>) -> u64 {
///     let mut total = 0;
///     for piece in pieces {
///         total += piece.iter().sum::<u64>();
///         yield_now().await;
///     }
///     total
/// }
/// ```
pub async fn yield_now() {
    let mut is_first = true;
    poll_fn(|context| {
        if std::mem::take(&mut is_first) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}
