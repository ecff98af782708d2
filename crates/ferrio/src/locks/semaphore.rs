//! The semaphore.

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use ferrio_engine::{SemaphoreState, Waiter, WaiterState};

use super::wait_slot::{Place, WaitSlot, parked_ticket};

/// So many at a time; the others wait in the order they came.
///
/// ```
/// use std::rc::Rc;
/// use ferrio::Semaphore;
///
/// ferrio::run(async {
///     let semaphore = Rc::new(Semaphore::new(2));
///     let first = semaphore.acquire().await;
///     let second = semaphore.acquire().await;
///     assert!(semaphore.is_locked());
///     drop(first);
///     let third = semaphore.acquire().await;
///     drop((second, third));
///     assert_eq!(semaphore.available_permits(), 2);
/// })?;
/// # Ok::<(), ferrio::RunError>(())
/// ```
pub struct Semaphore {
    state: RefCell<SemaphoreState<Rc<WaitSlot>>>,
}

impl Semaphore {
    /// A semaphore with so many permits.
    #[must_use]
    pub fn new(permits: usize) -> Self {
        let value = i64::try_from(permits).unwrap_or(i64::MAX);
        Self { state: RefCell::new(SemaphoreState::new(value)) }
    }

    /// Waits for a permit.
    pub const fn acquire(&self) -> AcquirePermit<'_> {
        AcquirePermit { semaphore: self, place: None }
    }

    /// Takes a permit if one is free and nobody waits.
    #[must_use]
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        let is_acquired = self.state.borrow_mut().try_acquire();
        is_acquired.then_some(Permit { semaphore: self })
    }

    /// Whether a newcomer has to wait.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.state.borrow().is_locked()
    }

    /// How many permits are free.
    #[must_use]
    pub fn available_permits(&self) -> usize {
        usize::try_from(self.state.borrow().value).unwrap_or(0)
    }

    /// Adds a permit: asyncio's `release()` without an `acquire()` before it.
    pub fn add_permit(&self) {
        self.state.borrow_mut().release();
        self.wake_free();
    }

    /// Gives the free permits to those who wait.
    fn wake_free(&self) {
        loop {
            let next = self.state.borrow_mut().choose_if_free().map(Rc::clone);
            // It is chosen before it can be asked again: nothing runs in between.
            let Some(next) = next else { return };
            next.choose();
        }
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Semaphore").field("available_permits", &self.available_permits()).finish()
    }
}

/// Waits for a permit of a [`Semaphore`].
#[derive(Debug)]
#[must_use = "it does nothing unless it is awaited"]
pub struct AcquirePermit<'a> {
    semaphore: &'a Semaphore,
    place: Option<Place>,
}

impl<'a> Future for AcquirePermit<'a> {
    type Output = Permit<'a>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let semaphore = self.semaphore;
        if let Some(place) = &self.place {
            if place.slot.poll(context).is_pending() {
                return Poll::Pending;
            }
            let slot = semaphore.state.borrow_mut().leave(place.ticket);
            drop(slot);
            self.place = None;
            semaphore.wake_free();
            return Poll::Ready(Permit { semaphore });
        }
        let mut state = semaphore.state.borrow_mut();
        if state.try_acquire() {
            return Poll::Ready(Permit { semaphore });
        }
        let slot = WaitSlot::new(context);
        let ticket = parked_ticket(state.park(Rc::clone(&slot)));
        drop(state);
        self.place = Some(Place { ticket, slot });
        Poll::Pending
    }
}

impl Drop for AcquirePermit<'_> {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        let mut state = self.semaphore.state.borrow_mut();
        let own = state.leave(place.ticket);
        if place.slot.waiter_state() == WaiterState::Chosen {
            // It had its permit since it was chosen.
            state.release();
        }
        drop(state);
        drop(own);
        self.semaphore.wake_free();
    }
}

/// A permit of a [`Semaphore`]; dropping it returns the permit.
#[derive(Debug)]
#[must_use = "dropping it returns the permit"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
}

impl Permit<'_> {
    /// Keeps the permit for ever: the semaphore has one less.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.semaphore.add_permit();
    }
}
