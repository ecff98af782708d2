//! Lets other tasks run.

use std::future::poll_fn;
use std::task::Poll;

/// Waits for one turn of the loop, as `asyncio.sleep(0)` does.
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
