//! `Future`: a result that is not there yet; the layout it shares with tasks, and the changes of its state.
//!
//! The reference is the interpreter's own C type: same states, texts and order of effects. A future moves once, from
//! `Pending` to `Cancelled` or `Finished`; `callbacks` are empty from then on. On a ferrio loop callbacks go straight
//! into the ready queue; on any other loop through its `call_soon`. A body is touched in short borrows that run no
//! Python code; what leaves a body is released after the borrow. The Python interface is in `methods.rs`, memory and
//! garbage collection in `types.rs`, setting and reading the outcome in `outcome.rs`, waiting for it in `iterator.rs`.

mod attributes;
mod awaited_by;
mod callbacks;
mod class_proxy;
mod done_callback;
pub mod future_like;
pub(crate) mod gathering_future;
mod iterator;
mod methods;
mod outcome;
mod types;
mod unraisable;

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};

pub(crate) use awaited_by::is_kept as waiters_are_kept;
pub(crate) use awaited_by::{forget_waiter, note_waiter};
pub(crate) use callbacks::Callbacks;
pub(crate) use done_callback::BoundDoneCallback;
pub use done_callback::{
    DoneCallback, DoneFunction, ReadyCallback, Shown, add_done_callback, asyncio_counterpart, callable,
    remove_done_callback,
};
pub use gathering_future::GatheringFuture;
pub(crate) use iterator::create_type as create_iterator_type;
pub(crate) use iterator::thrown;
pub(crate) use methods::{CANCEL, boolean, text};
pub(crate) use outcome::{Outcome, invalid_state};
pub(crate) use types::is_exact as is_exact_future;
pub(crate) use types::{create_type, dealloc_base, new_exact, release_slots, traverse_base, type_pointer};

use crate::capi::imports;
use crate::capi::memory;
use crate::capi::owned_ref::OwnedRef;
use crate::capi::program_frames;
use crate::objects::loop_base::LoopBase;

/// The state of a future.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub(crate) enum State {
    /// No result or exception yet.
    #[default]
    Pending,
    /// Cancelled.
    Cancelled,
    /// Has a result or an exception.
    Finished,
}

/// The layout of futures, and the beginning of that of tasks.
#[repr(C)]
pub(crate) struct FutureObject {
    head: ffi::PyObject,
    pub(crate) attributes: *mut ffi::PyObject,
    pub(crate) weak_references: *mut ffi::PyObject,
    pub(crate) future: FutureBody,
}

/// What a future holds. From `awaited_by` to `awaited_by_is_set` the places are those of asyncio's own futures, for tools
/// that read them from outside (`task/types.rs`).
#[derive(Default)]
#[repr(C)]
pub(crate) struct FutureBody {
    pub(crate) callbacks: Callbacks,
    /// The loop; None before `__init__`.
    pub(crate) owner: Option<OwnedRef>,
    pub(crate) result: Option<OwnedRef>,
    pub(crate) exception: Option<OwnedRef>,
    /// Where it was made, in debug mode.
    pub(crate) source_traceback: Option<OwnedRef>,
    /// The waiter, or a set of waiters; see `awaited_by.rs`.
    pub(crate) awaited_by: Option<OwnedRef>,
    pub(crate) state: State,
    /// The exception was not retrieved; logged when the future is destroyed.
    pub(crate) log_traceback: bool,
    /// asyncio's state is longer: with these it reads as pending exactly while this one is.
    state_goes_on: [u8; 2],
    pub(crate) is_task: bool,
    pub(super) awaited_by_is_set: bool,
    /// `owner` is a ferrio loop.
    pub(crate) native: bool,
    /// Its own iterator yielded it, and no task has picked it up yet.
    pub(crate) blocking: bool,
    pub(crate) cancel_message: Option<OwnedRef>,
    /// If it failed: the exception's traceback when it was set, so that raising it twice does not lengthen it. If it was
    /// cancelled: the exception that ended the task, raised by the first read.
    end: Option<OwnedRef>,
}

impl FutureBody {
    /// Where tools look whether `awaited_by` is a set.
    #[cfg(Py_3_14)]
    pub(crate) const AWAITED_BY_IS_SET: usize = std::mem::offset_of!(Self, awaited_by_is_set);

    /// The body of a pending future on a ferrio loop.
    #[inline]
    pub(crate) fn on(owner: &Bound<'_, LoopBase>) -> Self {
        Self { owner: Some(owner.clone().into()), native: true, ..Self::default() }
    }

    /// The same of a task.
    #[inline]
    pub(crate) fn of_task(self) -> Self {
        Self { is_task: true, ..self }
    }

    /// Whether it belongs to a simulated loop.
    pub(crate) fn is_simulated(&self, py: Python<'_>) -> bool {
        let owner = self.owner.as_ref().filter(|_| self.native).map(|owner| owner.get(py));
        owner.is_some_and(|owner| owner.cast::<LoopBase>().is_ok_and(|owner| owner.get().is_simulated()))
    }
}

