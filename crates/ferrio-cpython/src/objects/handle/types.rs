//! The two heap types: creation, memory, garbage collection.
//!
//! Freed handles go to their loop's free list (`LoopBase::free_handles`), untracked and uninitialised except for their
//! memory; `PyObject_Init` makes a new object of them. Subtypes are impossible (no BASETYPE), so the size of a recycled
//! handle is always that of `HandleObject`.

use std::ffi::{CStr, c_int, c_void};
use std::mem::{ManuallyDrop, offset_of};
use std::ptr::NonNull;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use super::{Body, HandleObject, HandleRef, comparison, methods};
use crate::capi::deallocation::within_bounds;
use crate::capi::heap_type::{self, COLLECTED, offsets, slot};
use crate::capi::imports;
use crate::objects::loop_base::LoopBase;

/// Which of the two types.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `Handle`, from `call_soon`.
    Soon,
    /// `TimerHandle`, from `call_at`.
    Timer,
    /// `Handle` from `call_soon_threadsafe`, where the running Python has `_ThreadSafeHandle` (3.14): other threads
    /// that cancel it or read its state wait while its callback runs.
    FromThread,
}

/// Memory of a freed handle: allocated by the collector's allocator, untracked, holding nothing.
pub(crate) struct FreeHandle(NonNull<HandleObject>);

// SAFETY: plain memory without an owner; it is touched only with the GIL held.
unsafe impl Send for FreeHandle {}

impl Drop for FreeHandle {
    fn drop(&mut self) {
        // SAFETY: allocated by PyObject_GC_New, untracked, and no object lives in it.
        unsafe { ffi::PyObject_GC_Del(self.0.as_ptr().cast()) };
    }
}

static TYPES: PyOnceLock<(Py<PyType>, Py<PyType>)> = PyOnceLock::new();

fn type_pointer(py: Python<'_>, kind: Kind) -> PyResult<*mut ffi::PyTypeObject> {
    let (soon, timer) = TYPES.get_or_try_init(py, || new_types(py))?;
    Ok(match kind {
        Kind::Soon | Kind::FromThread => soon.bind(py).as_type_ptr(),
        Kind::Timer => timer.bind(py).as_type_ptr(),
    })
}

/// The types `Handle` and `TimerHandle`, made at the first call.
pub(crate) fn create_types(py: Python<'_>) -> PyResult<(Bound<'_, PyType>, Bound<'_, PyType>)> {
    let (soon, timer) = TYPES.get_or_try_init(py, || new_types(py))?;
    Ok((soon.bind(py).clone(), timer.bind(py).clone()))
}

/// A new object with `body`, in recycled memory if the loop has some; not tracked by the collector yet.
#[inline]
pub(crate) fn allocate(owner: &Bound<'_, LoopBase>, kind: Kind, body: Body) -> PyResult<HandleRef> {
    let py = owner.py();
    let class = type_pointer(py, kind)?;
    let memory = if let Some(free) = owner.get().free_handles.with(py, Vec::pop) {
        let memory = free.0;
        std::mem::forget(free);
        // SAFETY: uninitialised memory of the right size, with room for the collector's head before it.
        unsafe { ffi::PyObject_Init(memory.as_ptr().cast(), class) };
        memory
    } else {
        // SAFETY: `class` is a GC type whose basic size is that of HandleObject.
        let fresh = unsafe { ffi::PyObject_GC_New::<HandleObject>(class) };
        NonNull::new(fresh).ok_or_else(|| not_made(owner, &body))?
    };
    // SAFETY: in bounds of our own memory.
    let place = unsafe { &raw mut (*memory.as_ptr()).body };
    // SAFETY: no other pointer to the memory exists, and its body holds nothing yet.
    unsafe { place.write(body) };
    // SAFETY: a new reference.
    let object = unsafe { Bound::from_owned_ptr(py, memory.as_ptr().cast()) }.unbind();
    Ok(HandleRef(ManuallyDrop::new(object)))
}

