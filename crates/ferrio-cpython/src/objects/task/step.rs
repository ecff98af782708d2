//! A step: resumes the coroutine once and handles the result.
//!
//! The reference is `task_step_impl` and `task_step_handle_result_impl` of the interpreter's C module. On a ferrio loop
//! a step is a value in the ready queue, run in the task's context; any other loop gets a callable through its
//! `call_soon` and enters the context itself.

use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError, PySystemExit};
use pyo3::ffi;
use pyo3::prelude::*;

use super::{TaskBody, TaskObject, TaskRef, bound_function, cancel_any, registry};
use crate::capi::context;
use crate::capi::imports;
use crate::capi::memory;
use crate::capi::owned_ref::OwnedRef;
use crate::capi::recursion;
use crate::capi::resume::{self, Step};
use crate::capi::trampoline::trampoline;
use crate::objects::current;
use crate::objects::future::{FutureRef, forget_waiter, invalid_state, note_waiter, waiters_are_kept};
use crate::objects::handle::HandleRef;
use crate::objects::loop_base::LoopBase;
use crate::objects::recording::timeline;
use crate::objects::runnable::Runnable;

type Object = *mut ffi::PyObject;

impl<'py> TaskRef<'py> {
    /// Schedules the next step, which raises `error` in the coroutine if there is one.
    #[inline]
    pub(super) fn schedule_step(&self, error: Option<Bound<'py, PyAny>>) -> PyResult<()> {
        let py = self.py();
        if let Some(owner) = self.future().native_owner()? {
            owner.get().check_scheduling(py)?;
            return owner.get().push(py, Runnable::step(self.object().clone().into(), error.map(OwnedRef::from)));
        }
        let owner = self.future().owner()?;
        let keywords = memory::dict(py)?;
        let context = self.task().context.as_ref().map(|context| context.get(py));
        keywords.set_item(crate::intern!(py, "context"), context)?;
        let callable = step_callable(self)?;
        match error {
            Some(error) => owner.call_method(crate::intern!(py, "call_soon"), (callable, error), Some(&keywords))?,
            None => owner.call_method(crate::intern!(py, "call_soon"), (callable,), Some(&keywords))?,
        };
        Ok(())
    }

    /// Runs the first step at once, in the middle of the code that runs now.
    #[cold]
    pub(super) fn start_eagerly(&self) -> PyResult<()> {
        let py = self.py();
        let owner = self.future().owner()?;
        if let Some(error) = recursion::check_stack(c" while starting a task") {
            let coroutine = self.update(TaskBody::take_coroutine);
            drop(coroutine);
            return self.end_with(error);
        }
        registry::add(self);
        let context = self.context()?;
        let run = || context::run_in(py, &context, || self.step(None));
        let native = owner.cast::<LoopBase>().ok().map(Bound::get);
        let outcome = timeline::around_step(native, self, || current::run_nested_step(&owner, self.object(), run));
        if !self.future().is_pending() {
            let coroutine = self.update(TaskBody::take_coroutine);
            drop(coroutine);
        }
        outcome
    }