/// A counted reference to a ferrio future or task, or to an instance of a subclass.
#[derive(Clone)]
#[repr(transparent)]
pub(crate) struct FutureRef<'py>(Bound<'py, PyAny>);

impl<'py> FutureRef<'py> {
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
    /// `object` is an instance of our future type.
    #[inline]
    pub(crate) unsafe fn new_unchecked(object: Bound<'py, PyAny>) -> Self {
        Self(object)
    }

    /// The future behind `object` if it is exactly of a ferrio type: nothing about it can be overridden.
    #[inline]
    pub(crate) fn exact(object: &Bound<'py, PyAny>) -> Option<Self> {
        // SAFETY: reads the type of a live object.
        let class = unsafe { ffi::Py_TYPE(object.as_ptr()) };
        let exact =
            crate::objects::task::is_exact(class) || types::is_exact(class) || gathering_future::is_exact(class);
        exact.then(|| Self(object.clone()))
    }

    /// The same without a reference of its own.
    #[inline]
    pub(crate) fn exact_ref<'a>(object: &'a Bound<'py, PyAny>) -> Option<&'a Self> {
        // SAFETY: reads the type of a live object.
        let class = unsafe { ffi::Py_TYPE(object.as_ptr()) };
        if !types::is_exact(class) && !crate::objects::task::is_exact(class) {
            return None;
        }
        // SAFETY: a `FutureRef` is nothing but a bound reference, of the right type as just seen.
        Some(unsafe { &*std::ptr::from_ref(object).cast::<Self>() })
    }

    /// The future of which `callable` is the method `set_result`: exactly a ferrio `Future`, on a ferrio loop.
    #[inline]
    pub(crate) fn of_set_result(callable: &Bound<'py, PyAny>) -> Option<Self> {
        let target = methods::target_of_set_result(callable)?;
        // SAFETY: reads the type of a live object.
        let class = unsafe { ffi::Py_TYPE(target.as_ptr()) };
        let future = types::is_exact(class).then_some(Self(target))?;
        future.native_owner().is_ok_and(|owner| owner.is_some()).then_some(future)
    }

    /// The future behind `object` if it is of our type or a subtype.
    pub(crate) fn of(object: &Bound<'py, PyAny>) -> Option<Self> {
        let class = type_pointer();
        // SAFETY: a live object, and null or our type.
        let fits = !class.is_null() && unsafe { ffi::PyObject_TypeCheck(object.as_ptr(), class) } != 0;
        fits.then(|| Self(object.clone()))
    }

