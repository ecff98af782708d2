//! Returns a value from a `tp_iternext`, which is how an await ends since 3.12: `StopIteration`, recycled.
//!
//! The interpreter checks that the exception is a `StopIteration`, takes the value out and drops the exception.
//! ferrio's subclass keeps the memory of the dropped ones; making a new one costs a fifth of an await (benchmark
//! `future_await`). The collector does not track them, and their arguments are made when they are first read.

use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};

use pyo3::exceptions::PyStopIteration;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use crate::capi::deallocation::within_bounds;
use crate::capi::freelist::FreeList;
use crate::capi::heap_type::{self, attribute, slot};
use crate::capi::memory;
use crate::capi::trampoline::{assume_attached, trampoline};
use crate::capi::version;

type Object = *mut ffi::PyObject;

/// `PyStopIterationObject` of the interpreter's headers, the same from 3.11 to 3.14.
#[repr(C)]
struct Stop {
    head: ffi::PyObject,
    attributes: Object,
    arguments: Object,
    notes: Object,
    traceback: Object,
    context: Object,
    cause: Object,
    suppress_context: u8,
    value: Object,
}

/// Dropped exceptions: whole except for their value, which is null; their arguments are empty.
static FREELIST: FreeList<Stop> = FreeList::new(64);

/// Sets `StopIteration` with `value`; no exception at all means None.
#[inline]
pub(crate) fn return_value(value: Bound<'_, PyAny>) {
    if value.is_none() {
        return;
    }
    let py = value.py();
    match FREELIST.reuse(py) {
        Some(stop) => raise(stop, value),
        None => raise_new(value),
    }
}

/// Fills an exception without a value and raises it.
#[inline]
fn raise(stop: NonNull<Stop>, value: Bound<'_, PyAny>) {
    let object: Object = stop.as_ptr().cast();
    // SAFETY: in bounds of the object.
    let place = unsafe { &raw mut (*stop.as_ptr()).value };
    // SAFETY: null before.
    unsafe { place.write(value.into_ptr()) };
    // SAFETY: an exception to which there is no other reference.
    unsafe { version::set_raised(object) };
}

#[cold]
fn raise_new(value: Bound<'_, PyAny>) {
    let py = value.py();
    match class(py).and_then(|class| class.call0()) {
        Ok(exception) => {
            let object = exception.into_ptr();
            // SAFETY: tracked when it was made. The collector need not know it: what holds an exception drops it soon.
            unsafe { ffi::PyObject_GC_UnTrack(object.cast()) };
            let stop = object.cast::<Stop>();
            // SAFETY: of this layout, and no other code has a pointer to it yet.
            let none = unsafe { std::mem::replace(&mut (*stop).value, null_mut()) };
            // SAFETY: a reference that the object owned, or null.
            unsafe { ffi::Py_XDECREF(none) };
            // SAFETY: not null.
            raise(unsafe { NonNull::new_unchecked(stop) }, value);
        }
        Err(error) => error.restore(py),
    }
}

fn class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    Ok(TYPE.get_or_try_init(py, || new_type(py))?.bind(py))
}

unsafe extern "C" fn dealloc(object: Object) {
    let stop = object.cast::<Stop>();
    // SAFETY: the object is unreachable.
    if unsafe { holds_value_only(stop) } {
        assume_attached(|py| {
            // SAFETY: as above.
            let value = unsafe { std::mem::replace(&mut (*stop).value, null_mut()) };
            // SAFETY: not null.
            let memory = unsafe { NonNull::new_unchecked(stop) };
            // SAFETY: exactly of our type, which has no finalizer; untracked, and holds nothing.
            unsafe { FREELIST.put_unfinalized(py, memory) };
            // SAFETY: the reference that the object owned.
            unsafe { ffi::Py_XDECREF(value) };
        });
        return;
    }
    // SAFETY: dead and whole.
    unsafe { dealloc_seen(object) };
}

/// The rest of `dealloc`, for an exception that a program has seen, or that holds another one. Apart, so that `dealloc`
/// saves no registers.
///
/// # Safety
/// It is dead and whole. The GIL is held.
#[cold]
#[inline(never)]
unsafe fn dealloc_seen(object: Object) {
    // SAFETY: dead and whole.
    let destroy = |object| unsafe { free(object) };
    // SAFETY: dead and whole, and this is the type's `tp_dealloc`.
    unsafe { within_bounds(object, dealloc, destroy) };
}

/// Frees an exception that a program has seen, or that holds another one.
///
/// # Safety
/// It is dead and whole. The GIL is held.
#[cold]
unsafe fn free(object: Object) {
    assume_attached(|py| {
        // SAFETY: a whole object of a GC type; doing it twice is harmless.
        unsafe { ffi::PyObject_GC_UnTrack(object.cast()) };
        // SAFETY: an instance of a heap type owns a reference to its type.
        let class = unsafe { ffi::Py_TYPE(object) };
        // SAFETY: the class that ours inherits its layout from, and its slots are static.
        if let Some(clear) = unsafe { (*py.get_type::<PyStopIteration>().as_type_ptr()).tp_clear } {
            // SAFETY: an exception of that class, whose fields it releases.
            unsafe { clear(object) };
        }
        // SAFETY: of the collector's allocator, untracked.
        unsafe { ffi::PyObject_GC_Del(object.cast()) };
        // SAFETY: the reference that the instance held.
        unsafe { ffi::Py_DECREF(class.cast()) };
    });
}

