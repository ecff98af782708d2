//! `Handle` and `TimerHandle`: one scheduled callback each; what `call_soon` and `call_at` return.
//!
//! Both are raw heap types that share one layout, so that the loop recycles their memory through its own free list
//! (`free_handles`). Invariants: a cancelled handle holds no callback and no arguments; `Arity` says how `arguments` is
//! to be read; `timer.scheduled` is true exactly while the loop's timers hold a reference. `run.rs` runs a handle,
//! `methods.rs` has the Python interface, `comparison.rs` the ordering.

mod alarm;
mod comparison;
mod methods;
mod run;
mod types;

use std::mem::ManuallyDrop;

use ferrio_engine::{Cancellable, Deadline};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

pub(crate) use types::{FreeHandle, Kind, create_types};

use crate::capi::context;
use crate::capi::imports;
use crate::capi::memory;
use crate::capi::memory::BoxSpace;
use crate::capi::program_frames;
use crate::capi::visitor::Visitor;
use crate::objects::loop_base::LoopBase;
use crate::objects::runnable::Action;

/// How `arguments` holds the callback's positional arguments.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arity {
    /// No arguments; `arguments` is empty.
    Zero,
    /// `arguments` is the one argument itself.
    One,
    /// `arguments` is a tuple.
    Many,
}

/// What only few handles keep: those of debug mode, and timers whose time is not a float.
#[derive(Default)]
pub(crate) struct DebugNotes {
    /// Where the handle was made, as returned by `format_helpers.extract_stack`.
    pub(crate) source_traceback: Option<Py<PyAny>>,
    /// The repr from when the handle was cancelled.
    pub(crate) cancelled_repr: Option<Py<PyAny>>,
    /// The time as it was given.
    pub(crate) when: Option<Py<PyAny>>,
}

impl DebugNotes {
    /// The notes of a new handle of `owner`: None unless in debug mode.
    #[inline]
    fn here(owner: &Bound<'_, LoopBase>) -> PyResult<Option<Box<Self>>> {
        if !owner.get().debug.get() {
            return Ok(None);
        }
        let source_traceback = program_frames::stack(owner.py())?.map(Bound::unbind);
        memory::boxed(owner.py(), Self { source_traceback, cancelled_repr: None, when: None }).map(Some)
    }
}

/// The layout of both types.
#[repr(C)]
pub(crate) struct HandleObject {
    head: ffi::PyObject,
    pub(crate) body: Body,
}

/// What a handle holds besides the object head.
pub(crate) struct Body {
    /// None once cancelled.
    pub(crate) callback: Option<Py<PyAny>>,
    pub(crate) arguments: Option<Py<PyAny>>,
    pub(crate) context: Option<Py<PyAny>>,
    /// The loop that made it; None only after the collector broke a cycle.
    pub(crate) owner: Option<Py<LoopBase>>,
    pub(crate) notes: Option<Box<DebugNotes>>,
    weak_references: *mut ffi::PyObject,
    pub(crate) when: f64,
    pub(crate) arity: Arity,
    pub(crate) cancelled: bool,
    pub(crate) scheduled: bool,
    /// `context` is a copy shared with other handles: it is copied before it is entered or shown.
    pub(crate) context_is_shared: bool,
    /// The thread that runs the callback of a `Kind::FromThread` handle, 0 while none does.
    running_in: u64,
    /// The collector tracks this object; see `HandleRef::traverse`.
    tracked: bool,
    /// The function of an alarm; `callback` is then the object passed to it. See `alarm.rs`.
    action: Option<Action>,
    pub(crate) kind: Kind,
}

/// The fields of a new handle.
pub(crate) struct Parts<'py> {
    pub(crate) callback: Bound<'py, PyAny>,
    pub(crate) arguments: Option<Bound<'py, PyAny>>,
    pub(crate) arity: Arity,
    pub(crate) context: Bound<'py, PyAny>,
    pub(crate) context_is_shared: bool,
    pub(crate) when: f64,
    pub(crate) kind: Kind,
}

