//! `Task`: a future that drives a coroutine; layout and creation.
//!
//! The reference is the interpreter's own C type. While a task is pending it is in one of three states: it waits
//! (`waiting_for` is a future that will wake it), its step is scheduled, or it is running. Steps are in `step.rs`,
//! `cancel()` in `cancel.rs`, the Python interface in `methods.rs`, memory in `types.rs`, and the list of all pending
//! tasks in `registry.rs`.

mod cancel;
mod methods;
mod numbers;
pub(crate) mod registry;
mod repr;
mod shown;
mod step;
pub mod task_like;
mod types;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCFunction, PyType};

pub(crate) use cancel::cancel_any;
pub use numbers::SetOrder;
pub(crate) use numbers::{is_order_of_sets_open, note_simulation, restart_numbers, set_order_of_sets};
pub use registry::{all_tasks, counts, is_any_pending, listed_anywhere, show_to_asyncio};
pub(crate) use step::{run_step, run_wakeup, wakeup_callable};
pub(crate) use types::{is_exact, type_pointer};

use self::shown::{Number, Shown};
use crate::capi::context;
use crate::capi::imports;
use crate::capi::memory;
use crate::capi::owned_ref::OwnedRef;
use crate::capi::resume;
use crate::objects::coroutine;
use crate::objects::coroutine_check;
use crate::objects::future::{FutureBody, FutureObject, FutureRef};
use crate::objects::loop_base::LoopBase;
use crate::objects::recording;
use crate::objects::task_factory::Naming;

/// The layout of tasks: a future and what drives it.
#[repr(C)]
pub(crate) struct TaskObject {
    base: FutureObject,
    pub(crate) task: TaskBody,
}

/// What a task holds beyond a future. From the beginning to `link` the places are those of asyncio's own tasks.
#[derive(Default)]
#[repr(C)]
pub(crate) struct TaskBody {
    /// Follows `coroutine`, `name` and `number`.
    shown: Shown,
    /// Steps run in it.
    pub(crate) context: Option<OwnedRef>,
    /// Place in a list of pending tasks.
    pub(crate) link: registry::Link,
    /// None before `__init__`, and after an eager start that ran to the end.
    coroutine: Option<OwnedRef>,
    /// The future that will wake it.
    pub(crate) waiting_for: Option<OwnedRef>,
    /// None until the name `Task-<number>` is first read.
    name: Option<OwnedRef>,
    /// What anyio knows of the task, if anything: kept here rather than in a dictionary with weak keys.
    annex: Option<OwnedRef>,
    /// 0 for a named task whose number nothing has asked for.
    number: Number,
    pub(crate) cancels_requested: u32,
    /// `CancelledError` is due at the next step.
    pub(crate) must_cancel: bool,
    /// It belongs to a simulation; see `numbers.rs`.
    hash_kind: numbers::HashKind,
    pub(crate) log_destroy_pending: bool,
    /// In which recording `place` is; 0 for none.
    pub(crate) recording: u8,
    /// Where `recording` has it, if it does.
    pub(crate) place: u32,
}

/// Where a task has its name, which may be null, and its number: distances from its address.
#[must_use]
pub const fn places_of_name() -> (usize, usize) {
    let body = std::mem::offset_of!(TaskObject, task);
    (body + std::mem::offset_of!(TaskBody, name), body + std::mem::offset_of!(TaskBody, number))
}

impl TaskBody {
    /// None before `__init__`, and after an eager start that ran to the end.
    #[inline]
    pub(crate) fn coroutine(&self) -> Option<&OwnedRef> {
        self.coroutine.as_ref()
    }

    /// Shows no coroutine from now on.
    pub(crate) fn take_coroutine(&mut self) -> Option<OwnedRef> {
        self.shown.set_coroutine(None);
        self.coroutine.take()
    }
}

/// A counted reference to a ferrio task, or to an instance of a subclass.
#[derive(Clone)]
#[repr(transparent)]
pub(crate) struct TaskRef<'py>(FutureRef<'py>);

/// The parameters of a new task.
pub struct Parts<'py> {
    /// What it drives.
    pub coroutine: Bound<'py, PyAny>,
    /// None for `Task-<number>`.
    pub name: Option<Bound<'py, PyAny>>,
    /// None for a copy of the current one.
    pub context: Option<Bound<'py, PyAny>>,
    /// Runs the first step at once, if the loop runs.
    pub eager_start: bool,
}

/// The number of a ferrio task, which is the same in each run of a simulated program; 0 for anything else.
pub(crate) fn number(object: &Bound<'_, PyAny>) -> u64 {
    TaskRef::of(object).map_or(0, |task| numbers::number(&task))
}

impl<'py> TaskRef<'py> {
    /// # Safety
    /// `object` is a live instance of our type, lent by C code.
    #[inline]
    pub(crate) unsafe fn from_borrowed(py: Python<'py>, object: *mut ffi::PyObject) -> Self {
        // SAFETY: alive, the caller guarantees it.
        let object = unsafe { Bound::from_borrowed_ptr(py, object) };
        // SAFETY: of our type, the caller guarantees it.
        unsafe { Self::new_unchecked(object) }
    }

