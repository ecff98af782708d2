//! The lock.

use std::cell::{RefCell, RefMut};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use ferrio_engine::{LockState, Released};

use super::wait_slot::{Place, WaitSlot, parked_ticket};

/// Protects data across awaits: one holder at a time, the others wait in the order they came.
///
/// A future that is dropped while it waits leaves the wait queue, and passes its turn on if it had one.
///
/// ```
/// use std::rc::Rc;
/// use ferrio::Lock;
///
/// ferrio::run(async {
///     let balance = Rc::new(Lock::new(100));
///     let withdraw = |amount| {
///         let balance = Rc::clone(&balance);
///         async move {
///             let mut balance = balance.acquire().await;
///             let before = *balance;
///             ferrio::yield_now().await; // nobody else changes it meanwhile
///             *balance = before - amount;
///         }
///     };
///     ferrio::join_all([withdraw(10), withdraw(20)]).await;
///     assert_eq!(*balance.acquire().await, 70);
/// })?;
/// # Ok::<(), ferrio::RunError>(())
/// ```
#[derive(Default)]
pub struct Lock<T = ()> {
    state: RefCell<LockState<Rc<WaitSlot>>>,
    /// Borrowed by the holder's guard.
    data: RefCell<T>,
}

impl<T> Lock<T> {
    /// A free lock that protects `data`.
    #[must_use]
    pub fn new(data: T) -> Self {
        Self { state: RefCell::default(), data: RefCell::new(data) }
    }

    /// Waits until the lock is free, and takes it.
    pub const fn acquire(&self) -> Acquire<'_, T> {
        Acquire { lock: self, place: None }
    }

    /// Takes the lock if it is free and nobody waits for it.
    ///
    /// ```
    /// let lock = ferrio::Lock::new(1);
    /// let guard = lock.try_acquire().expect("it is free");
    /// assert!(lock.try_acquire().is_none());
    /// drop(guard);
    /// assert!(!lock.is_locked());
    /// ```
    #[must_use]
    pub fn try_acquire(&self) -> Option<LockGuard<'_, T>> {
        let is_acquired = self.state.borrow_mut().try_acquire();
        is_acquired.then(|| self.guard())
    }

    /// Whether it is held.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.state.borrow().locked
    }

    /// The data, of a lock that nobody else can use.
    pub fn into_inner(self) -> T {
        self.data.into_inner()
    }

    fn guard(&self) -> LockGuard<'_, T> {
        LockGuard { data: self.data.borrow_mut(), release: Release { lock: self } }
    }

    fn release(&self) {
        let next = match self.state.borrow_mut().release() {
            Released::NotHeld => unreachable!("its guard exists once"),
            Released::Free(next) => next.map(Rc::clone),
        };
        if let Some(next) = next {
            next.choose();
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Lock<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Lock").field("data", &self.data).finish_non_exhaustive()
    }
}

/// Waits for a [`Lock`].
#[must_use = "it does nothing unless it is awaited"]
pub struct Acquire<'a, T> {
    lock: &'a Lock<T>,
    place: Option<Place>,
}

impl<'a, T> Future for Acquire<'a, T> {
    type Output = LockGuard<'a, T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let lock = self.lock;
        if let Some(place) = &self.place {
            if place.slot.poll(context).is_pending() {
                return Poll::Pending;
            }
            let slot = lock.state.borrow_mut().take_over(place.ticket);
            drop(slot);
            self.place = None;
            return Poll::Ready(lock.guard());
        }
        let mut state = lock.state.borrow_mut();
        if state.try_acquire() {
            drop(state);
            return Poll::Ready(lock.guard());
        }
        let slot = WaitSlot::new(context);
        let ticket = parked_ticket(state.park(Rc::clone(&slot)));
        drop(state);
        self.place = Some(Place { ticket, slot });
        Poll::Pending
    }
}

impl<T> Drop for Acquire<'_, T> {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        let mut state = self.lock.state.borrow_mut();
        let own = state.waiters.remove(place.ticket);
        let next = state.pass_on().map(Rc::clone);
        drop(state);
        drop(own);
        if let Some(next) = next {
            next.choose();
        }
    }
}

impl<T> fmt::Debug for Acquire<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Acquire").field("place", &self.place).finish_non_exhaustive()
    }
}

/// Holds a [`Lock`] and gives access to its data; dropping it releases the lock.
pub struct LockGuard<'a, T> {
    // Dropped in this order: the next holder finds the data free.
    data: RefMut<'a, T>,
    release: Release<'a, T>,
}

struct Release<'a, T> {
    lock: &'a Lock<T>,
}

impl<T> Drop for Release<'_, T> {
    fn drop(&mut self) {
        self.lock.release();
    }
}

impl<'a, T> LockGuard<'a, T> {
    /// The lock that it holds.
    pub(super) const fn lock(&self) -> &'a Lock<T> {
        self.release.lock
    }
}

impl<T> Deref for LockGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.data
    }
}

impl<T> DerefMut for LockGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.data
    }
}

impl<T: fmt::Debug> fmt::Debug for LockGuard<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}