/// An owned reference to a handle of either type. It releases the reference at once when dropped, because only code
/// that holds the GIL drops it; `Py` would defer that inside functions that the interpreter calls directly.
pub struct HandleRef(ManuallyDrop<Py<PyAny>>);

impl Cancellable for HandleRef {
    #[inline]
    fn is_cancelled(&self) -> bool {
        self.body().cancelled
    }
}

impl Drop for HandleRef {
    fn drop(&mut self) {
        // SAFETY: an owned reference is released; handles live in structures that are touched with the GIL held.
        unsafe { ffi::Py_DECREF(self.as_ptr()) }
    }
}

impl HandleRef {
    /// Makes a handle from `parts`, in recycled memory where the loop has some.
    pub(crate) fn new(owner: &Bound<'_, LoopBase>, parts: Parts<'_>) -> PyResult<Self> {
        let body = Body {
            callback: Some(parts.callback.unbind()),
            arguments: parts.arguments.map(Bound::unbind),
            context: Some(parts.context.unbind()),
            owner: Some(owner.clone().unbind()),
            notes: DebugNotes::here(owner)?,
            weak_references: std::ptr::null_mut(),
            when: parts.when,
            arity: parts.arity,
            cancelled: false,
            scheduled: false,
            context_is_shared: parts.context_is_shared,
            running_in: 0,
            tracked: false,
            action: None,
            kind: parts.kind,
        };
        types::allocate(owner, parts.kind, body)
    }

    /// A handle that is not queued: for a callback that waits for a descriptor or a signal. It runs in a copy of the
    /// current context.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn unscheduled<'py>(
        owner: &Bound<'py, LoopBase>,
        callback: &Bound<'py, PyAny>,
        arguments: &Bound<'py, PyTuple>,
    ) -> PyResult<Self> {
        let (arguments, arity) = match arguments.len() {
            0 => (None, Arity::Zero),
            1 => (Some(arguments.get_item(0)?), Arity::One),
            _ => (Some(arguments.clone().into_any()), Arity::Many),
        };
        let context = context::copy_current(owner.py())?;
        let callback = callback.clone();
        Self::new(
            owner,
            Parts { callback, arguments, arity, context, context_is_shared: false, when: 0.0, kind: Kind::Soon },
        )
    }

    /// The same without arguments, in an empty context: for what belongs to no task.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn of_no_task<'py>(owner: &Bound<'py, LoopBase>, callback: &Bound<'py, PyAny>) -> PyResult<Self> {
        let context = context::empty(owner.py())?;
        let callback = callback.clone();
        let (arguments, arity, kind) = (None, Arity::Zero, Kind::Soon);
        Self::new(owner, Parts { callback, arguments, arity, context, context_is_shared: false, when: 0.0, kind })
    }

    /// Cancels it, as its `cancel()` does.
    ///
    /// # Errors
    /// Any exception that the repr of the callback raises, in debug mode.
    pub fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        methods::cancel_handle(py, self)
    }

    /// Whether it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.body().cancelled
    }

    /// A second reference.
    #[inline]
    #[must_use]
    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        Self(ManuallyDrop::new(self.0.clone_ref(py)))
    }

    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut ffi::PyObject {
        self.0.as_ptr()
    }

    /// The same reference as a Python object.
    #[inline]
    pub(crate) fn into_object(self) -> Py<PyAny> {
        let mut owned = ManuallyDrop::new(self);
        // SAFETY: taken once, and `self` is not dropped.
        unsafe { ManuallyDrop::take(&mut owned.0) }
    }

    /// Shows the collector what is reached through this reference.
    ///
    /// A handle that only its loop refers to is not tracked, so the common one, called once and dropped, costs the
    /// collector nothing; the loop visits what such a handle refers to. A handle with other references is skipped: the
    /// collector then takes its referents for alive, until the handle leaves the loop or the loop stops and it is
    /// tracked.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let body = self.body();
        if body.tracked {
            return visit.call(&*self.0);
        }
        if self.is_shared() {
            return Ok(());
        }
        visit.call(&body.callback)?;
        visit.call(&body.arguments)?;
        visit.call(&body.context)?;
        visit.call(&body.owner)
    }

    /// Whether the handle has references other than this one.
    #[inline]
    fn is_shared(&self) -> bool {
        // SAFETY: a live object.
        unsafe { ffi::Py_REFCNT(self.as_ptr()) > 1 }
    }

    /// Makes the collector track a handle that outlives its time in the loop.
    #[inline]
    pub(crate) fn leave_loop(self, py: Python<'_>) {
        self.show_if_shared(py);
    }

    /// Makes the collector track a handle that has other references.
    #[inline]
    pub(crate) fn show_if_shared(&self, py: Python<'_>) {
        if self.is_shared() && !self.body().tracked {
            self.track(py);
        }
    }

    #[cold]
    fn track(&self, py: Python<'_>) {
        self.update(py, |body| body.tracked = true);
        // SAFETY: a whole object of a GC type, not tracked so far.
        unsafe { ffi::PyObject_GC_Track(self.as_ptr().cast()) };
    }

    /// What it holds. The reference must not be kept across Python code.
    #[inline]
    pub(crate) fn body(&self) -> &Body {
        // SAFETY: the object is alive while we own a reference; SAFETY.md, "Handle".
        unsafe { &(*self.as_ptr().cast::<HandleObject>()).body }
    }

    /// Changes what it holds. `change` runs no Python code: what it takes out is to be released by the caller.
    #[inline]
    pub(crate) fn update<R>(&self, _py: Python<'_>, change: impl FnOnce(&mut Body) -> R) -> R {
        // SAFETY: the GIL is held and no caller keeps a reference into the body across Python code; SAFETY.md,
        // "Handle".
        change(unsafe { &mut (*self.as_ptr().cast::<HandleObject>()).body })
    }

    /// As a Python object.
    #[must_use]
    pub fn bind<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.0.bind(py).clone()
    }

    /// Keeps the time as it was given, beside the float that the loop uses, in the memory of `space`.
    pub(crate) fn keep_given_time(&self, py: Python<'_>, when: Py<PyAny>, space: BoxSpace<DebugNotes>) {
        self.update(py, |body| body.notes.get_or_insert_with(|| space.fill(DebugNotes::default())).when = Some(when));
    }

    /// The time as it was given.
    pub(crate) fn when<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        let given = self.body().notes.as_ref().and_then(|notes| notes.when.as_ref());
        given.map_or_else(|| PyFloat::new(py, self.body().when).into_any(), |given| given.bind(py).clone())
    }

    /// Absolute time it is due, in the loop's seconds.
    pub(crate) fn deadline(&self) -> Deadline {
        Deadline(self.body().when)
    }

    /// Where it was made, if the loop was in debug mode then.
    #[must_use]
    pub fn source_traceback<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let notes = self.body().notes.as_ref()?;
        Some(notes.source_traceback.as_ref()?.bind(py).clone())
    }
}

