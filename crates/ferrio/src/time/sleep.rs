//! Sleeping.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::runtime::current;
use crate::runtime::local::Local;
use crate::runtime::timer::Timer;

use super::instant::{Instant, now};

/// Waits until a deadline. Once it is over it stays over.
#[derive(Debug)]
#[must_use = "it does nothing unless it is awaited"]
pub struct Sleep {
    end: End,
    armed: Option<Armed>,
}

#[derive(Clone, Copy, Debug)]
enum End {
    /// Counted from the first poll.
    After(Duration),
    At(Instant),
}

struct Armed {
    timer: Rc<Timer>,
    local: Rc<Local>,
}

impl std::fmt::Debug for Armed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.timer.fmt(formatter)
    }
}

/// Waits for `length`, counted from the first poll.
///
/// ```
/// use std::time::Duration;
///
/// ferrio::run(ferrio::sleep(Duration::from_millis(1)))?;
/// # Ok::<(), ferrio::RunError>(())
/// ```
pub const fn sleep(length: Duration) -> Sleep {
    Sleep { end: End::After(length), armed: None }
}

/// Waits until `deadline`.
///
/// ```
/// use std::time::Duration;
/// use ferrio::time;
///
/// ferrio::run(async {
///     let mut next = time::now();
///     for _ in 0..3 {
///         next += Duration::from_millis(1);
///         time::sleep_until(next).await;
///     }
/// })?;
/// # Ok::<(), ferrio::RunError>(())
/// ```
pub const fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { end: End::At(deadline), armed: None }
}

impl Sleep {
    /// Moves the end to `deadline`.
    pub(super) fn reset(&mut self, deadline: Instant) {
        self.disarm();
        self.end = End::At(deadline);
    }

    fn arm(&self) -> Armed {
        let local = current::expect("sleep");
        let deadline = match self.end {
            End::After(length) => now() + length,
            End::At(deadline) => deadline,
        };
        let timer = Rc::new(Timer::default());
        local.arm(deadline.nanoseconds(), Rc::clone(&timer));
        Armed { timer, local }
    }

    fn disarm(&mut self) {
        if let Some(Armed { timer, local }) = self.armed.take()
            && !timer.is_fired()
        {
            timer.cancel();
            local.note_cancelled_timer();
        }
    }
}

impl Future for Sleep {
    type Output = ();

    /// # Panics
    ///
    /// Panics if no runtime runs on this thread.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.armed.is_none() {
            self.armed = Some(self.arm());
        }
        match &self.armed {
            Some(Armed { timer, .. }) if !timer.is_fired() => {
                timer.set_waker(context.waker());
                Poll::Pending
            }
            Some(_) | None => Poll::Ready(()),
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.disarm();
    }
}