    pub(super) fn context(&self) -> PyResult<Bound<'py, PyAny>> {
        match &self.task().context {
            Some(context) => Ok(context.get(self.py())),
            None => Err(crate::capi::raise::error::<PyRuntimeError>("uninitialized Task object")),
        }
    }

    /// Resumes the coroutine and handles the result. Returns only `KeyboardInterrupt`, `SystemExit` and internal
    /// errors.
    fn step(&self, error: Option<Bound<'py, PyAny>>) -> PyResult<()> {
        let py = self.py();
        if !self.future().is_pending() {
            return Err(self.already_done(error.as_ref()));
        }
        let error = if self.task().must_cancel { Some(self.cancellation(error)?) } else { error };
        let (coroutine, awaited) =
            self.update(|body| (body.coroutine.as_ref().map(|owned| owned.get(py)), body.waiting_for.take()));
        drop(awaited);
        let Some(coroutine) = coroutine else {
            return Err(crate::capi::raise::error::<PyRuntimeError>("uninitialized Task object"));
        };
        let answer = match error {
            None => resume::send_none(&coroutine),
            Some(error) => resume::throw(&coroutine, PyErr::from_value(error)),
        };
        match answer {
            Ok(Step::Yielded(object)) => self.wait_for(object),
            Ok(Step::Returned(result)) => {
                self.leave_registry();
                if self.task().must_cancel {
                    // Cancelled right before the coroutine returned.
                    self.update(|body| body.must_cancel = false);
                    let message = self.future().body().cancel_message.as_ref().map(|message| message.get(py));
                    self.future().cancel_as_future(message)?;
                    return Ok(());
                }
                self.future().finish(result)
            }
            Err(error) => self.end_with(error),
        }
    }

    fn leave_registry(&self) {
        // SAFETY: alive while counted.
        unsafe { registry::remove(self.object().as_ptr().cast::<TaskObject>()) };
    }

    /// The `CancelledError` due at this step, unless one is being delivered anyway.
    #[cold]
    fn cancellation(&self, error: Option<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        let due = match error {
            Some(error) if error.is_instance(imports::cancelled_error(self.py())?)? => error,
            Some(_) | None => self.future().cancelled_exception()?,
        };
        self.update(|body| body.must_cancel = false);
        Ok(due)
    }

    #[cold]
    fn already_done(&self, error: Option<&Bound<'py, PyAny>>) -> PyErr {
        let py = self.py();
        let shown = || {
            let error =
                error.map_or_else(|| Ok("None".to_owned()), |error| error.repr().map(|repr| repr.to_string()))?;
            Ok(format!("__step(): already done: {} {error}", self.object().repr()?))
        };
        let text: PyResult<String> = shown();
        match text {
            Ok(text) => invalid_state(py, text),
            Err(failed) => failed,
        }
    }

    /// The coroutine raised.
    #[cold]
    fn end_with(&self, error: PyErr) -> PyResult<()> {
        let py = self.py();
        self.leave_registry();
        let exception = error.into_value(py).into_bound(py).into_any();
        if exception.is_instance(imports::cancelled_error(py)?)? {
            self.future().cancel_by(exception)?;
            return Ok(());
        }
        self.future().fail(&exception)?;
        if exception.is_instance_of::<PyKeyboardInterrupt>() || exception.is_instance_of::<PySystemExit>() {
            return Err(PyErr::from_value(exception));
        }
        Ok(())
    }

    /// The coroutine yielded `object`: waits for it, or raises in the coroutine what is wrong with it.
    #[inline]
    fn wait_for(&self, object: Bound<'py, PyAny>) -> PyResult<()> {
        let py = self.py();
        if object.is_none() {
            return self.schedule_step(None);
        }
        if object.is(self.object()) {
            let text = format!("Task cannot await on itself: {}", self.object().repr()?);
            return self.schedule_failure(text);
        }
        let Some(future) = FutureRef::exact_ref(&object) else {
            return self.wait_for_foreign(object);
        };
        let owners = (
            future.body().owner.as_ref().map(OwnedRef::as_ptr),
            self.future().body().owner.as_ref().map(OwnedRef::as_ptr),
        );
        if owners.0 != owners.1 {
            return self.refuse_loop(&object);
        }
        if !future.update(|body| std::mem::replace(&mut body.blocking, false)) {
            return self.refuse_yield(&object);
        }
        if waiters_are_kept(py) {
            future.add_awaited_by(self.object())?;
        }
        future.wake_when_done(self)?;
        self.now_waiting(&object, |message| cancel_any(&object, message))?;
        Ok(())
    }

    #[inline]
    fn now_waiting(
        &self,
        object: &Bound<'py, PyAny>,
        cancel: impl FnOnce(Option<Bound<'py, PyAny>>) -> PyResult<bool>,
    ) -> PyResult<()> {
        let before = self.update(|body| body.waiting_for.replace(object.clone().into()));
        drop(before);
        if self.task().must_cancel {
            let message = self.future().body().cancel_message.as_ref().map(|message| message.get(self.py()));
            if cancel(message)? {
                self.update(|body| body.must_cancel = false);
            }
        }
        Ok(())
    }

    /// Waits for a future of another implementation, or rejects an object that cannot be waited for.
    fn wait_for_foreign(&self, object: Bound<'py, PyAny>) -> PyResult<()> {
        let py = self.py();
        let blocking = object.getattr_opt(crate::intern!(py, "_asyncio_future_blocking"))?;
        if let Some(blocking) = blocking.filter(|blocking| !blocking.is_none()) {
            let blocking = blocking.is_truthy()?;
            let owner = match object.getattr_opt(crate::intern!(py, "get_loop"))? {
                Some(get_loop) => get_loop.call0()?,
                None => object.getattr(crate::intern!(py, "_loop"))?,
            };
            if !owner.is(&self.future().owner()?) {
                return self.refuse_loop(&object);
            }
            if !blocking {
                return self.refuse_yield(&object);
            }
            if waiters_are_kept(py) {
                note_waiter(&object, self.object())?;
            }
            object.setattr(crate::intern!(py, "_asyncio_future_blocking"), false)?;
            let keywords = memory::dict(py)?;
            keywords.set_item(crate::intern!(py, "context"), self.context()?)?;
            object.call_method(crate::intern!(py, "add_done_callback"), (wakeup_callable(self)?,), Some(&keywords))?;
            return self.now_waiting(&object, |message| cancel_any(&object, message));
        }
        // SAFETY: reads the type of a live object.
        if unsafe { ffi::PyGen_CheckExact(object.as_ptr()) } != 0 {
            return self.schedule_failure(format!(
                "yield was used instead of yield from for generator in task {} with {}",
                self.object().repr()?,
                object.repr()?
            ));
        }
        self.schedule_failure(format!("Task got bad yield: {}", object.repr()?))
    }

    #[cold]
    fn refuse_loop(&self, object: &Bound<'py, PyAny>) -> PyResult<()> {
        let (task, future) = (self.object().repr()?, object.repr()?);
        self.schedule_failure(format!("Task {task} got Future {future} attached to a different loop"))
    }

    #[cold]
    fn refuse_yield(&self, object: &Bound<'py, PyAny>) -> PyResult<()> {
        let (task, future) = (self.object().repr()?, object.repr()?);
        self.schedule_failure(format!("yield was used instead of yield from in task {task} with {future}"))
    }

    #[cold]
    fn schedule_failure(&self, text: String) -> PyResult<()> {
        let py = self.py();
        let error = crate::capi::raise::error::<PyRuntimeError>(text).into_value(py).into_bound(py).into_any();
        self.schedule_step(Some(error))
    }

    /// The future that was waited for is done.
    fn wake(&self, future: &Bound<'py, PyAny>) -> PyResult<()> {
        let py = self.py();
        if waiters_are_kept(py) {
            forget_waiter(future, self.object())?;
        }
        let failure = match FutureRef::exact_ref(future) {
            Some(future) => future.failure()?,
            None => match future.call_method0(crate::intern!(py, "result")) {
                Ok(_) => None,
                Err(error) => Some(error.into_value(py).into_bound(py).into_any()),
            },
        };
        self.step(failure)
    }

    /// A step as other loops run it: the context is entered already, and the task is shown as running for its length.
    fn entered(&self, body: impl FnOnce() -> PyResult<()>) -> PyResult<()> {
        let owner = self.future().owner()?;
        current::enter(&owner, self.object())?;
        let outcome = timeline::around_step(None, self, body);
        let left = current::leave(&owner, self.object());
        outcome.and(left)
    }
}

