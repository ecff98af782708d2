//! Blocking work on a thread, awaited on the loop.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

use ferrio_bridge::Notify;

/// Notifies when the work ends, even by a panic.
struct AtEnd(Arc<Notify>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// What `work` returns; it runs on a thread of its own. A panic goes on here.
pub(crate) async fn run_blocking<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    let ended = Arc::new(Notify::new());
    let at_end = AtEnd(Arc::clone(&ended));
    let worker = thread::spawn(move || {
        let _at_end = at_end;
        work()
    });
    ended.notified().await;
    worker.join().unwrap_or_else(|panic| resume_unwind(panic))
}