#[cold]
fn not_made(owner: &Bound<'_, LoopBase>, body: &Body) -> PyErr {
    let py = owner.py();
    let error = PyErr::fetch(py);
    if let Some(callback) = &body.callback {
        owner.get().stop_in_place_of(py, callback.bind(py));
    }
    error
}

/// The capacity of a loop's free list: at most 0.8 MB after a burst.
const MAX_FREE_HANDLES: usize = 8192;

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: dead and whole.
    let destroy = |object| unsafe { free(object) };
    // SAFETY: dead and whole, and this is the type's `tp_dealloc`.
    unsafe { within_bounds(object, dealloc, destroy) };
}

/// Frees a handle.
///
/// # Safety
/// It is dead and whole. The GIL is held.
#[inline(always)] // a part of `tp_dealloc`
unsafe fn free(object: *mut ffi::PyObject) {
    // SAFETY: tp_dealloc runs with the GIL held.
    let py = unsafe { Python::assume_attached() };
    let handle = object.cast::<HandleObject>();
    // SAFETY: a whole object of our type.
    if unsafe { (*handle).body.tracked } {
        // SAFETY: tracked, by its own word.
        unsafe { ffi::PyObject_GC_UnTrack(object.cast()) };
    }
    // SAFETY: of our type, so the field is there; it is null or the head of the list.
    if !unsafe { (*handle).body.weak_references }.is_null() {
        // SAFETY: the object is still whole; callbacks of the references see it dead.
        unsafe { ffi::PyObject_ClearWeakRefs(object) };
    }
    // SAFETY: in bounds of the object.
    let place = unsafe { &raw const (*handle).body };
    // SAFETY: the object is unreachable; its body is moved out once.
    let mut body = unsafe { place.read() };
    // SAFETY: a heap type's instance owns a reference to its type.
    let class = unsafe { ffi::Py_TYPE(object) };
    // SAFETY: `handle` is not null.
    let free = FreeHandle(unsafe { NonNull::new_unchecked(handle) });
    let owner = body.owner.take().map(|owner| owner.into_bound(py));
    release(py, body);
    if let Some(owner) = owner {
        let surplus = owner.get().free_handles.with(py, |free_handles| {
            if free_handles.len() < MAX_FREE_HANDLES
                && (free_handles.len() < free_handles.capacity() || free_handles.try_reserve(1).is_ok())
            {
                free_handles.push(free);
                None
            } else {
                Some(free)
            }
        });
        drop(surplus);
    } else {
        drop(free);
    }
    // SAFETY: the reference that the instance held.
    unsafe { ffi::Py_DECREF(class.cast()) };
}

/// Releases what a body holds while attached: `Bound` releases references at once, `Py` might defer that.
fn release(py: Python<'_>, body: Body) {
    let Body { callback, arguments, context, owner, notes, .. } = body;
    drop([callback, arguments, context].map(|field| field.map(|object| object.into_bound(py))));
    drop(owner.map(|owner| owner.into_bound(py)));
    drop(notes);
}

unsafe extern "C" fn traverse(object: *mut ffi::PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
    // SAFETY: the collector calls this with a live object of our type and runs no Python code meanwhile.
    let body = unsafe { &(*object.cast::<HandleObject>()).body };
    let notes = body.notes.as_deref();
    let referents = [
        body.callback.as_ref().map(Py::as_ptr),
        body.arguments.as_ref().map(Py::as_ptr),
        body.context.as_ref().map(Py::as_ptr),
        body.owner.as_ref().map(Py::as_ptr),
        notes.and_then(|notes| notes.source_traceback.as_ref()).map(Py::as_ptr),
        notes.and_then(|notes| notes.cancelled_repr.as_ref()).map(Py::as_ptr),
        notes.and_then(|notes| notes.when.as_ref()).map(Py::as_ptr),
        // SAFETY: an instance of a heap type visits its type.
        Some(unsafe { ffi::Py_TYPE(object) }.cast()),
    ];
    for referent in referents.into_iter().flatten() {
        // SAFETY: `visit` and `arg` are the collector's own.
        let outcome = unsafe { visit(referent, arg) };
        if outcome != 0 {
            return outcome;
        }
    }
    0
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: tp_clear runs with the GIL held.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: the collector holds a reference to the live object; the HandleRef's drop releases ours.
    let handle = unsafe { borrowed(object) };
    let taken = handle.update(py, |body| (body.callback.take(), body.arguments.take(), body.owner.take()));
    drop(taken.0.map(|callback| callback.into_bound(py)));
    drop(taken.1.map(|arguments| arguments.into_bound(py)));
    drop(taken.2.map(|owner| owner.into_bound(py)));
    0
}