    /// # Safety
    /// `object` is a new reference to an instance of our type.
    #[inline]
    pub(crate) unsafe fn from_owned(py: Python<'py>, object: *mut ffi::PyObject) -> Self {
        // SAFETY: a new reference, the caller guarantees it.
        let object = unsafe { Bound::from_owned_ptr(py, object) };
        // SAFETY: of our type, the caller guarantees it.
        unsafe { Self::new_unchecked(object) }
    }

    /// # Safety
    /// `object` is an instance of our task type.
    #[inline]
    pub(crate) unsafe fn new_unchecked(object: Bound<'py, PyAny>) -> Self {
        // SAFETY: tasks are futures.
        Self(unsafe { FutureRef::new_unchecked(object) })
    }

    /// The task behind `object` if it is of our type or a subtype.
    pub(crate) fn of(object: &Bound<'py, PyAny>) -> Option<Self> {
        let class = type_pointer();
        // SAFETY: a live object, and null or our type.
        let fits = !class.is_null() && unsafe { ffi::PyObject_TypeCheck(object.as_ptr(), class) } != 0;
        // SAFETY: of our type, as just seen.
        fits.then(|| unsafe { Self::new_unchecked(object.clone()) })
    }

    /// The task in `owned`, without a reference of its own.
    ///
    /// # Safety
    /// An instance of our task type.
    #[inline]
    pub(crate) unsafe fn lent<'a>(py: Python<'py>, owned: &'a OwnedRef) -> &'a Self {
        // SAFETY: a `TaskRef` is nothing but a bound reference, of the right type the caller guarantees it.
        unsafe { &*std::ptr::from_ref(owned.bind(py)).cast::<Self>() }
    }

    #[inline]
    pub(crate) fn py(&self) -> Python<'py> {
        self.0.py()
    }

    #[inline]
    pub(crate) fn future(&self) -> &FutureRef<'py> {
        &self.0
    }

    #[inline]
    pub(crate) fn object(&self) -> &Bound<'py, PyAny> {
        self.0.object()
    }

    /// What it holds as a task. The reference must not be kept across Python code.
    #[inline]
    pub(crate) fn task(&self) -> &TaskBody {
        // SAFETY: of our type, alive while counted; SAFETY.md, "Future".
        unsafe { &(*self.0.as_ptr().cast::<TaskObject>()).task }
    }

    /// Changes what it holds. `change` runs no Python code: what it takes out is released by the caller.
    #[inline]
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut TaskBody) -> R) -> R {
        // SAFETY: the GIL is held and no caller keeps a reference into the body across Python code; SAFETY.md,
        // "Future".
        change(unsafe { &mut (*self.0.as_ptr().cast::<TaskObject>()).task })
    }

    /// `__init__`.
    fn initialize(&self, owner: Option<Bound<'py, PyAny>>, parts: Parts<'py>) -> PyResult<()> {
        self.future().initialize(owner)?;
        self.begin(parts)
    }

    /// What `__init__` does once the future part is ready.
    #[inline]
    fn begin(&self, parts: Parts<'py>) -> PyResult<()> {
        let py = self.py();
        let Parts { coroutine, name, context, eager_start } = parts;
        if !is_coroutine(&coroutine)? {
            self.update(|body| body.log_destroy_pending = false);
            return Err(crate::capi::raise::error::<PyTypeError>(format!(
                "a coroutine was expected, got {}",
                coroutine.repr()?
            )));
        }
        let context = match context {
            Some(context) => {
                if !context::is_context(&context) {
                    self.check_accepts_stand_in(&context)?;
                }
                context
            }
            None => context::copy_current_directly(py)?,
        };
        let name = name.as_ref().map(crate::objects::future::text).transpose()?;
        let number = if name.is_some() { 0 } else { numbers::next_number() };
        let before = self.update(|body| {
            let fresh = TaskBody {
                coroutine: Some(coroutine.into()),
                context: Some(context.into()),
                name: name.map(OwnedRef::from),
                number: number.into(),
                log_destroy_pending: true,
                link: std::mem::take(&mut body.link),
                place: body.place,
                ..TaskBody::default()
            };
            let before = std::mem::replace(body, fresh);
            body.shown.set_coroutine(body.coroutine.as_ref());
            body.shown.set_name(body.name.as_ref(), &body.number);
            before
        });
        drop(before);
        if recording::is_on() {
            recording::note_created(self);
        }
        if eager_start && self.loop_is_running()? {
            let outcome = self.start_eagerly();
            if outcome.is_err() {
                // The caller gets the error; a task that never began is not worth the message "destroyed but pending".
                self.update(|body| body.log_destroy_pending = false);
            }
            return outcome;
        }
        self.schedule_step(None)?;
        registry::add(self);
        Ok(())
    }

    /// Newer Pythons reject a wrong context when the task is made, older ones when the step runs.
    #[cold]
    fn check_accepts_stand_in(&self, context: &Bound<'py, PyAny>) -> PyResult<()> {
        static REFUSED: PyOnceLock<bool> = PyOnceLock::new();
        let py = self.py();
        let probe = || imports::stock_method_uses(py, "asyncio.tasks", "_PyTask", "__init__", "Context");
        if !*REFUSED.get_or_try_init(py, probe)? {
            return Ok(());
        }
        self.update(|body| body.log_destroy_pending = false);
        let class = context.get_type().fully_qualified_name()?;
        Err(crate::capi::raise::error::<PyTypeError>(format!("a contextvars.Context was expected, got {class}")))
    }

    fn loop_is_running(&self) -> PyResult<bool> {
        if let Some(owner) = self.future().native_owner()? {
            return Ok(owner.get().thread().is_some());
        }
        self.future().owner()?.call_method0(crate::intern!(self.py(), "is_running"))?.is_truthy()
    }

    /// `set_name`.
    pub(crate) fn set_name(&self, name: &Bound<'py, PyAny>) -> PyResult<()> {
        let name = crate::objects::future::text(name)?;
        let before = self.update(|body| {
            let before = body.name.replace(name.into());
            body.shown.set_name(body.name.as_ref(), &body.number);
            before
        });
        drop(before);
        Ok(())
    }

    /// The name that it was given, if it was.
    pub(crate) fn given_name(&self) -> Option<Bound<'py, PyAny>> {
        self.task().name.as_ref().map(|name| name.get(self.py()))
    }

    pub(crate) fn name(&self) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py();
        if let Some(name) = &self.task().name {
            return Ok(name.get(py));
        }
        let name = memory::text(py, &format!("Task-{}", self.task().number.value()))?.into_any();
        drop(self.update(|body| body.name.replace(name.clone().into())));
        Ok(name)
    }

    /// `__del__`: logs that the task will never be done.
    fn finalize(&self) {
        let py = self.py();
        // Code that receives the report below may keep the task; it leaves the registry all the same.
        // SAFETY: alive while counted.
        unsafe { registry::remove(self.object().as_ptr().cast::<TaskObject>()) };
        if self.must_log() {
            recording::note_destroyed_pending(py);
            let complain = || {
                let context = memory::dict(py)?;
                context.set_item(crate::intern!(py, "message"), name!("Task was destroyed but it is pending!"))?;
                context.set_item(crate::intern!(py, "task"), self.object())?;
                self.future().report(&context)
            };
            let outcome: PyResult<()> = complain();
            if let Err(error) = outcome {
                error.write_unraisable(py, Some(self.object()));
            }
        }
        self.future().finalize();
    }

    fn must_log(&self) -> bool {
        self.task().log_destroy_pending && self.future().is_pending() && self.future().body().owner.is_some()
    }
}

