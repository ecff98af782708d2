//! The waker of a coroutine's future.
//!
//! On the loop's thread it completes the asyncio future that the task waits for; on any other thread it sends itself to
//! the loop, which does that.

use std::sync::{Arc, OnceLock};
use std::task::Wake;

use pyo3::prelude::*;

use crate::forks;
use crate::futures::thread_number;
use crate::inbox::{Inbox, Message};
use crate::loop_bridge::LoopBridge;
use crate::panics::{for_python, report_unraisable};
use crate::wake_state::WakeState;

pub(crate) struct TaskWaker {
    state: WakeState<Py<PyAny>>,
    /// The bridge of the task's loop; set before the task first waits.
    bridge: OnceLock<Py<LoopBridge>>,
}

impl TaskWaker {
    /// The waker of a task that has not begun.
    pub(crate) fn new() -> Self {
        Self { state: WakeState::new(), bridge: OnceLock::new() }
    }

    /// Forgets earlier wake-ups.
    pub(crate) fn reset(&self) {
        drop(self.state.reset());
    }

    pub(crate) fn is_woken(&self) -> bool {
        self.state.is_woken()
    }

    /// Lets the task wait for `future`, unless it was woken meanwhile: then the future is given back.
    pub(crate) fn wait_for(&self, py: Python<'_>, bridge: &Py<LoopBridge>, future: Py<PyAny>) -> Result<(), Py<PyAny>> {
        self.bridge.get_or_init(|| bridge.clone_ref(py));
        self.state.wait_for(future)
    }

    /// Completes the asyncio future, on the loop's thread.
    pub(crate) fn wake_here(&self, py: Python<'_>) -> PyResult<()> {
        match self.state.wake() {
            Some(future) => self.bridge().complete(future.bind(py)),
            None => Ok(()),
        }
    }

    /// The same if the loop runs on this thread. False if it does not, as it may go on on another thread.
    fn wake_if_running(&self, py: Python<'_>) -> bool {
        if !self.bridge().is_running_here(py) {
            return false;
        }
        if let Err(error) = for_python(py, || self.wake_here(py)) {
            report_unraisable(py, error, None);
        }
        true
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
        self.state.look(|future| visit.call(future)).unwrap_or(Ok(()))
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.inbox().is_some_and(|inbox| inbox.is_on_thread(thread_number())) {
            // None at the interpreter's end, when no loop runs any more.
            if !self.state.note_here() || Python::try_attach(|py| self.wake_if_running(py)) != Some(false) {
                return;
            }
        }
        let _passing = forks::pass();
        if self.state.note_elsewhere() {
            // A closed loop has dropped the future.
            let _ = self.bridge().inbox.push_while_passing(Message::Wake(Arc::clone(self)));
        }
    }
}