/// Runs a step that waited in the ready queue of a ferrio loop.
#[inline]
pub(crate) fn run_step(owner: &Bound<'_, LoopBase>, task: &OwnedRef, error: Option<&OwnedRef>) -> PyResult<()> {
    let py = owner.py();
    // SAFETY: only tasks are queued as such.
    let task = unsafe { TaskRef::lent(py, task) };
    let error = error.map(|error| error.get(py));
    run_scheduled(owner, task, || task.step(error))
}

/// Runs the step of a task of which `future` is done.
#[inline]
pub(crate) fn run_wakeup(owner: &Bound<'_, LoopBase>, task: &OwnedRef, future: &OwnedRef) -> PyResult<()> {
    let py = owner.py();
    // SAFETY: only tasks are queued as such.
    let task = unsafe { TaskRef::lent(py, task) };
    run_scheduled(owner, task, || task.wake(future.bind(py)))
}

#[inline]
fn run_scheduled<'py>(
    owner: &Bound<'py, LoopBase>,
    task: &TaskRef<'py>,
    body: impl FnOnce() -> PyResult<()>,
) -> PyResult<()> {
    let run = || {
        LoopBase::sync_current_task_if_eager(owner)?;
        context::run_in(owner.py(), &task.context()?, body)
    };
    let step = LoopBase::begin_step(owner, task.object());
    let outcome = run();
    drop(step);
    match outcome {
        Ok(()) => Ok(()),
        Err(error) => report(task, owner, error),
    }
}

