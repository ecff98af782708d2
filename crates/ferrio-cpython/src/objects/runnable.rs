//! `Runnable`: the tagged value of the ready queue.
//!
//! A public `call_soon` queues a handle; what ferrio itself schedules is queued directly: a task's step and a future's
//! done callback with no handle, context or bound method, and all else (a transport that became readable, for example)
//! as an object and a function. A Rust future's poll is to become a further tag.

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::capi::held_frames::{Frame, left_by};
use crate::capi::owned_ref::OwnedRef;
use crate::objects::future::ReadyCallback;
use crate::objects::handle::HandleRef;
use crate::objects::loop_base::LoopBase;
use crate::objects::task::{self, TaskRef};

/// Something to run in a turn.
pub enum Runnable {
    /// A callback that a user scheduled.
    Handle(HandleRef),
    /// A task's step.
    Task(TaskStep),
    /// One of ferrio's own done callbacks.
    DoneCallback(ReadyCallback),
    /// Internal work of ferrio.
    Native(Native),
}

/// A ferrio task, and why it resumes.
pub enum TaskStep {
    /// Its turn has come; an error is raised in it.
    Step(OwnedRef, Option<OwnedRef>),
    /// The future it waited for is done.
    Wakeup(OwnedRef, OwnedRef),
}

impl TaskStep {
    /// `error`, which leaves the loop, with a traceback that keeps the task.
    #[cold]
    #[inline(never)]
    pub(crate) fn left_by(&self, py: Python<'_>, error: PyErr) -> PyErr {
        let (Self::Step(task, _) | Self::Wakeup(task, _)) = self;
        left_by(Frame::Step, &task.get(py), error)
    }
}

/// A function of ferrio, the object it works on and an integer argument.
pub struct Native {
    target: Py<PyAny>,
    action: Action,
    arg: u32,
}

/// Works on an object of the type that the code that queued it knows. If it returns `SystemExit` or
/// `KeyboardInterrupt`, the loop stops; any other error goes to the loop's exception handler.
pub type Action = fn(&Bound<'_, PyAny>, u32) -> PyResult<()>;

impl Runnable {
    /// Internal work: `action(target, arg)`.
    pub fn native<T>(target: Bound<'_, T>, action: Action, arg: u32) -> Self {
        Self::Native(Native { target: target.into_any().unbind(), action, arg })
    }

    /// The next step of a ferrio task.
    #[inline]
    pub(crate) fn step(task: OwnedRef, error: Option<OwnedRef>) -> Self {
        Self::Task(TaskStep::Step(task, error))
    }

    /// The step of a ferrio task whose future is done.
    #[inline]
    pub(crate) fn wakeup(task: OwnedRef, future: OwnedRef) -> Self {
        Self::Task(TaskStep::Wakeup(task, future))
    }

    #[inline]
    pub(crate) fn run(&self, owner: &Bound<'_, LoopBase>) -> PyResult<()> {
        let py = owner.py();
        match self {
            Self::Handle(handle) => handle.run(py),
            Self::Task(TaskStep::Step(task, error)) => task::run_step(owner, task, error.as_ref()),
            Self::Task(TaskStep::Wakeup(task, future)) => task::run_wakeup(owner, task, future),
            Self::DoneCallback(callback) => callback.run(py),
            Self::Native(native) => (native.action)(native.target.bind(py), native.arg),
        }
    }

    /// Whether it may call `current_task()` before it sets the running task itself, as a task's step does.
    #[inline]
    pub(crate) fn observes_current_task(&self, py: Python<'_>) -> bool {
        match self {
            Self::Task(_) => false,
            Self::Handle(handle) => !handle.only_finishes_future(py),
            Self::DoneCallback(_) | Self::Native(_) => true,
        }
    }

    /// The object that it works on. Makes no new object.
    pub(crate) fn subject<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        match self {
            Self::Handle(handle) => handle.bind(py),
            Self::Task(TaskStep::Step(task, _) | TaskStep::Wakeup(task, _)) => task.get(py),
            Self::DoneCallback(callback) => callback.future(py),
            Self::Native(native) => native.target.bind(py).clone(),
        }
    }

    /// The object that it works on, for messages.
    pub(crate) fn target<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Handle(handle) => Ok(handle.bind(py)),
            Self::Task(TaskStep::Step(task, _) | TaskStep::Wakeup(task, _)) => Ok(task.get(py)),
            Self::DoneCallback(callback) => callback.target(py),
            Self::Native(native) => Ok(native.target.bind(py).clone()),
        }
    }

    /// The task of ferrio's whose step it is.
    pub(crate) fn task<'a, 'py>(&'a self, py: Python<'py>) -> Option<&'a TaskRef<'py>> {
        match self {
            // SAFETY: only tasks are queued as such.
            Self::Task(TaskStep::Step(task, _) | TaskStep::Wakeup(task, _)) => Some(unsafe { TaskRef::lent(py, task) }),
            Self::Handle(_) | Self::DoneCallback(_) | Self::Native(_) => None,
        }
    }

    /// Makes the collector track the handle, if there are other references to it.
    pub(crate) fn show_if_shared(&self, py: Python<'_>) {
        if let Self::Handle(handle) = self {
            handle.show_if_shared(py);
        }
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Handle(handle) => handle.traverse(visit),
            Self::Task(TaskStep::Step(task, error)) => {
                task.traverse(visit)?;
                error.as_ref().map_or(Ok(()), |error| error.traverse(visit))
            }
            Self::Task(TaskStep::Wakeup(task, future)) => {
                task.traverse(visit)?;
                future.traverse(visit)
            }
            Self::DoneCallback(callback) => callback.traverse(visit),
            Self::Native(native) => visit.call(&native.target),
        }
    }
}
