//! The type `Future`: creation, memory, garbage collection; tasks build on the same functions.
//!
//! The type can be subclassed from Python, so nothing here relies on an exact size except the recycling of exact
//! futures' memory (`FREELIST`). The collector tracks an object from its creation to its end.

use std::ffi::{CStr, c_int, c_void};
use std::mem::offset_of;
use std::ptr::NonNull;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use super::{FutureBody, FutureObject, FutureRef, attributes, methods};
use crate::capi::deallocation::within_bounds;
use crate::capi::finalizer::finalizing;
use crate::capi::freelist::FreeList;
use crate::capi::heap_type::{self, EXTENSIBLE, offsets, set_constructor, slot};
use crate::capi::imports;
use crate::capi::trampoline::assume_attached;

type Object = *mut ffi::PyObject;

/// At most 1.5 MB after a burst; recycled memory also does not bring the next collection nearer.
static FREELIST: FreeList<FutureObject> = FreeList::new(8192);
static TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
/// The same as a bare pointer, for checks on hot paths; null until the type exists.
static POINTER: std::sync::atomic::AtomicPtr<ffi::PyTypeObject> =
    std::sync::atomic::AtomicPtr::new(std::ptr::null_mut());

#[inline]
pub(crate) fn type_pointer() -> *mut ffi::PyTypeObject {
    // Relaxed: written once, with the GIL held.
    POINTER.load(std::sync::atomic::Ordering::Relaxed)
}

#[inline]
pub(crate) fn is_exact(class: *mut ffi::PyTypeObject) -> bool {
    std::ptr::eq(class, type_pointer())
}

pub(crate) fn create_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    let class = TYPE.get_or_try_init(py, || new_type(py))?.bind(py);
    // Relaxed: written with the GIL held.
    POINTER.store(class.as_type_ptr(), std::sync::atomic::Ordering::Relaxed);
    Ok(class.clone())
}

