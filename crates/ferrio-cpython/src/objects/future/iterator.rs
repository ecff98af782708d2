//! The iterator that `await future` drives: yields the future once, then returns its result.
//!
//! Invariant: `future` is None once the iterator has ended, from 3.14 on if it was closed or thrown into: there an
//! iterator that is asked again gives the result again. Memory is recycled through `FREELIST`, because every await
//! needs one. Since 3.12 the interpreter's SEND accepts only `StopIteration` from foreign types, and takes a null
//! without an exception for a returned None; 3.11 calls `am_send`.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;

use pyo3::exceptions::{PyDeprecationWarning, PyRuntimeError, PyStopIteration, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyTraceback, PyType};

use super::{FutureRef, Outcome};
use crate::capi::freelist::FreeList;
use crate::capi::heap_type::{self, COLLECTED, method, slot};
use crate::capi::owned_ref::OwnedRef;
use crate::capi::raise::raised;
use crate::capi::stop_iteration::return_value;
use crate::capi::trampoline::{assume_attached, trampoline};

type Object = *mut ffi::PyObject;

#[repr(C)]
struct IteratorObject {
    head: ffi::PyObject,
    future: Option<OwnedRef>,
}

static FREELIST: FreeList<IteratorObject> = FreeList::new(256);
static TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();

pub(crate) fn create_type(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    Ok(TYPE.get_or_try_init(py, || new_type(py))?.bind(py))
}

/// A new iterator over `future`.
#[inline]
pub(super) fn iterate(future: &FutureRef<'_>) -> PyResult<Py<PyAny>> {
    let py = future.py();
    future.check_initialized()?;
    let class = create_type(py)?.as_type_ptr();
    // SAFETY: our type, whose basic size is that of IteratorObject.
    let memory = unsafe { FREELIST.take(py, class) }?;
    let owned = Some(OwnedRef::from(future.object().clone()));
    // SAFETY: no other pointer to the memory exists, and the field holds nothing yet.
    let place = unsafe { &raw mut (*memory.as_ptr()).future };
    // SAFETY: in bounds, and it overwrites nothing that needs releasing.
    unsafe { place.write(owned) };
    // SAFETY: a whole object, not tracked so far.
    unsafe { ffi::PyObject_GC_Track(memory.as_ptr().cast()) };
    // SAFETY: a new reference.
    Ok(unsafe { Bound::from_owned_ptr(py, memory.as_ptr().cast()) }.unbind())
}

