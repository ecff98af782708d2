//! Putting and getting: the futures.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use ferrio_engine::{Side, Waiter};

use crate::locks::wait_slot::{Place, WaitSlot, parked_ticket};

use super::queue::{OrderedQueue, PutError, QueueShutDown, TryGetError, TryPutError};
use super::storage::Storage;

/// A waiter's stay in one of a queue's wait queues, until it is chosen or dropped.
struct Waiting<'a, T, S: Storage<T>> {
    queue: &'a OrderedQueue<T, S>,
    side: Side,
    place: Option<Place>,
}

impl<T, S: Storage<T>> Waiting<'_, T, S> {
    /// Ready if it was chosen, or did not wait: the caller then tries.
    fn poll(&mut self, context: &Context<'_>) -> Poll<()> {
        if let Some(place) = &self.place {
            if place.slot.poll(context).is_pending() {
                return Poll::Pending;
            }
            // Who chose it has taken it out.
            self.place = None;
        }
        Poll::Ready(())
    }

    fn park(&mut self, context: &Context<'_>) {
        let slot = WaitSlot::new(context);
        let mut state = self.queue.state().borrow_mut();
        let ticket = parked_ticket(state.wait_queue(self.side).push(Rc::clone(&slot)));
        drop(state);
        self.place = Some(Place { ticket, slot });
    }
}

impl<T, S: Storage<T>> Drop for Waiting<'_, T, S> {
    fn drop(&mut self) {
        let Some(Place { ticket, slot }) = self.place.take() else { return };
        let is_available = self.queue.is_available(self.side);
        let mut spent = Vec::new();
        let mut state = self.queue.state().borrow_mut();
        let next = state.give_up(self.side, ticket, slot.waiter_state(), is_available, &mut spent);
        drop(state);
        drop(spent);
        if let Some(next) = next {
            next.choose();
        }
    }
}

/// Waits for an item of a [`Queue`](crate::Queue).
#[must_use = "it does nothing unless it is awaited"]
pub struct Get<'a, T, S: Storage<T>> {
    waiting: Waiting<'a, T, S>,
}

impl<'a, T, S: Storage<T>> Get<'a, T, S> {
    pub(super) const fn new(queue: &'a OrderedQueue<T, S>) -> Self {
        Self { waiting: Waiting { queue, side: Side::Get, place: None } }
    }
}

impl<T, S: Storage<T>> Future for Get<'_, T, S> {
    type Output = Result<T, QueueShutDown>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.waiting.poll(context).is_pending() {
            return Poll::Pending;
        }
        match self.waiting.queue.try_get() {
            Ok(item) => Poll::Ready(Ok(item)),
            Err(TryGetError::ShutDown) => Poll::Ready(Err(QueueShutDown)),
            Err(TryGetError::Empty) => {
                self.waiting.park(context);
                Poll::Pending
            }
        }
    }
}

impl<T, S: Storage<T>> fmt::Debug for Get<'_, T, S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Get").field("place", &self.waiting.place).finish_non_exhaustive()
    }
}

/// Waits for a place in a [`Queue`](crate::Queue).
#[must_use = "it does nothing unless it is awaited"]
pub struct Put<'a, T, S: Storage<T>> {
    waiting: Waiting<'a, T, S>,
    /// Present until it is put.
    item: Option<T>,
}

impl<'a, T, S: Storage<T>> Put<'a, T, S> {
    pub(super) const fn new(queue: &'a OrderedQueue<T, S>, item: T) -> Self {
        Self { waiting: Waiting { queue, side: Side::Put, place: None }, item: Some(item) }
    }
}

/// The item is moved, never pinned.
impl<T, S: Storage<T>> Unpin for Put<'_, T, S> {}

impl<T, S: Storage<T>> Future for Put<'_, T, S> {
    type Output = Result<(), PutError<T>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.waiting.poll(context).is_pending() {
            return Poll::Pending;
        }
        let item = self.item.take().expect("a future is not polled again after it was ready");
        match self.waiting.queue.try_put(item) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(TryPutError::ShutDown(item)) => Poll::Ready(Err(PutError(item))),
            Err(TryPutError::Full(item)) => {
                self.item = Some(item);
                self.waiting.park(context);
                Poll::Pending
            }
        }
    }
}

impl<T, S: Storage<T>> fmt::Debug for Put<'_, T, S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Put").field("place", &self.waiting.place).finish_non_exhaustive()
    }
}