/// A new object exactly of our type.
#[inline]
pub(crate) fn new_exact(py: Python<'_>, body: FutureBody) -> PyResult<FutureRef<'_>> {
    let class = type_pointer();
    if class.is_null() {
        create_type(py)?;
        return new_exact(py, body);
    }
    // SAFETY: our type, whose basic size is that of FutureObject.
    let object = unsafe { FREELIST.take(py, class) }?.as_ptr();
    // SAFETY: no other pointer to the memory exists; its fields hold nothing yet.
    let place = unsafe { &raw mut (*object).attributes };
    // SAFETY: in bounds, and it overwrites nothing that needs releasing.
    unsafe { place.write(std::ptr::null_mut()) };
    // SAFETY: as above.
    let place = unsafe { &raw mut (*object).weak_references };
    // SAFETY: in bounds, and it overwrites nothing that needs releasing.
    unsafe { place.write(std::ptr::null_mut()) };
    // SAFETY: as above.
    let place = unsafe { &raw mut (*object).future };
    // SAFETY: in bounds, and it overwrites nothing that needs releasing.
    unsafe { place.write(body) };
    // SAFETY: a whole object, not tracked so far.
    unsafe { ffi::PyObject_GC_Track(object.cast()) };
    // SAFETY: a new reference to an object of our type.
    Ok(unsafe { FutureRef::from_owned(py, object.cast()) })
}

unsafe extern "C" fn new(class: *mut ffi::PyTypeObject, _: Object, _: Object) -> Object {
    // SAFETY: the interpreter passes a type derived from ours; zeroed memory or null with an exception set.
    let object = unsafe { ffi::PyType_GenericAlloc(class, 0) };
    if !object.is_null() {
        // SAFETY: of our layout; the zeroed body holds nothing that needs releasing.
        let place = unsafe { &raw mut (*object.cast::<FutureObject>()).future };
        // SAFETY: in bounds, and it overwrites nothing that needs releasing.
        unsafe { place.write(FutureBody::default()) };
    }
    object
}

pub(super) unsafe extern "C" fn finalize(object: Object) {
    finalizing(|py| {
        // SAFETY: the interpreter passes a live object of our type.
        let future = unsafe { FutureRef::from_borrowed(py, object) };
        future.finalize();
    });
}

unsafe extern "C" fn dealloc(object: Object) {
    // SAFETY: dead and whole.
    let destroy = |object| unsafe { free(object) };
    // SAFETY: dead and whole, and this is the type's `tp_dealloc`.
    unsafe { within_bounds(object, dealloc, destroy) };
}

/// Frees a future.
///
/// # Safety
/// It is dead and whole. The GIL is held.
#[inline(always)] // a part of `tp_dealloc`
unsafe fn free(object: Object) {
    assume_attached(|py| {
        // SAFETY: reads the type of a live object.
        let class = unsafe { ffi::Py_TYPE(object) };
        let exact = is_exact(class);
        // SAFETY: a whole object of our type; read before anything is released.
        let must_log = exact && unsafe { &(*object.cast::<FutureObject>()).future }.log_traceback;
        // SAFETY: called once, by tp_dealloc, as documented.
        if must_log && unsafe { ffi::PyObject_CallFinalizerFromDealloc(object) } < 0 {
            return;
        }
        // SAFETY: the object is dead from here on.
        unsafe { dealloc_base(object) };
        if exact {
            // SAFETY: not null.
            let memory = unsafe { NonNull::new_unchecked(object.cast()) };
            // SAFETY: exactly of our type, untracked, everything is released.
            unsafe { FREELIST.put(py, memory) };
            return;
        }
        // SAFETY: a subclass's instance is of the collector's allocator too.
        unsafe { ffi::PyObject_GC_Del(object.cast()) };
        // SAFETY: the reference that the instance held.
        unsafe { ffi::Py_DECREF(class.cast()) };
    });
}

/// Tears down a future or the future part of a task: untracks it, clears weak references, releases everything.
///
/// # Safety
/// `object` is of our layout, tracked, and no reference to it is left.
pub(crate) unsafe fn dealloc_base(object: Object) {
    let future = object.cast::<FutureObject>();
    // SAFETY: tracked, the caller guarantees it (doing it twice is harmless).
    unsafe { ffi::PyObject_GC_UnTrack(object.cast()) };
    // SAFETY: of our layout.
    if !unsafe { (*future).weak_references }.is_null() {
        // SAFETY: the object is still whole; callbacks of the references see it dead.
        unsafe { ffi::PyObject_ClearWeakRefs(object) };
    }
    // SAFETY: the object is unreachable; its body is moved out once.
    let place = unsafe { &raw const (*future).future };
    // SAFETY: in bounds; it is moved out once.
    let body = unsafe { place.read() };
    drop(body);
    // SAFETY: of our layout.
    let attributes = unsafe { (*future).attributes };
    // SAFETY: null or a reference that the object owned.
    unsafe { ffi::Py_XDECREF(attributes) };
}

unsafe extern "C" fn traverse(object: Object, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
    // SAFETY: passed on from the collector.
    unsafe { traverse_base(object, visit, arg) }
}

/// Visits what a future, or the future part of a task, refers to.
///
/// # Safety
/// Called by the collector with a live object of our layout.
pub(crate) unsafe fn traverse_base(object: Object, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
    let mut outcome = 0;
    let mut show = |referent: Object| {
        if outcome == 0 && !referent.is_null() {
            // SAFETY: `visit` and `arg` are the collector's own.
            outcome = unsafe { visit(referent, arg) };
        }
    };
    // SAFETY: alive, of our layout, and no Python code runs meanwhile.
    let future = unsafe { &*object.cast::<FutureObject>() };
    // SAFETY: an instance of a heap type visits its type.
    show(unsafe { ffi::Py_TYPE(object) }.cast());
    show(future.attributes);
    let body = &future.future;
    let owned = [
        &body.owner,
        &body.result,
        &body.exception,
        &body.source_traceback,
        &body.awaited_by,
        &body.cancel_message,
        &body.end,
    ];
    owned.into_iter().flatten().for_each(|owned| show(owned.as_ptr()));
    body.callbacks.iter().for_each(|callback| callback.traverse(|owned| show(owned.as_ptr())));
    outcome
}

unsafe extern "C" fn clear(object: Object) -> c_int {
    finalizing(|py| {
        // SAFETY: the collector passes a live object of our type.
        let future = unsafe { FutureRef::from_borrowed(py, object) };
        release_slots(&future);
    });
    0
}

/// `tp_clear`: releases everything; the object then counts as not initialised.
pub(crate) fn release_slots(future: &FutureRef<'_>) {
    let before = future.update(|body| {
        let fresh = FutureBody { state: body.state, is_task: body.is_task, ..FutureBody::default() };
        std::mem::replace(body, fresh)
    });
    drop(before);
    let object = future.as_ptr().cast::<FutureObject>();
    // SAFETY: of our layout, alive while counted.
    let place = unsafe { &raw mut (*object).attributes };
    // SAFETY: in bounds, and initialised.
    let attributes = unsafe { place.replace(std::ptr::null_mut()) };
    // SAFETY: null or a reference that the object owned.
    unsafe { ffi::Py_XDECREF(attributes) };
}

fn new_type(py: Python<'_>) -> PyResult<Py<PyType>> {
    // Imported here: reporting and cancelling must not import modules later, when imports may fail.
    imports::cancelled_error(py)?;
    imports::invalid_state_error(py)?;
    super::create_iterator_type(py)?;
    let members = offsets(&[
        (c"__weaklistoffset__", offset_of!(FutureObject, weak_references)),
        (c"__dictoffset__", offset_of!(FutureObject, attributes)),
    ]);
    let slots = vec![
        slot(ffi::Py_tp_new, new as *mut c_void),
        slot(ffi::Py_tp_init, methods::init as *mut c_void),
        slot(ffi::Py_tp_finalize, finalize as *mut c_void),
        slot(ffi::Py_tp_dealloc, dealloc as *mut c_void),
        slot(ffi::Py_tp_traverse, traverse as *mut c_void),
        slot(ffi::Py_tp_clear, clear as *mut c_void),
        slot(ffi::Py_tp_repr, methods::repr as *mut c_void),
        slot(ffi::Py_tp_iter, methods::iterate as *mut c_void),
        slot(ffi::Py_am_await, methods::iterate as *mut c_void),
        slot(ffi::Py_tp_members, members),
        slot(ffi::Py_tp_methods, methods::method_table().cast()),
        slot(ffi::Py_tp_getset, attributes::attribute_table().cast()),
        slot(ffi::Py_tp_doc, DOC.as_ptr() as *mut c_void),
    ];
    let class = heap_type::new(py, c"ferrio.Future", size_of::<FutureObject>(), slots, EXTENSIBLE, None)?;
    set_constructor(class.bind(py), methods::construct);
    Ok(class)
}

const DOC: &CStr = c"Future(*, loop=None)\n--\n\nA result that is not there yet; asyncio.Future in Rust.";
