//! The type `Task`: creation, memory and garbage collection, on top of the future's.

use std::ffi::{CStr, c_int, c_void};
#[cfg(Py_3_14)]
use std::mem::offset_of;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

#[cfg(Py_3_14)]
use super::shown;
use super::{TaskBody, TaskObject, TaskRef, methods, numbers, registry};
use crate::capi::deallocation::within_bounds;
use crate::capi::finalizer::finalizing;
use crate::capi::freelist::FreeList;
use crate::capi::heap_type::{self, EXTENSIBLE, set_constructor, slot};
#[cfg(Py_3_14)]
use crate::capi::task_lists::{self, TaskLayout};
use crate::capi::trampoline::assume_attached;
use crate::objects::coroutine_check;
use crate::objects::future::{self, FutureBody};
use crate::objects::recording;

type Object = *mut ffi::PyObject;

/// At most 2.5 MB after a burst; recycled memory also does not bring the next collection nearer.
static FREELIST: FreeList<TaskObject> = FreeList::new(8192);
static TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static POINTER: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(std::ptr::null_mut());

#[inline]
pub(crate) fn type_pointer() -> *mut ffi::PyTypeObject {
    // Relaxed: written with the GIL held.
    POINTER.load(Ordering::Relaxed)
}

/// Whether `class` is exactly our type.
#[inline]
pub(crate) fn is_exact(class: *mut ffi::PyTypeObject) -> bool {
    std::ptr::eq(class, type_pointer())
}

pub(super) fn create_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    let class = TYPE.get_or_try_init(py, || new_type(py))?.bind(py);
    // Relaxed: written with the GIL held.
    POINTER.store(class.as_type_ptr(), Ordering::Relaxed);
    Ok(class.clone())
}

