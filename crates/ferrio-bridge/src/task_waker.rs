//! The waker of a coroutine's future.
//!
//! On the loop's thread it completes the asyncio future that the task waits for; on any other thread it sends itself to
//! the loop, which does that.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::task::Wake;

use pyo3::prelude::*;

use crate::forks;
use crate::futures::thread_number;
use crate::inbox::{Inbox, Message};
use crate::loop_bridge::LoopBridge;
use crate::panics::{for_python, report_unraisable};

#[derive(Default)]
pub(crate) struct TaskWaker {
    state: Mutex<State>,
    /// That of the loop that the task belongs to; set before it first waits.
    bridge: OnceLock<Py<LoopBridge>>,
}

#[derive(Default)]
enum State {
    /// The future is polled, or its task waits for something else.
    #[default]
    Unwoken,
    /// Woken since the last poll began.
    Woken,
    /// The task waits for this asyncio future.
    Waiting(Py<PyAny>),
    /// The same, and the loop will be told by its inbox.
    Sent(Py<PyAny>),
}

impl TaskWaker {
    /// Forgets earlier wake-ups: a poll that begins sees all that happened, and after the end there is none.
    pub(crate) fn reset(&self) {
        let before = std::mem::take(&mut *self.lock());
        drop(before);
    }

    pub(crate) fn is_woken(&self) -> bool {
        matches!(*self.lock(), State::Woken)
    }

    /// Lets the task wait for `future`, unless it was woken meanwhile: then the future is given back.
    pub(crate) fn wait_for(&self, py: Python<'_>, bridge: &Py<LoopBridge>, future: Py<PyAny>) -> Result<(), Py<PyAny>> {
        self.bridge.get_or_init(|| bridge.clone_ref(py));
        let mut state = self.lock();
        if matches!(*state, State::Woken) {
            return Err(future);
        }
        *state = State::Waiting(future);
        Ok(())
    }

    /// Completes the asyncio future, on the loop's thread.
    pub(crate) fn wake_here(&self, py: Python<'_>) -> PyResult<()> {
        let state = std::mem::replace(&mut *self.lock(), State::Woken);
        match state {
            State::Waiting(future) | State::Sent(future) => self.bridge().complete(future.bind(py)),
            State::Unwoken | State::Woken => Ok(()),
        }
    }

    /// The inbox of its loop, once it has waited.
    pub(crate) fn inbox(&self) -> Option<&Inbox> {
        self.bridge.get().map(|bridge| &*bridge.get().inbox)
    }

    fn bridge(&self) -> &LoopBridge {
        self.bridge.get().expect("set before it waits").get()
    }

    /// Shows the collector the future that the task waits for.
    pub(crate) fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        match self.state.try_lock().as_deref() {
            Ok(State::Waiting(future) | State::Sent(future)) => visit.call(future),
            Ok(State::Unwoken | State::Woken) | Err(_) => Ok(()),
        }
    }

    /// No Python code runs and nothing is dropped under this lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics under this lock")
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.inbox().is_some_and(|inbox| inbox.is_on_thread(thread_number())) {
            if self.note_wake() {
                // None at the interpreter's end, when no loop runs any more.
                Python::try_attach(|py| {
                    if let Err(error) = for_python(py, || self.wake_here(py)) {
                        report_unraisable(py, error, None);
                    }
                });
            }
            return;
        }
        let _passing = forks::pass();
        let mut state = self.lock();
        match std::mem::take(&mut *state) {
            State::Unwoken | State::Woken => *state = State::Woken,
            State::Sent(future) => *state = State::Sent(future),
            State::Waiting(future) => {
                *state = State::Sent(future);
                drop(state);
                // A closed loop has dropped the future.
                let _ = self.bridge().inbox.push_while_passing(Message::Wake(Arc::clone(self)));
            }
        }
    }
}

impl TaskWaker {
    /// Notes a wake-up on the loop's thread; true if the task waits, and is to be woken.
    fn note_wake(&self) -> bool {
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
}