    #[inline]
    pub(crate) fn py(&self) -> Python<'py> {
        self.0.py()
    }

    #[inline]
    pub(crate) fn object(&self) -> &Bound<'py, PyAny> {
        &self.0
    }

    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut ffi::PyObject {
        self.0.as_ptr()
    }

    /// What it holds. The reference must not be kept across Python code.
    #[inline]
    pub(crate) fn body(&self) -> &FutureBody {
        // SAFETY: of our type, alive while counted; SAFETY.md, "Future".
        unsafe { &(*self.0.as_ptr().cast::<FutureObject>()).future }
    }

    /// Changes what it holds. `change` runs no Python code: what it takes out is released by the caller.
    #[inline]
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut FutureBody) -> R) -> R {
        // SAFETY: the GIL is held and no caller keeps a reference into the body across Python code; SAFETY.md,
        // "Future".
        change(unsafe { &mut (*self.0.as_ptr().cast::<FutureObject>()).future })
    }

    /// `__init__`, also for tasks: resets to the initial state, on `owner` or else the current loop.
    ///
    /// # Errors
    /// `RuntimeError` when `__init__` was called before, if the running Python rejects that.
    pub(crate) fn initialize(&self, owner: Option<Bound<'py, PyAny>>) -> PyResult<()> {
        let py = self.py();
        if self.body().owner.is_some() {
            self.check_may_begin_again()?;
        }
        let owner = match owner {
            Some(owner) => owner,
            None => imports::default_loop(py)?,
        };
        let native = owner.cast::<LoopBase>().ok();
        let in_debug = match native {
            Some(native) => native.get().debug.get(),
            None => owner.call_method0(crate::intern!(py, "get_debug"))?.is_truthy()?,
        };
        let native = native.is_some();
        let is_task = self.body().is_task;
        let fresh = FutureBody { owner: Some(owner.into()), native, is_task, ..FutureBody::default() };
        let before = self.update(|body| std::mem::replace(body, fresh));
        drop(before);
        if in_debug {
            self.note_source()?;
        }
        Ok(())
    }

    #[cold]
    fn check_may_begin_again(&self) -> PyResult<()> {
        static REFUSED: PyOnceLock<bool> = PyOnceLock::new();
        let py = self.py();
        let probe = || imports::stock_method_uses(py, "asyncio.futures", "_PyFuture", "__init__", "RuntimeError");
        if !*REFUSED.get_or_try_init(py, probe)? {
            return Ok(());
        }
        let class = self.object().get_type().fully_qualified_name()?;
        Err(crate::capi::raise::error::<PyRuntimeError>(format!("{class} object is already initialized")))
    }

    #[cold]
    pub(crate) fn note_source(&self) -> PyResult<()> {
        if let Some(stack) = program_frames::stack(self.py())? {
            drop(self.update(|body| body.source_traceback.replace(stack.into())));
        }
        Ok(())
    }

    /// # Errors
    /// `RuntimeError` when `__init__` was not called.
    #[inline]
    pub(crate) fn owner(&self) -> PyResult<Bound<'py, PyAny>> {
        match &self.body().owner {
            Some(owner) => Ok(owner.get(self.py())),
            None => Err(not_initialized()),
        }
    }

    /// The loop, if it is a ferrio loop that may be scheduled on without its `call_soon`.
    ///
    /// # Errors
    /// `RuntimeError` when `__init__` was not called; any exception that looking up `call_soon` raises.
    #[inline]
    pub(crate) fn native_owner(&self) -> PyResult<Option<Bound<'py, LoopBase>>> {
        let owner = self.owner()?;
        if !self.body().native {
            return Ok(None);
        }
        // SAFETY: `native` says that the owner is a ferrio loop.
        let owner = unsafe { owner.cast_into_unchecked::<LoopBase>() };
        Ok(if LoopBase::schedules_itself(&owner)? { Some(owner) } else { None })
    }

    /// # Errors
    /// `RuntimeError` when `__init__` was not called.
    #[inline]
    pub(crate) fn check_initialized(&self) -> PyResult<()> {
        if self.body().owner.is_some() { Ok(()) } else { Err(not_initialized()) }
    }

    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        self.body().state == State::Pending
    }

    /// `__del__`: logs that the exception was never retrieved.
    pub(crate) fn finalize(&self) {
        let py = self.py();
        if !self.update(|body| std::mem::replace(&mut body.log_traceback, false)) {
            return;
        }
        let report = || {
            let Some(exception) = self.body().exception.as_ref().map(|exception| exception.get(py)) else {
                return Ok(());
            };
            let context = memory::dict(py)?;
            let message = format!("{} exception was never retrieved", class_name(&self.0)?);
            context.set_item(crate::intern!(py, "message"), memory::Text(message))?;
            context.set_item(crate::intern!(py, "exception"), exception)?;
            context.set_item(crate::intern!(py, "future"), &self.0)?;
            self.report(&context)
        };
        let outcome: PyResult<()> = report();
        if let Err(error) = outcome {
            error.write_unraisable(py, Some(&self.0));
        }
    }

    /// Passes `context` to the loop's exception handler, with where the future was made.
    pub(crate) fn report(&self, context: &Bound<'py, PyDict>) -> PyResult<()> {
        let py = self.py();
        if let Some(stack) = self.body().source_traceback.as_ref().map(|stack| stack.get(py)) {
            context.set_item(crate::intern!(py, "source_traceback"), stack)?;
        }
        let handler = self.owner()?.getattr(crate::intern!(py, "call_exception_handler"))?;
        if let Err(raised) = handler.call1((context,)) {
            unraisable::from_exception_handler(raised, &handler);
        }
        Ok(())
    }
}

/// The name of an object's type, which `__class__` may hide.
pub(crate) fn class_name(object: &Bound<'_, PyAny>) -> PyResult<String> {
    object.get_type().name()?.extract()
}

/// A new ferrio future on a ferrio loop.
///
/// # Errors
/// `MemoryError`.
pub fn new_future<'py>(owner: &Bound<'py, LoopBase>) -> PyResult<Bound<'py, PyAny>> {
    let future = new_exact(owner.py(), FutureBody::on(owner))?;
    if owner.get().debug.get() {
        future.note_source()?;
        extend_source_traceback(&future.0, "EventLoop.create_future", "Future")?;
    }
    Ok(future.0)
}

/// Appends to the source traceback of a future or task, if it has one (debug mode), that asyncio's function `name` made
/// it by calling `called`.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub fn extend_source_traceback(future: &Bound<'_, PyAny>, name: &'static str, called: &'static str) -> PyResult<()> {
    match FutureRef::exact_ref(future).map(FutureRef::body).and_then(|body| body.source_traceback.as_ref()) {
        Some(stack) => program_frames::append(&stack.get(future.py()), name, called),
        None => Ok(()),
    }
}

/// The type `Future`.
///
/// # Errors
/// `ImportError` when asyncio is not importable.
pub fn future_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    create_type(py)
}

#[cold]
fn not_initialized() -> PyErr {
    crate::capi::raise::error::<PyRuntimeError>("Future object is not initialized.")
}

/// An action for alarms: finishes a future of any implementation with None, unless it is done.
///
/// # Errors
/// Any exception that a foreign future raises.
pub fn finish_with_none(future: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    let py = future.py();
    if let Some(exact) = FutureRef::exact(future) {
        return if exact.is_pending() { exact.finish(py.None().into_bound(py)) } else { Ok(()) };
    }
    if !future.call_method0(crate::intern!(py, "cancelled"))?.is_truthy()? {
        future.call_method1(crate::intern!(py, "set_result"), (py.None(),))?;
    }
    Ok(())
}
