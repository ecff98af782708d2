//! The end of coroutine objects: finalizer, deallocation, and the collector's functions.

use std::ffi::{CStr, CString, c_int, c_void};
use std::ptr::NonNull;

use pyo3::exceptions::PyRuntimeWarning;
use pyo3::ffi;
use pyo3::prelude::*;

use super::object::{CoroutineObject, FREELIST, Object, Stage, close, finish, stage_of, track};
use super::{Visitor, origin};
use crate::capi::asyncio_code;
use crate::capi::deallocation::within_bounds;
use crate::capi::finalizer::finalizing;
use crate::capi::imports;
use crate::capi::memory;
use crate::capi::trampoline::assume_attached;

/// `__del__`: warns that it was never awaited, or closes it.
pub(super) unsafe extern "C" fn finalize(object: Object) {
    finalizing(|py| {
        // SAFETY: alive during its finalizer.
        let coroutine = unsafe { Bound::from_borrowed_ptr(py, object) };
        // SAFETY: the interpreter passes a live object of our type.
        match unsafe { stage_of(object) } {
            Stage::Created => {
                warn_unawaited(&coroutine);
                // After the warning, because its objects may warn as well.
                // SAFETY: the caller of the finalizer holds a reference; the warning may have run it or ended it.
                if unsafe { stage_of(object) } == Stage::Created {
                    // SAFETY: created, hence not running.
                    unsafe { finish(object) };
                }
            }
            Stage::Suspended => {
                // SAFETY: the caller of the finalizer holds a reference.
                if let Err(raised) = unsafe { close(py, object) } {
                    tell(raised, &coroutine, c"Exception ignored while closing generator %R");
                }
            }
            Stage::Running | Stage::Finished => {}
        }
    });
}

/// Warns as the interpreter does: by the function of the module `warnings`, or without the module.
#[cold]
fn warn_unawaited(coroutine: &Bound<'_, PyAny>) {
    let py = coroutine.py();
    let finalizing = c"Exception ignored while finalizing coroutine %R";
    if let Some(warn) = imports::of_loaded_module(py, name!("warnings"), name!("_warn_unawaited_coroutine")) {
        let Err(raised) = warn.call1((coroutine,)) else { return };
        let was_told = raised.is_instance_of::<PyRuntimeWarning>(py);
        tell(raised, coroutine, finalizing);
        if was_told {
            return;
        }
    }
    let name = asyncio_code::qualified_name(py, super::name_of(coroutine).unwrap_or_default());
    let text = CString::new(format!("coroutine '{name}' was never awaited")).unwrap_or_default();
    if let Err(raised) = PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &text, 1) {
        tell(raised, coroutine, finalizing);
    }
}

/// Passes on what cannot be raised, from 3.14 on with a text of its own.
#[cold]
fn tell(raised: PyErr, coroutine: &Bound<'_, PyAny>, text: &CStr) {
    if cfg!(Py_3_14) {
        memory::unraisable_while(coroutine.py(), raised, text, coroutine);
    } else {
        raised.write_unraisable(coroutine.py(), Some(coroutine));
    }
}

pub(super) unsafe extern "C" fn dealloc(object: Object) {
    let coroutine = object.cast::<CoroutineObject>();
    // SAFETY: a whole object of our type.
    if unsafe { stage_of(object) } != Stage::Finished {
        // SAFETY: dead and whole.
        unsafe { dealloc_unfinished(object) };
        return;
    }
    // SAFETY: as above.
    let is_tracked = unsafe { (*coroutine).is_tracked };
    // SAFETY: as above.
    let weak_references = unsafe { (*coroutine).weak_references };
    assume_attached(|py| {
        if is_tracked || !weak_references.is_null() || origin::are_tracked() {
            // SAFETY: no reference to it is left, and its body is gone.
            unsafe { release(py, object) };
        } else {
            // SAFETY: not null.
            let memory = unsafe { NonNull::new_unchecked(coroutine) };
            // SAFETY: exactly of our type, dead, its body is gone; only what is tracked is ever finalized.
            unsafe { FREELIST.put_unfinalized(py, memory) };
        }
    });
}

