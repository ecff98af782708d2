//! The coroutine object: its memory, creation and resumption.
//!
//! A coroutine that ends at its first resumption is never tracked by the collector: it is tracked from its first
//! suspension on, or from when a task takes it over (`adopt`).

use std::mem::{ManuallyDrop, offset_of};
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::exceptions::{PyGeneratorExit, PyRuntimeError, PyStopIteration, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use super::erased_body::{EagerOutcome, Erased};
use super::{Body, methods, origin};
use crate::capi::freelist::FreeList;
use crate::capi::raise::normalized;
use crate::capi::resume::Step;
use crate::capi::trampoline::{assume_attached, attached};

pub(super) type Object = *mut ffi::PyObject;

#[repr(C)]
pub(super) struct CoroutineObject {
    head: ffi::PyObject,
    pub(super) weak_references: Object,
    /// The qualified name, as in `Queue.get`.
    pub(super) name: &'static str,
    pub(super) stage: Stage,
    /// The body's `OWNS_PY`.
    owns_py: bool,
    /// The collector tracks it. No other code tracks or untracks coroutines.
    pub(super) is_tracked: bool,
    /// Initialised in all stages but `Finished`.
    pub(super) body: ManuallyDrop<Erased>,
}

/// The stage of a coroutine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Never resumed.
    Created,
    Running,
    /// Waiting for what it yielded.
    Suspended,
    /// Returned, raised or closed.
    Finished,
}

pub(super) static FREELIST: FreeList<CoroutineObject> = FreeList::new(256);
static TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
/// The same as a bare pointer; null until the type exists.
static POINTER: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(std::ptr::null_mut());

#[inline]
pub(crate) fn coroutine_type_pointer() -> *mut ffi::PyTypeObject {
    // Relaxed: written once, with the GIL held.
    POINTER.load(Ordering::Relaxed)
}

/// The type of coroutines.
///
/// # Errors
/// `MemoryError`.
pub fn coroutine_type(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    let class = TYPE.get_or_try_init(py, || methods::new_type(py))?.bind(py);
    // Relaxed: written with the GIL held.
    POINTER.store(class.as_type_ptr(), Ordering::Relaxed);
    Ok(class)
}

/// A coroutine named `name` (as in `Queue.get`) that will run `body`.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub fn spawn<B: Body>(py: Python<'_>, name: &'static str, body: B) -> PyResult<Py<PyAny>> {
    let mut class = coroutine_type_pointer();
    if class.is_null() {
        class = coroutine_type(py)?.as_type_ptr();
    }
    let space = Erased::space::<B>(py)?;
    // SAFETY: our type, of the layout's size.
    let memory = unsafe { FREELIST.take(py, class) }?;
    let object = memory.as_ptr();
    // SAFETY: no other pointer to the memory exists.
    let place = unsafe { &raw mut (*object).weak_references };
    // SAFETY: in bounds, and it overwrites nothing that needs releasing.
    unsafe { place.write(std::ptr::null_mut()) };
    // SAFETY: as above.
    let place = unsafe { &raw mut (*object).name };
    // SAFETY: as above.
    unsafe { place.write(name) };
    // SAFETY: as above.
    let place = unsafe { &raw mut (*object).stage };
    // SAFETY: as above.
    unsafe { place.write(Stage::Created) };
    // SAFETY: as above.
    let place = unsafe { &raw mut (*object).owns_py };
    // SAFETY: as above.
    unsafe { place.write(B::OWNS_PY) };
    // SAFETY: as above.
    let place = unsafe { &raw mut (*object).is_tracked };
    // SAFETY: as above.
    unsafe { place.write(false) };
    // SAFETY: as above.
    let place = unsafe { &raw mut (*object).body };
    // SAFETY: memory for a body, which holds nothing.
    unsafe { Erased::put(place.cast(), body, space) };
    if origin::are_tracked() {
        origin::note(py, object.cast());
    }
    // SAFETY: a new reference to a whole object.
    Ok(unsafe { Bound::from_owned_ptr(py, object.cast()) }.unbind())
}

/// Makes the collector track a coroutine that another object keeps. True if it is a ferrio coroutine.
#[inline]
pub(crate) fn adopt(object: &Bound<'_, PyAny>) -> bool {
    let ours = object.get_type_ptr() == coroutine_type_pointer();
    if ours {
        // SAFETY: its type was just checked.
        unsafe { track(object.as_ptr()) };
    }
    ours
}

