//! The event.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use ferrio_engine::EventState;

use super::wait_slot::{Place, WaitSlot, parked_ticket};

/// A flag that tasks wait for.
///
/// ```
/// use std::rc::Rc;
/// use ferrio::Event;
///
/// ferrio::run(async {
///     let ready = Rc::new(Event::new());
///     let waiting = Rc::clone(&ready);
///     let task = ferrio::spawn(async move { waiting.wait().await });
///     ferrio::yield_now().await;
///     assert!(!task.is_done());
///     ready.set();
///     task.await.expect("it has a result");
/// })?;
/// # Ok::<(), ferrio::RunError>(())
/// ```
#[derive(Debug, Default)]
pub struct Event {
    state: RefCell<EventState<Rc<WaitSlot>>>,
}

impl Event {
    /// An event that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until it is set. Whoever waits when it is set goes on, even if it is cleared at once.
    pub const fn wait(&self) -> WaitEvent<'_> {
        WaitEvent { event: self, place: None }
    }

    /// Sets it, and wakes all who wait.
    pub fn set(&self) {
        let waiters: Vec<_> = self.state.borrow_mut().set().map(Rc::clone).collect();
        for waiter in &waiters {
            waiter.choose();
        }
    }

    /// Clears it: from now on `wait` waits again.
    pub fn clear(&self) {
        self.state.borrow_mut().is_set = false;
    }

    /// Whether it is set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.state.borrow().is_set
    }
}

/// Waits for an [`Event`].
#[derive(Debug)]
#[must_use = "it does nothing unless it is awaited"]
pub struct WaitEvent<'a> {
    event: &'a Event,
    place: Option<Place>,
}

impl WaitEvent<'_> {
    fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            let slot = self.event.state.borrow_mut().waiters.remove(place.ticket);
            drop(slot);
        }
    }
}

impl Future for WaitEvent<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(place) = &self.place {
            if place.slot.poll(context).is_pending() {
                return Poll::Pending;
            }
            self.leave();
            return Poll::Ready(());
        }
        let mut state = self.event.state.borrow_mut();
        if state.is_set {
            return Poll::Ready(());
        }
        let slot = WaitSlot::new(context);
        let ticket = parked_ticket(state.waiters.push(Rc::clone(&slot)));
        drop(state);
        self.place = Some(Place { ticket, slot });
        Poll::Pending
    }
}

impl Drop for WaitEvent<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}
