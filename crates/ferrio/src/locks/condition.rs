//! The condition.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use ferrio_engine::{Waiter, WaiterState, Waiters};

use super::lock::LockGuard;
use super::wait_slot::{Place, WaitSlot, parked_ticket};

/// Tasks that hold a lock wait until others have changed what it protects.
///
/// Like `std::sync::Condvar`, and unlike asyncio's, it does not own the lock: `wait` takes a guard and returns one. So
/// two conditions may share a lock.
///
/// ```
/// use std::rc::Rc;
/// use ferrio::{Condition, Lock};
///
/// ferrio::run(async {
///     let shared = Rc::new((Lock::new(0), Condition::new()));
///     let waiting = Rc::clone(&shared);
///     let task = ferrio::spawn(async move {
///         let (count, changed) = &*waiting;
///         let guard = changed.wait_for(count.acquire().await, |count| *count >= 2).await;
///         *guard
///     });
///     for _ in 0..2 {
///         let (count, changed) = &*shared;
///         *count.acquire().await += 1;
///         changed.notify_all();
///     }
///     assert_eq!(task.await.expect("it has a result"), 2);
/// })?;
/// # Ok::<(), ferrio::RunError>(())
/// ```
#[derive(Debug, Default)]
pub struct Condition {
    waiters: RefCell<Waiters<Rc<WaitSlot>>>,
}

impl Condition {
    /// A condition that nobody waits for.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Releases the lock, waits until it is notified, and takes the lock again.
    ///
    /// If it is dropped after it was notified, the next waiter is notified instead.
    pub async fn wait<'a, T>(&self, guard: LockGuard<'a, T>) -> LockGuard<'a, T> {
        let lock = guard.lock();
        let mut waiting = Waiting { condition: self, place: None, guard: Some(guard) };
        poll_fn(|context| waiting.poll(context)).await;
        let guard = lock.acquire().await;
        waiting.leave();
        guard
    }

    /// Waits until `predicate` holds, which it asks before each wait.
    pub async fn wait_for<'a, T>(
        &self,
        mut guard: LockGuard<'a, T>,
        mut predicate: impl FnMut(&mut T) -> bool,
    ) -> LockGuard<'a, T> {
        while !predicate(&mut guard) {
            guard = self.wait(guard).await;
        }
        guard
    }

    /// Wakes at most `count` of those who wait, in the order they came.
    pub fn notify(&self, count: usize) {
        let chosen: Vec<_> = self.waiters.borrow().waiting().take(count).map(Rc::clone).collect();
        for waiter in &chosen {
            waiter.choose();
        }
    }

    /// Wakes all who wait.
    pub fn notify_all(&self) {
        self.notify(usize::MAX);
    }
}

/// A wait, from its beginning until the lock is held again.
struct Waiting<'c, 'a, T> {
    condition: &'c Condition,
    place: Option<Place>,
    /// Present until it is parked.
    guard: Option<LockGuard<'a, T>>,
}

impl<T> Waiting<'_, '_, T> {
    fn poll(&mut self, context: &Context<'_>) -> Poll<()> {
        if let Some(place) = &self.place {
            return place.slot.poll(context).map(drop);
        }
        let slot = WaitSlot::new(context);
        let ticket = parked_ticket(self.condition.waiters.borrow_mut().push(Rc::clone(&slot)));
        self.place = Some(Place { ticket, slot });
        // After it is parked: whoever gets the lock next may notify at once.
        drop(self.guard.take());
        Poll::Pending
    }

    /// Leaves the wait queue; the state it was in.
    fn leave(&mut self) -> Option<WaiterState> {
        let place = self.place.take()?;
        let own = self.condition.waiters.borrow_mut().remove(place.ticket);
        drop(own);
        Some(place.slot.waiter_state())
    }
}

impl<T> Drop for Waiting<'_, '_, T> {
    fn drop(&mut self) {
        if self.leave() == Some(WaiterState::Chosen) {
            self.condition.notify(1);
        }
    }
}