/// The result of resuming the iterator.
enum Resumed<'py> {
    Yielded(Bound<'py, PyAny>),
    Returned(Bound<'py, PyAny>),
    /// It had ended before.
    Exhausted,
}

/// # Safety
/// `object` is a live iterator.
unsafe fn slot_of<'a>(object: Object) -> &'a mut Option<OwnedRef> {
    // SAFETY: of our type, the caller guarantees it; borrows end before any Python code runs.
    unsafe { &mut (*object.cast::<IteratorObject>()).future }
}

#[inline]
fn resume(py: Python<'_>, object: Object) -> PyResult<Resumed<'_>> {
    // SAFETY: slots and methods get objects of the type.
    let Some(future) = unsafe { slot_of(object) }.as_ref().map(|future| future.get(py)) else {
        return Ok(Resumed::Exhausted);
    };
    // SAFETY: only futures are put into the field.
    let future = unsafe { FutureRef::new_unchecked(future) };
    if future.is_pending() {
        if future.update(|body| std::mem::replace(&mut body.blocking, true)) {
            return Err(crate::capi::raise::error::<PyRuntimeError>("await wasn't used with future"));
        }
        return Ok(Resumed::Yielded(future.object().clone()));
    }
    if cfg!(not(Py_3_14)) {
        // SAFETY: as above.
        let ended = unsafe { slot_of(object) }.take();
        drop(ended);
    }
    match future.outcome()? {
        Outcome::Result(result) => Ok(Resumed::Returned(result)),
        Outcome::Exception(exception) => Err(raised(&exception)),
    }
}

unsafe extern "C" fn iternext(object: Object) -> Object {
    assume_attached(|py| match resume(py, object) {
        Ok(Resumed::Yielded(future)) => future.into_ptr(),
        Ok(Resumed::Returned(result)) => {
            return_value(result);
            std::ptr::null_mut()
        }
        Ok(Resumed::Exhausted) => std::ptr::null_mut(),
        Err(error) => {
            error.restore(py);
            std::ptr::null_mut()
        }
    })
}

unsafe extern "C" fn am_send(object: Object, _: Object, result: *mut Object) -> ffi::PySendResult {
    assume_attached(|py| {
        let (value, outcome) = match resume(py, object) {
            Ok(Resumed::Yielded(future)) => (future.into_ptr(), ffi::PySendResult::PYGEN_NEXT),
            Ok(Resumed::Returned(value)) => (value.into_ptr(), ffi::PySendResult::PYGEN_RETURN),
            Ok(Resumed::Exhausted) => (py.None().into_ptr(), ffi::PySendResult::PYGEN_RETURN),
            Err(error) => {
                error.restore(py);
                (std::ptr::null_mut(), ffi::PySendResult::PYGEN_ERROR)
            }
        };
        // SAFETY: the caller's place for the result.
        unsafe { *result = value };
        outcome
    })
}

unsafe extern "C" fn send(object: Object, _: Object) -> Object {
    trampoline(|py| match resume(py, object)? {
        Resumed::Yielded(future) => Ok(future.unbind()),
        Resumed::Returned(value) if value.is_none() => Err(crate::capi::raise::error::<PyStopIteration>(())),
        Resumed::Returned(value) => Err(PyErr::from_value(py.get_type::<PyStopIteration>().call1((value,))?)),
        Resumed::Exhausted => Err(crate::capi::raise::error::<PyStopIteration>(())),
    })
}

unsafe extern "C" fn throw(object: Object, stack: *mut Object, count: isize) -> Object {
    trampoline(|py| {
        // SAFETY: this very call's arguments.
        let outcome = unsafe { thrown(py, stack, count) };
        // SAFETY: methods get objects of the type.
        let future = unsafe { slot_of(object) }.take();
        drop(future);
        Err(outcome?)
    })
}

/// The exception that `throw` with these arguments raises.
///
/// # Errors
/// `TypeError` when they are not an exception.
///
/// # Safety
/// A fast call's arguments, alive during the call.
pub(crate) unsafe fn thrown(py: Python<'_>, stack: *mut Object, count: isize) -> PyResult<PyErr> {
    let count = usize::try_from(count).unwrap_or(0);
    if count == 0 || count > 3 {
        return Err(crate::capi::raise::error::<PyTypeError>(format!("throw expected 1 to 3 arguments, got {count}")));
    }
    let argument = |index: usize| {
        if index >= count {
            return None;
        }
        // SAFETY: within the stack, by the calling convention.
        let place = unsafe { stack.add(index) };
        // SAFETY: as above.
        let pointer = unsafe { *place };
        // SAFETY: an argument, alive during the call.
        Some(unsafe { Bound::from_borrowed_ptr(py, pointer) }).filter(|given| index == 0 || !given.is_none())
    };
    if count > 1 && py.version_info() >= (3, 12) {
        let text = c"the (type, exc, tb) signature of throw() is deprecated, use the single-arg signature instead.";
        PyErr::warn(py, &py.get_type::<PyDeprecationWarning>(), text, 1)?;
    }
    assembled(py, argument(0), argument(1), argument(2))
}

fn assembled<'py>(
    py: Python<'py>,
    kind: Option<Bound<'py, PyAny>>,
    value: Option<Bound<'py, PyAny>>,
    traceback: Option<Bound<'py, PyAny>>,
) -> PyResult<PyErr> {
    let kind = kind.unwrap_or_else(|| py.None().into_bound(py));
    let traceback = match traceback.map(Bound::cast_into::<PyTraceback>) {
        None => None,
        Some(Ok(traceback)) => Some(traceback),
        Some(Err(_)) => {
            return Err(crate::capi::raise::error::<PyTypeError>("throw() third argument must be a traceback"));
        }
    };
    let base = py.get_type::<pyo3::exceptions::PyBaseException>();
    let exception = if kind.is_instance(&base)? {
        if value.is_some() {
            return Err(crate::capi::raise::error::<PyTypeError>("instance exception may not have a separate value"));
        }
        kind
    } else if kind.cast::<PyType>().is_ok_and(|class| class.is_subclass(&base).unwrap_or(false)) {
        match value {
            Some(value) if value.is_instance(&kind)? => value,
            Some(value) => match value.cast::<pyo3::types::PyTuple>() {
                Ok(arguments) => kind.call1(arguments.clone())?,
                Err(_) => kind.call1((value,))?,
            },
            None => kind.call0()?,
        }
    } else {
        return Err(crate::capi::raise::error::<PyTypeError>(
            "exceptions must be classes deriving BaseException or instances of such a class",
        ));
    };
    let error = PyErr::from_value(exception);
    if traceback.is_some() {
        error.set_traceback(py, traceback);
    }
    Ok(error)
}

unsafe extern "C" fn close(object: Object, _: Object) -> Object {
    trampoline(|py| {
        // SAFETY: methods get objects of the type.
        let future = unsafe { slot_of(object) }.take();
        drop(future);
        Ok(py.None())
    })
}

unsafe extern "C" fn dealloc(object: Object) {
    assume_attached(|py| {
        // SAFETY: a whole object of our type, tracked since it was made.
        unsafe { ffi::PyObject_GC_UnTrack(object.cast()) };
        // SAFETY: the object is unreachable.
        let future = unsafe { slot_of(object) }.take();
        drop(future);
        // SAFETY: not null.
        let memory = unsafe { NonNull::new_unchecked(object.cast()) };
        // SAFETY: exactly of our type, which has no finalizer, untracked, everything is released.
        unsafe { FREELIST.put_unfinalized(py, memory) };
    });
}

unsafe extern "C" fn traverse(object: Object, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
    // SAFETY: the collector passes a live object of our type.
    let future = unsafe { slot_of(object) }.as_ref().map(OwnedRef::as_ptr);
    // SAFETY: an instance of a heap type visits its type.
    let class: Object = unsafe { ffi::Py_TYPE(object) }.cast();
    for referent in future.into_iter().chain([class]) {
        // SAFETY: `visit` and `arg` are the collector's own.
        let outcome = unsafe { visit(referent, arg) };
        if outcome != 0 {
            return outcome;
        }
    }
    0
}

unsafe extern "C" fn clear(object: Object) -> c_int {
    // SAFETY: the collector passes a live object of our type.
    let future = unsafe { slot_of(object) }.take();
    drop(future);
    0
}

fn new_type(py: Python<'_>) -> PyResult<Py<PyType>> {
    let methods = Box::leak(Box::new([
        method(c"send", send, ffi::METH_O, c"Resume it; the value is of no use."),
        ffi::PyMethodDef {
            ml_name: c"throw".as_ptr(),
            ml_meth: ffi::PyMethodDefPointer { PyCFunctionFast: throw },
            ml_flags: ffi::METH_FASTCALL,
            ml_doc: c"End it with an exception.".as_ptr(),
        },
        method(c"close", close, ffi::METH_NOARGS, c"End it."),
        ffi::PyMethodDef::zeroed(),
    ]));
    let slots = vec![
        slot(ffi::Py_tp_dealloc, dealloc as *mut c_void),
        slot(ffi::Py_tp_traverse, traverse as *mut c_void),
        slot(ffi::Py_tp_clear, clear as *mut c_void),
        slot(ffi::Py_tp_iter, ffi::PyObject_SelfIter as *mut c_void),
        slot(ffi::Py_tp_iternext, iternext as *mut c_void),
        slot(ffi::Py_am_send, am_send as *mut c_void),
        slot(ffi::Py_tp_methods, methods.as_mut_ptr().cast()),
    ];
    heap_type::new(py, c"ferrio.FutureIter", size_of::<IteratorObject>(), slots, COLLECTED, None)
}