/// The name of a ferrio coroutine; None for anything else.
pub(crate) fn name_of(object: &Bound<'_, PyAny>) -> Option<&'static str> {
    if object.get_type_ptr() != coroutine_type_pointer() {
        return None;
    }
    // SAFETY: its type was just checked.
    Some(unsafe { (*object.as_ptr().cast::<CoroutineObject>()).name })
}

/// # Safety
/// `object` is a whole coroutine of our type.
#[inline]
pub(super) unsafe fn track(object: Object) {
    // SAFETY: of our layout, the caller guarantees it; the GIL is held.
    let was_tracked = unsafe { std::mem::replace(&mut (*object.cast::<CoroutineObject>()).is_tracked, true) };
    if !was_tracked {
        // SAFETY: not tracked so far, and its fields are valid.
        unsafe { ffi::PyObject_GC_Track(object.cast()) };
    }
}

/// Whether `object` is a suspended ferrio coroutine.
pub(super) fn is_suspended(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: callers checked the type.
    unsafe { stage_of(object.as_ptr()) == Stage::Suspended }
}

/// # Safety
/// `object` is a live coroutine of our type.
#[inline]
pub(super) unsafe fn stage_of(object: Object) -> Stage {
    // SAFETY: of our layout, the caller guarantees it.
    unsafe { (*object.cast::<CoroutineObject>()).stage }
}

/// What a suspended ferrio coroutine waits for.
///
/// # Safety
/// `object` is a live coroutine of our type.
pub(super) unsafe fn awaited(py: Python<'_>, object: Object) -> Option<Bound<'_, PyAny>> {
    // SAFETY: the caller guarantees it.
    if unsafe { stage_of(object) } != Stage::Suspended {
        return None;
    }
    // SAFETY: whole and not running, and no Python code runs while it is looked at.
    let body = unsafe { &(*object.cast::<CoroutineObject>()).body };
    body.awaiting().map(|awaiting| awaiting.target(py))
}

/// Runs `resume`, which resumes a coroutine; attached in `PyO3`'s bookkeeping if the body needs that.
///
/// # Safety
/// `object` is a coroutine of our type to which the caller holds a reference.
#[inline]
pub(super) unsafe fn attached_if_needed<R>(object: Object, resume: impl FnOnce(Python<'_>) -> R) -> R {
    // SAFETY: of our layout, the caller guarantees it.
    if unsafe { (*object.cast::<CoroutineObject>()).owns_py } { attached(resume) } else { assume_attached(resume) }
}

/// # Safety
/// `object` is a live coroutine of our type.
#[inline]
unsafe fn set_stage(object: Object, stage: Stage) {
    // SAFETY: of our layout, the caller guarantees it; the GIL is held.
    unsafe { (*object.cast::<CoroutineObject>()).stage = stage };
}

/// Finishes a coroutine: drops its body, which may run Python code.
///
/// # Safety
/// `object` is a live coroutine of our type, not finished yet, and its body does not run.
pub(super) unsafe fn finish(object: Object) {
    // SAFETY: the caller guarantees it.
    unsafe { set_stage(object, Stage::Finished) };
    // SAFETY: of our layout.
    let place = unsafe { &raw mut (*object.cast::<CoroutineObject>()).body };
    // SAFETY: in bounds, and no other code touches it: the stage is `Finished` already.
    let body = unsafe { &mut *place };
    // SAFETY: whole until now, and dropped once.
    unsafe { ManuallyDrop::drop(body) };
}

/// Tries to complete a coroutine that was never resumed; any other has to be resumed.
///
/// # Safety
/// `object` is a coroutine of our type to which the caller holds a reference.
#[inline]
pub(super) unsafe fn try_complete(object: Object) -> EagerOutcome {
    let coroutine = object.cast::<CoroutineObject>();
    // SAFETY: of our layout, the caller guarantees it.
    let owns_py = unsafe { (*coroutine).owns_py };
    // SAFETY: the caller guarantees it.
    if owns_py || unsafe { stage_of(object) } != Stage::Created {
        return EagerOutcome::Pending;
    }
    // SAFETY: the caller guarantees it.
    unsafe { set_stage(object, Stage::Running) };
    // SAFETY: of our layout.
    let body = unsafe { &raw mut (*coroutine).body }.cast::<Erased>();
    // SAFETY: whole; while the stage is `Running` no other code touches it, and `Finished` says that it is gone.
    let outcome = assume_attached(|py| unsafe { Erased::try_complete(body, py) });
    let stage = if matches!(outcome, EagerOutcome::Pending) { Stage::Created } else { Stage::Finished };
    // SAFETY: the caller guarantees it.
    unsafe { set_stage(object, stage) };
    outcome
}

/// Resumes with `input`.
///
/// # Errors
/// Any exception that the body raises; `RuntimeError` and `ValueError` when it cannot be resumed.
///
/// # Safety
/// `object` is a coroutine of our type to which the caller holds a reference.
#[inline]
pub(super) unsafe fn drive<'py>(
    py: Python<'py>,
    object: Object,
    input: PyResult<Bound<'py, PyAny>>,
) -> PyResult<Step<'py>> {
    // SAFETY: the caller guarantees it.
    match unsafe { stage_of(object) } {
        Stage::Created => {
            if let Err(error) = input {
                // SAFETY: created, hence not running.
                unsafe { finish(object) };
                return Err(error);
            }
        }
        Stage::Suspended => {}
        Stage::Running => return Err(crate::capi::raise::error::<PyValueError>("coroutine already executing")),
        Stage::Finished => {
            return Err(crate::capi::raise::error::<PyRuntimeError>("cannot reuse already awaited coroutine"));
        }
    }
    // SAFETY: the caller guarantees it.
    unsafe { set_stage(object, Stage::Running) };
    // SAFETY: of our layout.
    let body = unsafe { &raw mut (*object.cast::<CoroutineObject>()).body }.cast::<Erased>();
    // SAFETY: whole; while the stage is `Running` no other code touches it, and the caller's reference keeps it alive.
    let outcome = unsafe { Erased::resume(body, py, input) };
    if let Ok(Step::Yielded(_)) = outcome {
        // SAFETY: the caller guarantees it.
        unsafe { set_stage(object, Stage::Suspended) };
        // SAFETY: the caller guarantees it.
        unsafe { track(object) };
        return outcome;
    }
    // SAFETY: it does not run any more.
    unsafe { finish(object) };
    match outcome {
        Err(error) => Err(without_stop(py, error)),
        Ok(_) => outcome,
    }
}

/// A `StopIteration` must not leave a coroutine unchanged: it would be taken for its result.
#[cold]
pub(super) fn without_stop(py: Python<'_>, error: PyErr) -> PyErr {
    if !error.is_instance_of::<PyStopIteration>(py) {
        return error;
    }
    let outer = crate::capi::raise::error::<PyRuntimeError>("coroutine raised StopIteration");
    outer.set_cause(py, Some(error));
    outer
}

/// `close()`.
///
/// # Errors
/// Any exception that the body raises instead of ending; `RuntimeError` when it yields.
///
/// # Safety
/// `object` is a coroutine of our type to which the caller holds a reference.
pub(super) unsafe fn close(py: Python<'_>, object: Object) -> PyResult<()> {
    // SAFETY: the caller guarantees it.
    match unsafe { stage_of(object) } {
        Stage::Finished => Ok(()),
        Stage::Running => Err(crate::capi::raise::error::<PyValueError>("coroutine already executing")),
        Stage::Created => {
            // SAFETY: created, hence not running.
            unsafe { finish(object) };
            Ok(())
        }
        Stage::Suspended => {
            // SAFETY: the caller guarantees it.
            match unsafe { drive(py, object, Err(normalized(py, crate::capi::raise::error::<PyGeneratorExit>(())))) } {
                Ok(Step::Yielded(_)) => {
                    Err(crate::capi::raise::error::<PyRuntimeError>("coroutine ignored GeneratorExit"))
                }
                Ok(Step::Returned(_)) => Ok(()),
                Err(error) => {
                    let error = normalized(py, error);
                    let ends =
                        error.is_instance_of::<PyGeneratorExit>(py) || error.is_instance_of::<PyStopIteration>(py);
                    if ends { Ok(()) } else { Err(error) }
                }
            }
        }
    }
}

/// The offset of the list of weak references, for the type.
pub(super) const WEAK_REFERENCES: usize = offset_of!(CoroutineObject, weak_references);