/// The rest of `dealloc`: a finished coroutine holds nothing, any other may hold a chain of objects. Apart, so that
/// `dealloc` saves no registers.
///
/// # Safety
/// It is dead and whole. The GIL is held.
#[cold]
#[inline(never)]
unsafe fn dealloc_unfinished(object: Object) {
    // SAFETY: dead and whole.
    let destroy = |object| unsafe { free(object) };
    // SAFETY: dead and whole, and `dealloc` is the type's `tp_dealloc`.
    unsafe { within_bounds(object, dealloc, destroy) };
}

/// Closes and frees a coroutine that has not finished.
///
/// # Safety
/// It is dead and whole. The GIL is held.
#[inline(always)] // a part of `tp_dealloc`
unsafe fn free(object: Object) {
    finalizing(|py| {
        // A finalizer may run any code, and expects a tracked object.
        // SAFETY: a whole object of our type.
        unsafe { track(object) };
        // SAFETY: called once, by tp_dealloc, as documented.
        if unsafe { ffi::PyObject_CallFinalizerFromDealloc(object) } < 0 {
            return;
        }
        // SAFETY: no reference to it is left.
        unsafe { release(py, object) };
    });
}

/// Releases a coroutine to which no reference is left.
///
/// # Safety
/// A whole object of our type whose finalizer has run, if it has to.
unsafe fn release(py: Python<'_>, object: Object) {
    let memory = object.cast::<CoroutineObject>();
    // SAFETY: of our layout.
    let was_tracked = unsafe { (*memory).is_tracked };
    if was_tracked {
        // SAFETY: tracked.
        unsafe { ffi::PyObject_GC_UnTrack(object.cast()) };
    }
    // It may collect, which must not meet a dead object.
    if origin::are_tracked() {
        origin::forget(py, object);
    }
    // SAFETY: of our layout.
    if !unsafe { (*memory).weak_references }.is_null() {
        // SAFETY: the object is still whole.
        unsafe { ffi::PyObject_ClearWeakRefs(object) };
    }
    // SAFETY: dead, but whole.
    if unsafe { stage_of(object) } != Stage::Finished {
        // SAFETY: no reference to it is left, so it does not run.
        unsafe { finish(object) };
    }
    // SAFETY: not null.
    let memory = unsafe { NonNull::new_unchecked(memory) };
    if was_tracked {
        // SAFETY: exactly of our type, untracked, its body is dropped.
        unsafe { FREELIST.put(py, memory) };
    } else {
        // SAFETY: as above; only what is tracked is ever finalized, by the collector or in `dealloc`.
        unsafe { FREELIST.put_unfinalized(py, memory) };
    }
}

pub(super) unsafe extern "C" fn traverse(object: Object, visit: ffi::visitproc, argument: *mut c_void) -> c_int {
    let visitor = Visitor::new(visit, argument);
    // SAFETY: an instance of a heap type visits its type.
    visitor.show_pointer(unsafe { ffi::Py_TYPE(object) }.cast());
    // SAFETY: the collector passes a live object of our type.
    if matches!(unsafe { stage_of(object) }, Stage::Created | Stage::Suspended) {
        // SAFETY: whole and not running, and no Python code runs during a visit.
        unsafe { &(*object.cast::<CoroutineObject>()).body }.traverse(&visitor);
    }
    visitor.outcome()
}

pub(super) unsafe extern "C" fn clear(object: Object) -> c_int {
    finalizing(|_| {
        // SAFETY: the collector passes a live object of our type.
        if matches!(unsafe { stage_of(object) }, Stage::Created | Stage::Suspended) {
            // SAFETY: it does not run.
            unsafe { finish(object) };
        }
    });
    0
}