fn is_coroutine(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    if resume::is_python_coroutine(object) || coroutine::adopt(object) {
        return Ok(true);
    }
    coroutine_check::is_coroutine_object(object)
}

/// A new ferrio task on a ferrio loop.
///
/// # Errors
/// `TypeError` when there is no coroutine to drive; any exception that escapes from the first step, if started eagerly.
#[inline]
pub fn new_task<'py>(owner: &Bound<'py, LoopBase>, parts: Parts<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = owner.py();
    // Tracked before its task, as Python's coroutines are: the collector clears what it finds in that order.
    coroutine::adopt(&parts.coroutine);
    let task = types::new_exact(py, FutureBody::on(owner))?;
    if owner.get().debug.get() {
        task.future().note_source()?;
    }
    task.begin(parts)?;
    Ok(task.object().clone())
}

/// `new_task` for a coroutine that starts at once, as a loop with an eager task factory makes it.
///
/// # Errors
/// As `new_task`.
pub(crate) fn new_eager_task<'py>(
    owner: &Bound<'py, LoopBase>,
    parts: Parts<'py>,
    naming: Naming,
) -> PyResult<Bound<'py, PyAny>> {
    let py = owner.py();
    if naming == Naming::EagerOutcome {
        return new_task(owner, Parts { eager_start: true, ..parts });
    }
    let Parts { coroutine, name, context, .. } = parts;
    let task = new_task(owner, Parts { coroutine, name: None, context, eager_start: true })?;
    // SAFETY: just made, of our type.
    let named = unsafe { TaskRef::new_unchecked(task.clone()) };
    match name {
        Some(name) => named.set_name(&name)?,
        None if naming == Naming::LaterAlways => named.set_name(py.None().bind(py))?,
        None => {}
    }
    Ok(task)
}

/// The type `Task`.
///
/// # Errors
/// `ImportError` when asyncio is not importable.
pub fn task_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    types::create_type(py)
}

/// A C function object with `task` as its `__self__`.
fn bound_function<'py>(task: &TaskRef<'py>, definition: &'static ffi::PyMethodDef) -> PyResult<Bound<'py, PyAny>> {
    let pointer = std::ptr::from_ref(definition).cast_mut();
    // SAFETY: a static definition, which is never written to; a new reference or null with an exception set.
    let function = unsafe { ffi::PyCFunction_NewEx(pointer, task.object().as_ptr(), std::ptr::null_mut()) };
    // SAFETY: as said.
    let function = unsafe { Bound::from_owned_ptr_or_err(task.py(), function) }?;
    Ok(function.cast_into::<PyCFunction>()?.into_any())
}
