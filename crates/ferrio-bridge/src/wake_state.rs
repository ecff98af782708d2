//! What a waker knows of its task.
//!
//! States: unwoken, while the future is polled or its task waits for something else; woken since the last poll began;
//! waiting, for an asyncio future; sent, the same after another thread has told the loop. Only the loop's thread makes a
//! task wait and completes what it waits for; any thread may wake. Invariant: a wake-up that comes after a poll began is
//! seen by a later poll.
//!
//! Loom tests this file (`tests/waker.rs`).

use crate::sync::{Mutex, MutexGuard};

#[derive(Default)]
enum State<F> {
    #[default]
    Unwoken,
    Woken,
    Waiting(F),
    Sent(F),
}

/// The state of a task whose asyncio futures are of type `F`.
pub(crate) struct WakeState<F> {
    state: Mutex<State<F>>,
}

impl<F> WakeState<F> {
    /// Unwoken.
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State::Unwoken) }
    }

    /// Forgets earlier wake-ups: a poll that begins sees all that happened, and after the end there is none. Returns what
    /// the task waited for.
    pub(crate) fn reset(&self) -> Option<F> {
        self.replace(State::Unwoken)
    }

    pub(crate) fn is_woken(&self) -> bool {
        matches!(*self.lock(), State::Woken)
    }

    /// Lets the task wait for `future`, unless it was woken meanwhile: then the future is given back.
    pub(crate) fn wait_for(&self, future: F) -> Result<(), F> {
        let mut state = self.lock();
        if matches!(*state, State::Woken) {
            return Err(future);
        }
        *state = State::Waiting(future);
        Ok(())
    }

    /// Notes a wake-up on the loop's thread. True if the task waits: then [`WakeState::wake`] is to follow.
    pub(crate) fn note_here(&self) -> bool {
        let mut state = self.lock();
        match *state {
            State::Unwoken | State::Woken => {
                *state = State::Woken;
                false
            }
            State::Sent(_) => false,
            State::Waiting(_) => true,
        }
    }

    /// Notes a wake-up on another thread. True if the task waits and the loop does not know: then the caller tells it, so
    /// that it calls [`WakeState::wake`].
    pub(crate) fn note_elsewhere(&self) -> bool {
        let mut state = self.lock();
        match std::mem::take(&mut *state) {
            State::Unwoken | State::Woken => *state = State::Woken,
            State::Sent(future) => *state = State::Sent(future),
            State::Waiting(future) => {
                *state = State::Sent(future);
                return true;
            }
        }
        false
    }

    /// Wakes the task, on the loop's thread. Returns the future to complete.
    pub(crate) fn wake(&self) -> Option<F> {
        self.replace(State::Woken)
    }

    /// Looks at what the task waits for, if nobody changes that just now.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&F) -> R) -> Option<R> {
        match self.state.try_lock().as_deref() {
            Ok(State::Waiting(future) | State::Sent(future)) => Some(look(future)),
            Ok(State::Unwoken | State::Woken) | Err(_) => None,
        }
    }

    fn replace(&self, next: State<F>) -> Option<F> {
        match std::mem::replace(&mut *self.lock(), next) {
            State::Waiting(future) | State::Sent(future) => Some(future),
            State::Unwoken | State::Woken => None,
        }
    }

    /// No Python code runs and nothing is dropped under this lock.
    fn lock(&self) -> MutexGuard<'_, State<F>> {
        self.state.lock().expect("no code panics under this lock")
    }
}
