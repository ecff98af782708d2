//! The body of a worker thread: takes items from its pool's queue until it is told to end.
//!
//! It does what `_worker` of `concurrent.futures.thread` does. The outcome of a job goes into the loop's queue at once.
//! A sleeping loop is woken when the worker begins its next job, or has released the GIL because there is none: a loop
//! that wakes earlier would have to wait for the GIL.

use std::sync::Arc;

use ferrio_cpython::LoopBase;
use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::raise::handling;
use pyo3::prelude::*;

use crate::threads::job::Job;
use crate::threads::job_queue::{JobQueue, Seat};
use crate::threads::stock;

#[pymethods]
impl JobQueue {
    /// What the threads run: `executor` is a weak reference, `context` what the standard library keeps for a thread.
    #[pyo3(signature = (executor, context=None))]
    fn _work(slf: &Bound<'_, Self>, executor: &Bound<'_, PyAny>, context: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        work(slf, context, || ends(executor))
    }

    /// The callback of that weak reference: the executor is gone, so the workers end.
    fn _executor_is_gone(slf: &Bound<'_, Self>, _reference: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        slf.get().add(py, py.None().into_bound(py))
    }
}

/// Works until None is in the queue and `ends` agrees, or the worker is dismissed.
pub(crate) fn work(
    queue: &Bound<'_, JobQueue>,
    context: Option<&Bound<'_, PyAny>>,
    ends: impl Fn() -> PyResult<bool>,
) -> PyResult<()> {
    let py = queue.py();
    let seat = Arc::new(Seat::default());
    // The loop that has an outcome in its queue and is not woken yet.
    let mut unwoken: Option<Bound<'_, LoopBase>> = None;
    loop {
        let Some(item) = queue.get().take(py) else {
            wait(queue, &seat, unwoken.take());
            if seat.is_dismissed() {
                return Ok(());
            }
            continue;
        };
        if let Some(owner) = unwoken.take() {
            owner.get().wake_if_asleep(py);
        }
        if let Ok(job) = item.cast_exact::<Job>() {
            unwoken = Job::run(job).unwrap_or_else(|error| {
                memory::unraisable(py, error);
                None
            });
        } else if item.is_none() {
            if ends()? {
                // For the other workers.
                return queue.get().add(py, item);
            }
        } else if let Err(error) = run_work_item(&item, context) {
            // As there, the error ends the thread.
            let logger = stock::logger(py)?;
            let keywords = memory::dict(py)?;
            keywords.set_item(name!("exc_info"), true)?;
            return handling(py, &error, || {
                logger.call_method(name!("critical"), ("Exception in worker",), Some(&keywords)).map(drop)
            });
        }
    }
}

/// Waits for an item, without the GIL.
fn wait(queue: &Bound<'_, JobQueue>, seat: &Arc<Seat>, unwoken: Option<Bound<'_, LoopBase>>) {
    let py = queue.py();
    let waker = unwoken.and_then(|owner| owner.get().begin_wake_up(py));
    let waits = queue.get().stand_by(py, seat);
    py.detach(|| {
        if let Some(waker) = waker {
            // A pipe that cannot be written to is closed: nobody waits.
            let _ = waker.wake();
        }
        if waits {
            seat.wait();
        }
    });
    if waits && !seat.is_dismissed() {
        queue.get().arrive(py);
    }
}

/// A work item of the standard library's `submit`.
fn run_work_item(item: &Bound<'_, PyAny>, context: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    match context {
        Some(context) => item.call_method1(name!("run"), (context,)).map(drop),
        None => item.call_method0(name!("run")).map(drop),
    }
}

/// Whether the workers of an executor end, now that one has taken None from the queue.
fn ends(executor: &Bound<'_, PyAny>) -> PyResult<bool> {
    let executor = executor.call0()?;
    let exits = stock::is_shut_down(executor.py())?;
    if !exits && !executor.is_none() && !executor.getattr(name!("_shutdown"))?.is_truthy()? {
        return Ok(false);
    }
    if !executor.is_none() {
        // As early as possible.
        executor.setattr(name!("_shutdown"), true)?;
    }
    Ok(true)
}
