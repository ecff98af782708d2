//! Waiting for a time to pass, by the loop's own timers.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pyo3::intern;
use pyo3::prelude::*;

use crate::callback::WakeCallback;
use crate::native;
use crate::panics::{for_python, report_unraisable};

/// Waits for `duration`, by the clock of the running loop.
///
/// The time begins with the first poll.
///
/// # Panics
///
/// Panics when it is polled while no event loop runs on this thread.
///
/// ```no_run
/// use std::time::Duration;
///
/// use ferrio_bridge::sleep;
///
/// async fn tick(times: usize, mut act: impl FnMut()) {
///     for _ in 0..times {
///         sleep(Duration::from_secs(1)).await;
///         act();
///     }
/// }
/// ```
#[must_use = "futures do nothing unless polled"]
pub fn sleep(duration: Duration) -> Sleep {
    Sleep { duration, timer: None }
}

/// The future of [`sleep`].
pub struct Sleep {
    duration: Duration,
    timer: Option<Timer>,
}

struct Timer {
    callback: Py<WakeCallback>,
    handle: Py<PyAny>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if let Some(timer) = &this.timer {
            let callback = timer.callback.get();
            // Set first: the callback, which may run on no other thread, leaves nothing to wake.
            if callback.was_called() {
                this.timer = None;
                return Poll::Ready(());
            }
            callback.set_waker(context.waker());
            return Poll::Pending;
        }
        this.timer = Some(Python::attach(|py| start(py, this.duration, context)).expect("an event loop runs"));
        Poll::Pending
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sleep").field("duration", &self.duration).finish_non_exhaustive()
    }
}

fn start(py: Python<'_>, duration: Duration, context: &Context<'_>) -> PyResult<Timer> {
    let callback = Bound::new(py, WakeCallback::new(context.waker()))?;
    let event_loop = native::running_loop(py)?;
    let handle = event_loop.call_method1(intern!(py, "call_later"), (duration.as_secs_f64(), &callback))?;
    Ok(Timer { callback: callback.unbind(), handle: handle.unbind() })
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let Some(timer) = self.timer.take() else { return };
        if timer.callback.get().was_called() {
            return;
        }
        timer.callback.get().disarm();
        // None at the interpreter's end, when no timer runs any more.
        Python::try_attach(|py| {
            if let Err(error) = for_python(py, || timer.handle.call_method0(py, intern!(py, "cancel"))) {
                report_unraisable(py, error, None);
            }
        });
    }
}
