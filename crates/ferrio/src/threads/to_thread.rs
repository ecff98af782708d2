//! `to_thread`: a blocking call in a thread, awaited.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use crate::runtime::task_waker::{Key, Message};
use crate::runtime::waking::wake;
use crate::runtime::{choices, current};

use super::pool::{Job, Pool};

/// Calls `function` in a thread when it is first polled, and returns its result. If it panics, the awaiting task does.
///
/// A call that has begun cannot be cancelled: if the future is dropped, the call goes on and its result is dropped. The
/// runtime's end waits for it.
///
/// # Panics
///
/// Polling panics if no runtime runs on this thread, or the system refuses the first thread.
///
/// ```
/// ferrio::run(async {
///     let length = ferrio::to_thread(|| std::fs::read_to_string("/dev/null").map(|text| text.len()));
///     assert_eq!(length.await?, 0);
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn to_thread<T, F>(function: F) -> ToThread<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let result = Arc::new(Mutex::new(Slot { outcome: None, waker: None }));
    ToThread { function: Some(Box::new(function)), slot: result }
}

/// A call in a thread; see [`to_thread`].
#[must_use = "it does nothing unless it is awaited"]
pub struct ToThread<T> {
    /// Present until it is handed to a worker.
    function: Option<Box<dyn FnOnce() -> T + Send>>,
    slot: Arc<Mutex<Slot<T>>>,
}

/// Where the worker puts the outcome.
struct Slot<T> {
    outcome: Option<thread::Result<T>>,
    waker: Option<Waker>,
}

fn lock<T>(slot: &Mutex<Slot<T>>) -> MutexGuard<'_, Slot<T>> {
    // No foreign code runs while it is locked.
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

fn begin<T: Send + 'static>(function: Box<dyn FnOnce() -> T + Send>, slot: Arc<Mutex<Slot<T>>>) {
    let local = current::expect("to_thread");
    let shared = Arc::clone(local.shared());
    // Where it is chosen when a result lands, the waker stays in the slot until then.
    let is_done = local.choices().map(|_| Arc::new(AtomicBool::new(false)));
    let landing = is_done.clone().map(|is_done| choices::Job { is_done, land: land(Arc::clone(&slot)) });
    let job = Job(Box::new(move || {
        let outcome = catch_unwind(AssertUnwindSafe(function));
        let mut target = lock(&slot);
        target.outcome = Some(outcome);
        let waker = if is_done.is_none() { target.waker.take() } else { None };
        drop(target);
        // Without the future, the result is dropped here; its destructor may panic.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(slot)));
        if let Some(waker) = waker {
            wake(waker);
        }
        if let Some(is_done) = is_done {
            is_done.store(true, Ordering::Release);
        }
        // After the waker: virtual time stands still until the task is queued. A runtime that is gone does not count.
        let _ = shared.post(Message::JobDone);
    }));
    local.jobs().set(local.jobs().get() + 1);
    let submitted = local.service(Pool::new).submit(job);
    if let Err(error) = submitted {
        local.jobs().set(local.jobs().get() - 1);
        panic!("`to_thread` cannot start a thread: {error}");
    }
    if let (Some(choices), Some(landing)) = (local.choices(), landing) {
        choices.add_job(local.current().get().map_or(0, Key::number), landing);
    }
}

fn land<T: Send + 'static>(slot: Arc<Mutex<Slot<T>>>) -> Box<dyn FnOnce()> {
    Box::new(move || {
        let waker = lock(&slot).waker.take();
        // Before the waker: without the future, the result is dropped here; its destructor may panic.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(slot)));
        if let Some(waker) = waker {
            wake(waker);
        }
    })
}

impl<T: Send + 'static> Future for ToThread<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        if let Some(function) = self.function.take() {
            lock(&self.slot).waker = Some(context.waker().clone());
            begin(function, Arc::clone(&self.slot));
            return Poll::Pending;
        }
        let mut slot = lock(&self.slot);
        match slot.outcome.take() {
            Some(Ok(result)) => Poll::Ready(result),
            Some(Err(payload)) => {
                drop(slot);
                resume_unwind(payload)
            }
            None => {
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> fmt::Debug for ToThread<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ToThread").field("has_begun", &self.function.is_none()).finish_non_exhaustive()
    }
}
