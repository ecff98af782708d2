//! `Task.cancel()`: cancels what the task waits for, and so on down to the innermost future.
//!
//! A chain of ferrio tasks that wait for one another is walked in a loop, however long it is. Objects that may run a
//! program's code, or that may hold several futures, are called, one level of recursion deeper each time.

use pyo3::exceptions::PyRecursionError;
use pyo3::prelude::*;

use super::{TaskRef, is_exact};
use crate::capi::owned_ref::OwnedRef;
use crate::capi::recursion::enter_recursive_call;
use crate::objects::future::{FutureRef, GatheringFuture};

impl<'py> TaskRef<'py> {
    /// `cancel()`: cancels the future it waits for, or makes the next step raise `CancelledError`.
    pub(crate) fn cancel(&self, message: Option<Bound<'py, PyAny>>) -> PyResult<bool> {
        if !self.note_cancellation() {
            return Ok(false);
        }
        let (innermost, waits_for) = self.innermost_pending()?;
        if let Some(future) = waits_for
            && enter_recursive_call(self.py(), c" while cancelling a task", || cancel_any(&future, message.clone()))?
        {
            return Ok(true);
        }
        innermost.update(|body| body.must_cancel = true);
        let message = message.map(OwnedRef::from);
        let before = innermost.future().update(|body| std::mem::replace(&mut body.cancel_message, message));
        drop(before);
        Ok(true)
    }

    /// Counts a request, unless the task is done.
    fn note_cancellation(&self) -> bool {
        self.future().update(|body| body.log_traceback = false);
        if !self.future().is_pending() {
            return false;
        }
        self.update(|body| body.cancels_requested += 1);
        true
    }

    /// The last of a chain of pending tasks that wait for one another, beginning with this one, each with its request
    /// counted; and what else it waits for, unless that is a task that is done.
    fn innermost_pending(&self) -> PyResult<(Self, Option<Bound<'py, PyAny>>)> {
        let mut innermost = self.clone();
        // Detects a cycle: `seen` is the task that was reached after a power of two of steps.
        let (mut seen, mut steps, mut next_seen) = (self.clone(), 0_usize, 1_usize);
        loop {
            let Some(future) = innermost.task().waiting_for.as_ref().map(|future| future.get(self.py())) else {
                return Ok((innermost, None));
            };
            let Some(task) = Self::exact(&future) else { return Ok((innermost, Some(future))) };
            if !task.note_cancellation() {
                return Ok((innermost, None));
            }
            if task.object().is(seen.object()) {
                let text = "maximum recursion depth exceeded while cancelling a task";
                return Err(crate::capi::raise::error::<PyRecursionError>(text));
            }
            steps += 1;
            if steps == next_seen {
                seen = task.clone();
                next_seen *= 2;
            }
            innermost = task;
        }
    }

    /// The task behind `object` if it is exactly of our type, so that its methods are ours.
    fn exact(object: &Bound<'py, PyAny>) -> Option<Self> {
        // SAFETY: an instance of exactly our type.
        is_exact(object.get_type_ptr()).then(|| unsafe { Self::new_unchecked(object.clone()) })
    }
}

/// `future.cancel(msg=message)`, without a method call where `cancel` cannot be overridden.
pub(crate) fn cancel_any<'py>(future: &Bound<'py, PyAny>, message: Option<Bound<'py, PyAny>>) -> PyResult<bool> {
    let py = future.py();
    if let Some(exact) = FutureRef::exact(future) {
        if let Some(task) = TaskRef::exact(future) {
            return task.cancel(message);
        }
        if let Some(outer_future) = GatheringFuture::of(future) {
            return outer_future.cancel(message.as_ref());
        }
        return exact.cancel_as_future(message);
    }
    let keywords = crate::capi::memory::dict(py)?;
    keywords.set_item(crate::intern!(py, "msg"), message)?;
    future.call_method(crate::intern!(py, "cancel"), (), Some(&keywords))?.is_truthy()
}
