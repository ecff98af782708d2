//! The barrier.
//!
//! When the last party arrives, all that wait are chosen at once and the barrier is empty: the next round begins
//! without waiting until the last one has left, because each waiter knows its own round by its slot.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use ferrio_engine::{Ticket, Waiter, WaiterState, Waiters};

use super::wait_slot::{WaitSlot, parked_ticket};

/// Nobody goes on before all are there.
///
/// ```
/// use std::rc::Rc;
/// use ferrio::Barrier;
///
/// ferrio::run(async {
///     let barrier = Rc::new(Barrier::new(3));
///     let arrive = || {
///         let barrier = Rc::clone(&barrier);
///         async move { barrier.wait().await.expect("it is whole").position() }
///     };
///     let mut positions = Vec::new();
///     for outcome in ferrio::join_all([arrive(), arrive(), arrive()]).await {
///         positions.push(outcome.expect("it has a result"));
///     }
///     assert_eq!(positions, [0, 1, 2]);
/// })?;
/// # Ok::<(), ferrio::RunError>(())
/// ```
#[derive(Debug)]
pub struct Barrier {
    parties: usize,
    waiters: RefCell<Waiters<Rc<BarrierSlot>>>,
    is_broken: Cell<bool>,
}

#[derive(Debug)]
struct BarrierSlot {
    slot: Rc<WaitSlot>,
    /// Set when it is chosen.
    position: Cell<usize>,
}

impl Waiter for BarrierSlot {
    fn waiter_state(&self) -> WaiterState {
        self.slot.waiter_state()
    }
}

/// The barrier was aborted, or reset while this party waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenBarrier;

impl fmt::Display for BrokenBarrier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the barrier is broken")
    }
}

impl std::error::Error for BrokenBarrier {}

/// A party that has passed the barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierWait {
    position: usize,
}

impl BarrierWait {
    /// In which place it arrived, from 0 on; each place of a round is taken once.
    #[must_use]
    pub const fn position(self) -> usize {
        self.position
    }
}

impl Barrier {
    /// A barrier for so many parties.
    ///
    /// # Panics
    ///
    /// Panics if there are none.
    #[must_use]
    pub fn new(parties: usize) -> Self {
        assert!(parties > 0, "a barrier has at least one party");
        Self { parties, waiters: RefCell::default(), is_broken: Cell::new(false) }
    }

    /// Waits until all parties are there. If it is dropped before that, its place is free again.
    pub const fn wait(&self) -> WaitBarrier<'_> {
        WaitBarrier { barrier: self, place: None }
    }

    /// Breaks the barrier: all who wait, and all who will until the next reset, fail.
    ///
    /// ```
    /// ferrio::run(async {
    ///     let barrier = ferrio::Barrier::new(2);
    ///     barrier.abort();
    ///     assert_eq!(barrier.wait().await, Err(ferrio::BrokenBarrier));
    /// })?;
    /// # Ok::<(), ferrio::RunError>(())
    /// ```
    pub fn abort(&self) {
        self.is_broken.set(true);
        self.dismiss();
    }

    /// Makes it whole and empty; those who wait fail.
    pub fn reset(&self) {
        self.is_broken.set(false);
        self.dismiss();
    }

    /// How many have to be there.
    #[must_use]
    pub const fn parties(&self) -> usize {
        self.parties
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiters.borrow().len()
    }

    /// Whether it was aborted.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.is_broken.get()
    }

    fn dismiss(&self) {
        let all = self.waiters.borrow_mut().take_all();
        for waiter in &all {
            waiter.slot.refuse();
        }
    }
}

/// Waits at a [`Barrier`].
#[derive(Debug)]
#[must_use = "it does nothing unless it is awaited"]
pub struct WaitBarrier<'a> {
    barrier: &'a Barrier,
    place: Option<(Ticket, Rc<BarrierSlot>)>,
}

impl WaitBarrier<'_> {
    fn arrive(&mut self, context: &Context<'_>) -> Poll<Result<BarrierWait, BrokenBarrier>> {
        let barrier = self.barrier;
        if barrier.is_broken() {
            return Poll::Ready(Err(BrokenBarrier));
        }
        let mut waiters = barrier.waiters.borrow_mut();
        let position = waiters.len();
        if position + 1 < barrier.parties {
            let slot = Rc::new(BarrierSlot { slot: WaitSlot::new(context), position: Cell::new(0) });
            let ticket = parked_ticket(waiters.push(Rc::clone(&slot)));
            self.place = Some((ticket, slot));
            return Poll::Pending;
        }
        let all = waiters.take_all();
        drop(waiters);
        for (position, waiter) in all.iter().enumerate() {
            waiter.position.set(position);
            waiter.slot.choose();
        }
        Poll::Ready(Ok(BarrierWait { position }))
    }
}

impl Future for WaitBarrier<'_> {
    type Output = Result<BarrierWait, BrokenBarrier>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some((_, waiter)) = &self.place else { return self.arrive(context) };
        let outcome = match waiter.slot.poll(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(WaiterState::Chosen) => Ok(BarrierWait { position: waiter.position.get() }),
            Poll::Ready(WaiterState::Cancelled | WaiterState::Waiting) => Err(BrokenBarrier),
        };
        self.place = None;
        Poll::Ready(outcome)
    }
}

impl Drop for WaitBarrier<'_> {
    fn drop(&mut self) {
        if let Some((ticket, _)) = self.place.take() {
            // Those who were chosen or dismissed have left already.
            let own = self.barrier.waiters.borrow_mut().remove(ticket);
            drop(own);
        }
    }
}