pub(crate) fn argument_tuple<'py>(
    py: Python<'py>,
    arguments: Option<&Bound<'py, PyAny>>,
    arity: Arity,
) -> PyResult<Bound<'py, PyTuple>> {
    match (arity, arguments) {
        (Arity::Many, Some(tuple)) => Ok(tuple.clone().cast_into::<PyTuple>()?),
        (Arity::One, Some(argument)) => memory::tuple(py, [argument]),
        (Arity::Zero, _) | (_, None) => Ok(PyTuple::empty(py)),
    }
}

/// `format_helpers._format_callback_source` of the running Python; `debug` shows arguments in newer patch releases.
pub(crate) fn format_callback_source(
    py: Python<'_>,
    callback: &Bound<'_, PyAny>,
    arguments: &Bound<'_, PyAny>,
    debug: bool,
) -> PyResult<String> {
    let format = imports::format_callback_source(py)?;
    if imports::format_takes_debug(py)? {
        let keywords = memory::dict(py)?;
        keywords.set_item(crate::intern!(py, "debug"), debug)?;
        return format.call((callback, arguments), Some(&keywords))?.extract();
    }
    format.call1((callback, arguments))?.extract()
}

impl Visitor<'_> {
    /// Makes the collector track a handle.
    pub fn show_handle(&self, handle: &HandleRef) {
        self.show_pointer(handle.as_ptr());
    }
}
