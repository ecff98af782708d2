//! `Notify`: wakes one waiting future, or remembers that it should.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
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

/// Each waiter has a number, greater than those of earlier ones.
#[derive(Default)]
struct State {
    is_notified: bool,
    waiting: BTreeMap<u64, Waker>,
    /// Those that were chosen and do not know it yet.
    chosen: HashSet<u64>,
    next_number: u64,
}

/// The future of [`Notify::notified`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Notified<'a> {
    notify: &'a Notify,
    /// Its number from the first poll on, until it is ready.
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
        let waiting = std::mem::take(&mut state.waiting);
        state.chosen.extend(waiting.keys());
        drop(state);
        drop(passing);
        wake_all(waiting.into_values());
    }

    /// Wakers run outside this lock: they may be foreign code. One that panics when it is cloned leaves the state whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes the waker of the waiter that has waited longest.
    fn choose(&mut self) -> Option<Waker> {
        let (number, waker) = self.waiting.pop_first()?;
        self.chosen.insert(number);
        Some(waker)
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
            state.waiting.insert(number, context.waker().clone());
            self.number = Some(number);
            return Poll::Pending;
        };
        if let Some(waker) = state.waiting.get_mut(&number) {
            let before = std::mem::replace(waker, context.waker().clone());
            drop(state);
            drop(before);
            return Poll::Pending;
        }
        state.chosen.remove(&number);
        self.number = None;
        Poll::Ready(())
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut state = self.notify.lock();
        let waker = state.waiting.remove(&number);
        let was_chosen = state.chosen.remove(&number);
        drop(state);
        drop(waker);
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
