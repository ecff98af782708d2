//! Returning a value from a `tp_iternext`, which is how an await ends since 3.12: `StopIteration`, recycled.
//!
//! The interpreter asks what was raised whether it is a `StopIteration`, takes the value out and drops the exception.
//! A subclass of ours keeps the memory of the dropped ones, with the tuple of arguments in it; making one anew costs
//! a fifth of an await (benchmark `future_await`). A spare is untracked, and nothing in it but its empty tuple.

use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};

use pyo3::exceptions::PyStopIteration;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use crate::boundary::unbooked;
use crate::future::slot;
use crate::gil_cell::GilCell;
use crate::held::Held;
use crate::version;

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

/// Memory of a dropped exception: whole but for its value and the value in its arguments, both null.
struct Spare(NonNull<Stop>);

// SAFETY: an object that nobody refers to; it is touched only with the GIL held.
unsafe impl Send for Spare {}

static SPARES: GilCell<Vec<Spare>> = GilCell::new(Vec::new());

/// Sets `StopIteration` with `value`; no exception at all means None.
#[inline]
pub(crate) fn return_value(value: Bound<'_, PyAny>) {
    if value.is_none() {
        return;
    }
    let py = value.py();
    match SPARES.with(py, Vec::pop) {
        Some(Spare(stop)) => raise_spare(stop, value),
        None => raise_new(&value),
    }
}

/// Fills a spare and raises it.
#[inline]
fn raise_spare(stop: NonNull<Stop>, value: Bound<'_, PyAny>) {
    let object: Object = stop.as_ptr().cast();
    // SAFETY: the memory of an object, which begins with its head.
    let class = unsafe { ffi::Py_TYPE(object) };
    // SAFETY: a whole object in all but its count; it takes a reference to its type.
    unsafe { ffi::PyObject_Init(object, class) };
    // SAFETY: a live object of this layout.
    let arguments = unsafe { (*stop.as_ptr()).arguments };
    // SAFETY: a tuple of one place, which is empty and nobody else's; it takes the reference.
    unsafe { ffi::PyTuple_SET_ITEM(arguments, 0, value.clone().into_ptr()) };
    // SAFETY: in bounds of the object.
    let place = unsafe { &raw mut (*stop.as_ptr()).value };
    // SAFETY: null before.
    unsafe { place.write(value.into_ptr()) };
    // SAFETY: whole again, and not tracked.
    unsafe { ffi::PyObject_GC_Track(object.cast()) };
    // SAFETY: the type of a live object; the error state takes the reference.
    unsafe { ffi::Py_INCREF(class.cast()) };
    // SAFETY: an exception and its type, with a reference to each.
    unsafe { version::PyErr_Restore(class.cast(), object, null_mut()) };
}

#[cold]
fn raise_new(value: &Bound<'_, PyAny>) {
    match class(value.py()).and_then(|class| class.call1((value,))) {
        Ok(stop) => PyErr::from_value(stop).restore(value.py()),
        Err(error) => error.restore(value.py()),
    }
}

fn class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    Ok(TYPE.get_or_try_init(py, || new_type(py))?.bind(py))
}

unsafe extern "C" fn dealloc(object: Object) {
    unbooked(|py| {
        // SAFETY: a whole object, tracked since it was made.
        unsafe { ffi::PyObject_GC_UnTrack(object.cast()) };
        // SAFETY: an instance of a heap type owns a reference to its type.
        let class = unsafe { ffi::Py_TYPE(object) };
        let stop = object.cast::<Stop>();
        // SAFETY: nobody can reach the object any more.
        if unsafe { is_plain(stop) } {
            // SAFETY: as above, and plain.
            drop(unsafe { take_values(py, stop) });
            // SAFETY: not null.
            let spare = Spare(unsafe { NonNull::new_unchecked(stop) });
            SPARES.with(py, |spares| spares.push(spare));
        } else {
            // SAFETY: the class that ours inherits its layout from, and its slots are static.
            if let Some(clear) = unsafe { (*py.get_type::<PyStopIteration>().as_type_ptr()).tp_clear } {
                // SAFETY: an exception of that class, whose fields it releases.
                unsafe { clear(object) };
            }
            // SAFETY: of the collector's allocator, untracked.
            unsafe { ffi::PyObject_GC_Del(object.cast()) };
        }
        // SAFETY: the reference that the instance held.
        unsafe { ffi::Py_DECREF(class.cast()) };
    });
}

/// Whether nothing but a value was ever put into the exception, and nobody took its arguments.
///
/// # Safety
/// A whole exception that nobody refers to.
unsafe fn is_plain(stop: *const Stop) -> bool {
    // SAFETY: by the caller's promise; no Python code runs meanwhile.
    let stop = unsafe { &*stop };
    let additions = [stop.attributes, stop.notes, stop.traceback, stop.context, stop.cause];
    if additions.iter().any(|addition| !addition.is_null()) || stop.suppress_context != 0 || stop.arguments.is_null() {
        return false;
    }
    // SAFETY: a live tuple, as in every exception.
    let owners = unsafe { ffi::Py_REFCNT(stop.arguments) };
    // SAFETY: as above.
    owners == 1 && unsafe { ffi::Py_SIZE(stop.arguments) } == 1
}

/// Takes the value out of a plain exception, and out of its arguments.
///
/// # Safety
/// A plain exception that nobody refers to, with a tuple of arguments of its own.
unsafe fn take_values(py: Python<'_>, stop: *mut Stop) -> (Option<Held>, Option<Held>) {
    // SAFETY: by the caller's promise; no Python code runs meanwhile.
    let stop = unsafe { &mut *stop };
    // SAFETY: a live object. The collector forgets tuples of what it does not care for.
    if unsafe { ffi::PyObject_GC_IsTracked(stop.arguments) } == 0 {
        // SAFETY: a whole object, not tracked.
        unsafe { ffi::PyObject_GC_Track(stop.arguments.cast()) };
    }
    // SAFETY: a tuple of one place.
    let argument = unsafe { ffi::PyTuple_GET_ITEM(stop.arguments, 0) };
    // SAFETY: nobody else sees the tuple, and its reference to the argument is given to the caller.
    unsafe { ffi::PyTuple_SET_ITEM(stop.arguments, 0, null_mut()) };
    let value = std::mem::replace(&mut stop.value, null_mut());
    // SAFETY: null or a reference that was just taken out.
    let held = |object| unsafe { Held::from_owned_or_null(py, object) };
    (held(argument), held(value))
}

fn new_type(py: Python<'_>) -> PyResult<Py<PyType>> {
    let mut slots = [slot(ffi::Py_tp_dealloc, dealloc as *mut c_void), slot(0, null_mut())];
    let mut spec = ffi::PyType_Spec {
        name: c"builtins.StopIteration".as_ptr(),
        basicsize: i32::try_from(size_of::<Stop>()).unwrap_or(0),
        itemsize: 0,
        flags: u32::try_from(ffi::Py_TPFLAGS_DEFAULT).unwrap_or(0),
        slots: slots.as_mut_ptr(),
    };
    let base = py.get_type::<PyStopIteration>();
    // SAFETY: a complete spec that ends with a null slot, and a type.
    let class = unsafe { ffi::PyType_FromSpecWithBases(&raw mut spec, base.as_ptr()) };
    // SAFETY: a new reference or null with an exception set.
    let class = unsafe { Bound::from_owned_ptr_or_err(py, class) }?;
    Ok(class.cast_into::<PyType>()?.unbind())
}