/// A counted reference to a live handle that C code passed in.
///
/// # Safety
/// `object` is a live instance of one of the two types and the GIL is held.
pub(super) unsafe fn borrowed(object: *mut ffi::PyObject) -> HandleRef {
    // SAFETY: the GIL is held, the caller guarantees it.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: alive, the caller guarantees it.
    HandleRef(ManuallyDrop::new(unsafe { Bound::from_borrowed_ptr(py, object) }.unbind()))
}

/// The handle behind `object`, if it is a ferrio handle.
pub(crate) fn as_handle(object: &Bound<'_, PyAny>) -> Option<HandleRef> {
    let (soon, timer) = TYPES.get(object.py())?;
    let class = object.get_type();
    if class.is(soon) || class.is(timer) {
        // SAFETY: exactly one of our types, alive and attached.
        return Some(unsafe { borrowed(object.as_ptr()) });
    }
    None
}

const DOC: &CStr = c"Object returned by callback registration methods.";
const TIMER_DOC: &CStr = c"Object returned by timed callback registration methods.";

fn new_types(py: Python<'_>) -> PyResult<(Py<PyType>, Py<PyType>)> {
    // Imported here: making the first handle must not import modules inside a callback.
    for kind in [Kind::Soon, Kind::Timer, Kind::FromThread] {
        asyncio_class(py, kind)?;
    }
    let soon = new_type(py, c"ferrio.Handle", comparison::IDENTITY)?;
    let timer = new_type(py, c"ferrio.TimerHandle", comparison::BY_TIME)?;
    Ok((soon, timer))
}

fn new_type(py: Python<'_>, name: &'static CStr, ordering: &[ffi::PyType_Slot]) -> PyResult<Py<PyType>> {
    let is_timer = !ordering.is_empty();
    let doc = if is_timer { TIMER_DOC } else { DOC };
    let mut slots = vec![
        slot(ffi::Py_tp_dealloc, dealloc as *mut c_void),
        slot(ffi::Py_tp_traverse, traverse as *mut c_void),
        slot(ffi::Py_tp_clear, clear as *mut c_void),
        slot(ffi::Py_tp_repr, methods::repr as *mut c_void),
        slot(ffi::Py_tp_members, weak_references()),
        slot(ffi::Py_tp_methods, methods::method_table(is_timer).cast()),
        slot(ffi::Py_tp_getset, methods::attribute_table(is_timer).cast()),
        slot(ffi::Py_tp_doc, doc.as_ptr() as *mut c_void),
    ];
    slots.extend_from_slice(ordering);
    heap_type::new(py, name, size_of::<HandleObject>(), slots, COLLECTED, None)
}

fn weak_references() -> *mut c_void {
    offsets(&[(c"__weaklistoffset__", offset_of!(HandleObject, body) + offset_of!(Body, weak_references))])
}

/// The class that a handle shows as its `__class__`, so that `isinstance(handle, asyncio.Handle)` holds.
pub(super) fn asyncio_class(py: Python<'_>, kind: Kind) -> PyResult<Bound<'_, PyType>> {
    let class = match kind {
        Kind::Soon => imports::asyncio_handle(py)?,
        Kind::Timer => imports::asyncio_timer_handle(py)?,
        Kind::FromThread => match imports::thread_safe_handle(py)? {
            Some(class) => return Ok(class),
            None => imports::asyncio_handle(py)?,
        },
    };
    Ok(class.clone().cast_into::<PyType>()?)
}