/// Reports as for a callback; returns `SystemExit` and `KeyboardInterrupt`.
#[cold]
fn report<'py>(task: &TaskRef<'py>, owner: &Bound<'py, LoopBase>, error: PyErr) -> PyResult<()> {
    let py = task.py();
    LoopBase::sync_or_report(owner)?;
    let handle = HandleRef::unscheduled(owner, &step_callable(task)?, &pyo3::types::PyTuple::empty(py))?;
    handle.report_error(py, error)
}

/// Definitions of functions for other loops to call; never written to.
struct Definition(ffi::PyMethodDef);

// SAFETY: pointers to static strings and functions.
unsafe impl Sync for Definition {}

static STEP: Definition = Definition(ffi::PyMethodDef {
    ml_name: c"task_step".as_ptr(),
    ml_meth: ffi::PyMethodDefPointer { PyCFunctionFast: called_step },
    ml_flags: ffi::METH_FASTCALL,
    ml_doc: std::ptr::null(),
});

static WAKEUP: Definition = Definition(ffi::PyMethodDef {
    ml_name: c"task_wakeup".as_ptr(),
    ml_meth: ffi::PyMethodDefPointer { PyCFunction: called_wakeup },
    ml_flags: ffi::METH_O,
    ml_doc: std::ptr::null(),
});

fn step_callable<'py>(task: &TaskRef<'py>) -> PyResult<Bound<'py, PyAny>> {
    bound_function(task, &STEP.0)
}

/// The callable that other futures call when they are done.
pub(crate) fn wakeup_callable<'py>(task: &TaskRef<'py>) -> PyResult<Bound<'py, PyAny>> {
    bound_function(task, &WAKEUP.0)
}

unsafe extern "C" fn called_step(object: Object, stack: *mut Object, count: isize) -> Object {
    trampoline(|py| {
        // SAFETY: `__self__` of the function, a task.
        let task = unsafe { TaskRef::from_borrowed(py, object) };
        let error = if count > 0 {
            // SAFETY: within the stack, by the calling convention.
            let pointer = unsafe { *stack };
            // SAFETY: an argument, alive during the call.
            Some(unsafe { Bound::from_borrowed_ptr(py, pointer) }).filter(|error| !error.is_none())
        } else {
            None
        };
        task.entered(|| task.step(error))?;
        Ok(py.None())
    })
}

unsafe extern "C" fn called_wakeup(object: Object, future: Object) -> Object {
    trampoline(|py| {
        // SAFETY: `__self__` of the function, a task.
        let task = unsafe { TaskRef::from_borrowed(py, object) };
        // SAFETY: an argument, alive during the call.
        let future = unsafe { Bound::from_borrowed_ptr(py, future) };
        task.entered(|| task.wake(&future))?;
        Ok(py.None())
    })
}