/// A new object exactly of our type, whose task part is still empty.
#[inline]
pub(super) fn new_exact(py: Python<'_>, future: FutureBody) -> PyResult<TaskRef<'_>> {
    let class = type_pointer();
    if class.is_null() {
        create_type(py)?;
        return new_exact(py, future);
    }
    // SAFETY: our type, whose basic size is that of TaskObject.
    let object = unsafe { FREELIST.take(py, class) }?.as_ptr();
    // SAFETY: no other pointer to the memory exists; its fields hold nothing yet.
    let place = unsafe { &raw mut (*object).base.attributes };
    // SAFETY: in bounds, and it overwrites nothing that needs releasing.
    unsafe { place.write(std::ptr::null_mut()) };
    // SAFETY: as above.
    let place = unsafe { &raw mut (*object).base.weak_references };
    // SAFETY: in bounds, and it overwrites nothing that needs releasing.
    unsafe { place.write(std::ptr::null_mut()) };
    // SAFETY: as above.
    let place = unsafe { &raw mut (*object).base.future };
    // SAFETY: in bounds, and it overwrites nothing that needs releasing.
    unsafe { place.write(future.of_task()) };
    // SAFETY: as above.
    let place = unsafe { &raw mut (*object).task };
    // SAFETY: in bounds, and it overwrites nothing that needs releasing.
    unsafe { place.write(TaskBody::default()) };
    // SAFETY: a whole object, not tracked so far.
    unsafe { ffi::PyObject_GC_Track(object.cast()) };
    // SAFETY: a new reference to an object of our type.
    Ok(unsafe { TaskRef::from_owned(py, object.cast()) })
}

unsafe extern "C" fn new(class: *mut ffi::PyTypeObject, _: Object, _: Object) -> Object {
    // SAFETY: the interpreter passes a type derived from ours; zeroed memory or null with an exception set.
    let object = unsafe { ffi::PyType_GenericAlloc(class, 0) };
    if !object.is_null() {
        let task = object.cast::<TaskObject>();
        // SAFETY: of our layout; the zeroed body holds nothing that needs releasing.
        let place = unsafe { &raw mut (*task).base.future };
        // SAFETY: in bounds, and it overwrites nothing that needs releasing.
        unsafe { place.write(FutureBody::default().of_task()) };
        // SAFETY: as above.
        let place = unsafe { &raw mut (*task).task };
        // SAFETY: in bounds, and it overwrites nothing that needs releasing.
        unsafe { place.write(TaskBody::default()) };
    }
    object
}

unsafe extern "C" fn finalize(object: Object) {
    finalizing(|py| {
        // SAFETY: the interpreter passes a live object of our type.
        let task = unsafe { TaskRef::from_borrowed(py, object) };
        task.finalize();
    });
}

/// Whether the destructor of the task in `object` has something to log.
///
/// # Safety
/// A whole object of our layout.
unsafe fn must_log(object: Object) -> bool {
    // SAFETY: the caller guarantees it.
    let whole = unsafe { &*object.cast::<TaskObject>() };
    let future = &whole.base.future;
    future.log_traceback || (future.state == future::State::Pending && whole.task.log_destroy_pending)
}

unsafe extern "C" fn dealloc(object: Object) {
    // SAFETY: dead and whole.
    let destroy = |object| unsafe { free(object) };
    // SAFETY: dead and whole, and this is the type's `tp_dealloc`.
    unsafe { within_bounds(object, dealloc, destroy) };
}

/// Frees a task.
///
/// # Safety
/// It is dead and whole. The GIL is held.
#[inline(always)] // a part of `tp_dealloc`
unsafe fn free(object: Object) {
    assume_attached(|py| {
        // SAFETY: reads the type of a live object.
        let class = unsafe { ffi::Py_TYPE(object) };
        let exact = is_exact(class);
        // SAFETY: a whole object of our type.
        let must_log = exact && unsafe { must_log(object) };
        // SAFETY: called once, by tp_dealloc, as documented.
        if must_log && unsafe { ffi::PyObject_CallFinalizerFromDealloc(object) } < 0 {
            return;
        }
        let task = object.cast::<TaskObject>();
        // SAFETY: the task's body is still there.
        unsafe { registry::remove(task) };
        // SAFETY: the object is dead from here on.
        unsafe { future::dealloc_base(object) };
        // SAFETY: the object is unreachable; its body is moved out once.
        let place = unsafe { &raw const (*task).task };
        // SAFETY: in bounds; it is moved out once.
        let body = unsafe { place.read() };
        if recording::is_on() {
            recording::note_freed(py, body.place, object);
        }
        drop(body);
        if exact {
            // SAFETY: not null.
            let memory = unsafe { NonNull::new_unchecked(task) };
            // SAFETY: exactly of our type, untracked, everything is released.
            unsafe { FREELIST.put(py, memory) };
            return;
        }
        // SAFETY: a subclass's instance also comes from the collector's allocator.
        unsafe { ffi::PyObject_GC_Del(object.cast()) };
        // SAFETY: the reference that the instance held.
        unsafe { ffi::Py_DECREF(class.cast()) };
    });
}

unsafe extern "C" fn traverse(object: Object, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
    // SAFETY: passed on from the collector; tasks begin as futures.
    let outcome = unsafe { future::traverse_base(object, visit, arg) };
    if outcome != 0 {
        return outcome;
    }
    // SAFETY: alive, of our layout, and no Python code runs meanwhile.
    let body = unsafe { &(*object.cast::<TaskObject>()).task };
    for owned in [&body.coroutine, &body.context, &body.waiting_for, &body.name, &body.annex].into_iter().flatten() {
        // SAFETY: `visit` and `arg` are the collector's own.
        let outcome = unsafe { visit(owned.as_ptr(), arg) };
        if outcome != 0 {
            return outcome;
        }
    }
    0
}

unsafe extern "C" fn clear(object: Object) -> c_int {
    finalizing(|py| {
        // SAFETY: the collector passes a live object of our type.
        let task = unsafe { TaskRef::from_borrowed(py, object) };
        future::release_slots(task.future());
        let owned = task
            .update(|body| (body.take_coroutine(), body.context.take(), body.waiting_for.take(), body.annex.take()));
        drop(owned);
    });
    0
}

const DOC: &CStr = c"Task(coro, *, loop=None, name=None, context=None, eager_start=False)\n--\n\nA future that drives a coroutine; asyncio.Task in Rust.";
const DOC_3_11: &CStr =
    c"Task(coro, *, loop=None, name=None, context=None)\n--\n\nA future that drives a coroutine; asyncio.Task in Rust.";

fn new_type(py: Python<'_>) -> PyResult<Py<PyType>> {
    let base = future::future_type(py)?;
    coroutine_check::types(py)?;
    #[cfg(Py_3_14)]
    join_lists(py)?;
    let doc = if py.version_info() >= (3, 12) { DOC } else { DOC_3_11 };
    let slots = vec![
        slot(ffi::Py_tp_new, new as *mut c_void),
        slot(ffi::Py_tp_init, methods::init as *mut c_void),
        slot(ffi::Py_tp_finalize, finalize as *mut c_void),
        slot(ffi::Py_tp_dealloc, dealloc as *mut c_void),
        slot(ffi::Py_tp_traverse, traverse as *mut c_void),
        slot(ffi::Py_tp_clear, clear as *mut c_void),
        slot(ffi::Py_tp_repr, methods::repr as *mut c_void),
        slot(ffi::Py_tp_hash, numbers::hash as *mut c_void),
        slot(ffi::Py_tp_methods, methods::method_table(py).cast()),
        slot(ffi::Py_tp_getset, methods::attribute_table().cast()),
        slot(ffi::Py_tp_doc, doc.as_ptr() as *mut c_void),
    ];
    let class = heap_type::new(py, c"ferrio.Task", size_of::<TaskObject>(), slots, EXTENSIBLE, Some(&base))?;
    set_constructor(class.bind(py), methods::construct);
    Ok(class)
}

#[cfg(Py_3_14)]
const FUTURE: usize = offset_of!(TaskObject, base.future);

/// Where a task has what tools read from outside: at the places of asyncio's own tasks, which are the same in 3.14 and
/// 3.15. If the running interpreter declares others, ferrio's tasks keep out of its lists.
#[cfg(Py_3_14)]
const LAYOUT: TaskLayout = TaskLayout {
    size: offset_of!(TaskObject, task.link) as u64 + 2 * size_of::<usize>() as u64,
    name: (offset_of!(TaskObject, task) + shown::NAME) as u64,
    awaited_by: (FUTURE + offset_of!(FutureBody, awaited_by)) as u64,
    is_task: (FUTURE + offset_of!(FutureBody, is_task)) as u64,
    awaited_by_is_set: (FUTURE + FutureBody::AWAITED_BY_IS_SET) as u64,
    coroutine: (offset_of!(TaskObject, task) + shown::COROUTINE) as u64,
    node: offset_of!(TaskObject, task.link) as u64,
};

/// Lists tasks in the interpreter's lists from now on, if it and its tools can read them.
#[cfg(Py_3_14)]
fn join_lists(py: Python<'_>) -> PyResult<()> {
    if shown::prepare(py)? {
        task_lists::learn(py, |declared| {
            // A debug build of the interpreter may have more at the end of its tasks.
            declared.size <= size_of::<TaskObject>() as u64 && TaskLayout { size: LAYOUT.size, ..*declared } == LAYOUT
        });
    }
    Ok(())
}
