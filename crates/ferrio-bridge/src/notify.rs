//! `Notify`: wakes one waiting future, or remembers that it should.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use crate::forks;
use crate::panics::wake_all;

/// Lets futures wait for an event that other futures, Python code or other threads bring about.
///
/// Futures are woken in the order in which they began to wait. A notification that finds none is kept for the next;
/// more than one are kept as one.
///
/// ```
/// use std::sync::Arc;
/// use ferrio_bridge::Notify;
///
/// let notify = Arc::new(Notify::new());
/// let far = Arc::clone(&notify);
/// std::thread::spawn(move || far.notify_one());
/// # let _ =
/// async move { notify.notified().await };
/// ```
#[derive(Default)]
pub struct Notify {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_notified: bool,
    waiters: VecDeque<Waiter>,
    next_number: u64,
}

struct Waiter {
    number: u64,
    /// None once it was chosen: it leaves the queue itself.
    waker: Option<Waker>,
}

/// The future of [`Notify::notified`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Notified<'a> {
    notify: &'a Notify,
    /// Its number while it is in the queue.
    number: Option<u64>,
}

impl Notify {
    /// Without a notification.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for a notification, from the first poll on.
    pub fn notified(&self) -> Notified<'_> {
        Notified { notify: self, number: None }
    }

    /// Wakes the future that has waited longest, or the next to wait.
    pub fn notify_one(&self) {
        let passing = forks::pass();
        let mut state = self.lock();
        let waker = state.choose();
        if waker.is_none() {
            state.is_notified = true;
        }
        drop(state);
        drop(passing);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Wakes all futures that wait now.
    pub fn notify_waiters(&self) {
        let passing = forks::pass();
        let mut state = self.lock();
        let wakers: Vec<_> = state.waiters.iter_mut().filter_map(|waiter| waiter.waker.take()).collect();
        drop(state);
        drop(passing);
        wake_all(wakers);
    }

    /// Wakers run outside this lock: they may be foreign code.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics under this lock")
    }
}

impl State {
    /// Takes the waker of the first waiter that was not chosen yet.
    fn choose(&mut self) -> Option<Waker> {
        self.waiters.iter_mut().find_map(|waiter| waiter.waker.take())
    }

    fn position(&self, number: u64) -> usize {
        self.waiters
            .iter()
            .position(|waiter| waiter.number == number)
            .expect("in the queue until it is ready or dropped")
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let notify = self.notify;
        let mut state = notify.lock();
        let Some(number) = self.number else {
            if std::mem::take(&mut state.is_notified) {
                return Poll::Ready(());
            }
            let number = state.next_number;
            state.next_number += 1;
            state.waiters.push_back(Waiter { number, waker: Some(context.waker().clone()) });
            self.number = Some(number);
            return Poll::Pending;
        };
        let position = state.position(number);
        if let Some(waker) = &mut state.waiters[position].waker {
            let before = std::mem::replace(waker, context.waker().clone());
            drop(state);
            drop(before);
            return Poll::Pending;
        }
        state.waiters.remove(position);
        self.number = None;
        Poll::Ready(())
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut state = self.notify.lock();
        let position = state.position(number);
        let was_chosen = state.waiters.remove(position).is_some_and(|waiter| waiter.waker.is_none());
        drop(state);
        if was_chosen {
            // The notification was not used: it goes to the next.
            self.notify.notify_one();
        }
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Notify").finish_non_exhaustive()
    }
}