/// Whether only a value was ever put into the exception, and none that is such an exception too: a program that catches
/// them can make a long chain.
///
/// # Safety
/// A whole exception to which no reference is left.
#[inline]
unsafe fn holds_value_only(stop: *const Stop) -> bool {
    // SAFETY: the caller guarantees it; no Python code runs meanwhile.
    let stop = unsafe { &*stop };
    let additions = [stop.attributes, stop.notes, stop.traceback, stop.context, stop.cause];
    // One comparison instead of seven.
    let bits = additions.iter().fold(usize::from(stop.suppress_context), |bits, addition| bits | addition.addr());
    // SAFETY: null or a live tuple.
    let is_unpatched = bits == 0 && !stop.arguments.is_null() && unsafe { ffi::Py_SIZE(stop.arguments) == 0 };
    // SAFETY: null or a live object.
    is_unpatched && (stop.value.is_null() || !std::ptr::eq(unsafe { ffi::Py_TYPE(stop.value) }, stop.head.ob_type))
}

/// Makes an exception that a program has caught like any other: its value becomes its argument.
///
/// # Safety
/// `object` is of this layout and alive.
unsafe fn complete(py: Python<'_>, object: Object) -> PyResult<()> {
    let stop = object.cast::<Stop>();
    // SAFETY: of this layout, the caller guarantees it.
    let value = unsafe { (*stop).value };
    // SAFETY: as above.
    let arguments = unsafe { (*stop).arguments };
    // SAFETY: a live tuple, unless it is null.
    if value.is_null() || arguments.is_null() || unsafe { ffi::Py_SIZE(arguments) } != 0 {
        return Ok(());
    }
    // SAFETY: the exception owns it.
    let value = unsafe { Bound::from_borrowed_ptr(py, value) };
    let whole = memory::tuple(py, [value])?.into_ptr();
    // SAFETY: of this layout; no Python code has run since it was looked at.
    unsafe { (*stop).arguments = whole };
    // SAFETY: the reference that the exception held.
    unsafe { ffi::Py_DECREF(arguments) };
    Ok(())
}

/// Completes the exception and passes on to `StopIteration`'s own slot.
///
/// # Safety
/// `object` is of this layout and alive.
unsafe fn shown(object: Object, pick: fn(&ffi::PyTypeObject) -> Option<ffi::reprfunc>) -> Object {
    trampoline(|py| {
        // SAFETY: the caller guarantees it.
        unsafe { complete(py, object) }?;
        // SAFETY: a type that lives as long as the interpreter.
        let base = unsafe { &*py.get_type::<PyStopIteration>().as_type_ptr() };
        let Some(show) = pick(base) else { return Ok(py.None()) };
        // SAFETY: an exception of that class.
        let text = unsafe { show(object) };
        // SAFETY: a new reference or null with an exception set.
        Ok(unsafe { Bound::from_owned_ptr_or_err(py, text) }?.unbind())
    })
}

unsafe extern "C" fn repr(object: Object) -> Object {
    // SAFETY: the interpreter passes a live object of our type.
    unsafe { shown(object, |base| base.tp_repr) }
}

unsafe extern "C" fn text(object: Object) -> Object {
    // SAFETY: the interpreter passes a live object of our type.
    unsafe { shown(object, |base| base.tp_str) }
}

unsafe extern "C" fn arguments(object: Object, _: *mut c_void) -> Object {
    trampoline(|py| {
        // SAFETY: of this layout, alive during the call.
        unsafe { complete(py, object) }?;
        // SAFETY: as above.
        let arguments = unsafe { (*object.cast::<Stop>()).arguments };
        // SAFETY: the exception owns it.
        Ok(unsafe { Bound::from_borrowed_ptr_or_opt(py, arguments) }.map_or_else(|| py.None(), Bound::unbind))
    })
}

fn new_type(py: Python<'_>) -> PyResult<Py<PyType>> {
    let attributes = Box::leak(Box::new([attribute(c"args", arguments, None), ffi::PyGetSetDef::default()]));
    let slots = vec![
        slot(ffi::Py_tp_dealloc, dealloc as *mut c_void),
        slot(ffi::Py_tp_repr, repr as *mut c_void),
        slot(ffi::Py_tp_str, text as *mut c_void),
        slot(ffi::Py_tp_getset, attributes.as_mut_ptr().cast()),
    ];
    let base = py.get_type::<PyStopIteration>();
    heap_type::new(py, c"builtins.StopIteration", size_of::<Stop>(), slots, 0, Some(&base))
}
