//! The Python interface of coroutines.
//!
//! `cr_await` and `cr_frame` let code that walks a stack of coroutines pass through; see `frame.rs`.

use std::ffi::c_void;

use pyo3::exceptions::{PyRuntimeError, PyStopIteration, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::erased_body::EagerOutcome;
use super::lifetime::{clear, dealloc, finalize, traverse};
use super::object::{self, CoroutineObject, Stage, attached_if_needed, drive, stage_of};
use crate::capi::asyncio_code;
use crate::capi::heap_type::{self, COLLECTED, attribute, method, offsets, slot};
use crate::capi::memory;
use crate::capi::resume::Step;
use crate::capi::stop_iteration::return_value;
use crate::capi::trampoline::{assume_attached, trampoline};
use crate::objects::future::{boolean, thrown};

type Object = *mut ffi::PyObject;

unsafe extern "C" fn iternext(object: Object) -> Object {
    // SAFETY: the interpreter passes a live object of our type and holds a reference.
    match unsafe { object::try_complete(object) } {
        EagerOutcome::Returned(value) => {
            // SAFETY: a new reference.
            assume_attached(|py| return_value(unsafe { Bound::from_owned_ptr(py, value.as_ptr()) }));
            return std::ptr::null_mut();
        }
        EagerOutcome::Raised => return std::ptr::null_mut(),
        EagerOutcome::Pending => {}
    }
    let resume = |py: Python<'_>| {
        // SAFETY: the interpreter passes a live object of our type.
        match unsafe { drive(py, object, Ok(py.None().into_bound(py))) } {
            Ok(Step::Yielded(value)) => value.into_ptr(),
            Ok(Step::Returned(value)) => {
                return_value(value);
                std::ptr::null_mut()
            }
            Err(error) => {
                error.restore(py);
                std::ptr::null_mut()
            }
        }
    };
    // SAFETY: the interpreter passes a live object of our type.
    unsafe { attached_if_needed(object, resume) }
}

unsafe extern "C" fn am_send(object: Object, value: Object, result: *mut Object) -> ffi::PySendResult {
    let resume = |py: Python<'_>| {
        // SAFETY: an argument, alive during the call.
        let value = unsafe { Bound::from_borrowed_ptr(py, value) };
        // SAFETY: the interpreter passes a live object of our type.
        let (value, outcome) = match unsafe { drive(py, object, Ok(value)) } {
            Ok(Step::Yielded(value)) => (value.into_ptr(), ffi::PySendResult::PYGEN_NEXT),
            Ok(Step::Returned(value)) => (value.into_ptr(), ffi::PySendResult::PYGEN_RETURN),
            Err(error) => {
                error.restore(py);
                (std::ptr::null_mut(), ffi::PySendResult::PYGEN_ERROR)
            }
        };
        // SAFETY: the caller's place for the result.
        unsafe { *result = value };
        outcome
    };
    // SAFETY: the interpreter passes a live object of our type.
    unsafe { attached_if_needed(object, resume) }
}

unsafe extern "C" fn send(object: Object, value: Object) -> Object {
    trampoline(|py| {
        // SAFETY: an argument, alive during the call.
        let value = unsafe { Bound::from_borrowed_ptr(py, value) };
        // SAFETY: the interpreter checked the type.
        if unsafe { stage_of(object) } == Stage::Created && !value.is_none() {
            return Err(crate::capi::raise::error::<PyTypeError>(
                "can't send non-None value to a just-started coroutine",
            ));
        }
        // SAFETY: the interpreter checked the type and holds a reference.
        yielded(unsafe { drive(py, object, Ok(value)) }?)
    })
}

unsafe extern "C" fn throw(object: Object, stack: *mut Object, count: isize) -> Object {
    trampoline(|py| {
        // SAFETY: this very call's arguments.
        let error = unsafe { thrown(py, stack, count) }?;
        // SAFETY: the interpreter checked the type and holds a reference.
        yielded(unsafe { drive(py, object, Err(error)) }?)
    })
}

/// What a method returns: a result travels in `StopIteration`.
fn yielded(step: Step<'_>) -> PyResult<Py<PyAny>> {
    match step {
        Step::Yielded(value) => Ok(value.unbind()),
        Step::Returned(value) if value.is_none() => Err(crate::capi::raise::error::<PyStopIteration>(())),
        Step::Returned(value) => Err(PyErr::from_value(value.py().get_type::<PyStopIteration>().call1((value,))?)),
    }
}

unsafe extern "C" fn close(object: Object, _: Object) -> Object {
    trampoline(|py| {
        // SAFETY: the interpreter checked the type and holds a reference.
        unsafe { object::close(py, object) }?;
        Ok(py.None())
    })
}

unsafe extern "C" fn awaited(object: Object) -> Object {
    // SAFETY: the interpreter passes a live object of our type.
    if unsafe { stage_of(object) } == Stage::Suspended {
        return trampoline(|_| Err(crate::capi::raise::error::<PyRuntimeError>("coroutine is being awaited already")));
    }
    // SAFETY: alive during the call.
    unsafe { ffi::Py_NewRef(object) }
}

unsafe extern "C" fn awaited_method(object: Object, _: Object) -> Object {
    // SAFETY: passed on.
    unsafe { awaited(object) }
}

unsafe extern "C" fn repr(object: Object) -> Object {
    trampoline(|py| {
        // SAFETY: of our layout, alive during the call.
        let name = unsafe { (*object.cast::<CoroutineObject>()).name };
        let text = format!("<coroutine object {} at {:#x}>", asyncio_code::qualified_name(py, name), object.addr());
        Ok(memory::text(py, &text)?.into_any().unbind())
    })
}

unsafe extern "C" fn qualified_name(object: Object, _: *mut c_void) -> Object {
    trampoline(|py| {
        // SAFETY: of our layout, alive during the call.
        let name = unsafe { (*object.cast::<CoroutineObject>()).name };
        Ok(memory::text(py, &asyncio_code::qualified_name(py, name))?.into_any().unbind())
    })
}

unsafe extern "C" fn plain_name(object: Object, _: *mut c_void) -> Object {
    trampoline(|py| {
        // SAFETY: of our layout, alive during the call.
        let name = unsafe { (*object.cast::<CoroutineObject>()).name };
        Ok(memory::text(py, name.rsplit('.').next().unwrap_or(name))?.into_any().unbind())
    })
}

unsafe extern "C" fn is_running(object: Object, _: *mut c_void) -> Object {
    // SAFETY: of our type, alive during the call.
    trampoline(|py| boolean(py, unsafe { stage_of(object) } == Stage::Running))
}

unsafe extern "C" fn is_suspended(object: Object, _: *mut c_void) -> Object {
    // SAFETY: of our type, alive during the call.
    trampoline(|py| boolean(py, unsafe { stage_of(object) } == Stage::Suspended))
}

unsafe extern "C" fn awaits(object: Object, _: *mut c_void) -> Object {
    trampoline(|py| {
        // SAFETY: of our type, alive during the call.
        let awaited = unsafe { object::awaited(py, object) };
        Ok(awaited.map_or_else(|| py.None(), Bound::unbind))
    })
}

unsafe extern "C" fn frame(object: Object, _: *mut c_void) -> Object {
    trampoline(|py| {
        // SAFETY: of our type, alive during the call.
        if unsafe { stage_of(object) } == Stage::Finished {
            return Ok(py.None());
        }
        // SAFETY: of our layout, alive during the call.
        let name = unsafe { (*object.cast::<CoroutineObject>()).name };
        // SAFETY: alive during the call.
        let coroutine = unsafe { Bound::from_borrowed_ptr(py, object) };
        // SAFETY: of our type, alive during the call.
        let has_begun = unsafe { stage_of(object) } != Stage::Created;
        Ok(super::frame::stand_in(&coroutine, name, has_begun)?.unbind())
    })
}

unsafe extern "C" fn code(object: Object, _: *mut c_void) -> Object {
    // SAFETY: of our layout, alive during the call.
    trampoline(|py| Ok(super::frame::code(py, unsafe { (*object.cast::<CoroutineObject>()).name })?.unbind()))
}

unsafe extern "C" fn origin(object: Object, _: *mut c_void) -> Object {
    trampoline(|py| Ok(super::origin::of(py, object).map_or_else(|| py.None(), Bound::unbind)))
}

pub(super) fn new_type(py: Python<'_>) -> PyResult<Py<PyType>> {
    let methods = Box::leak(Box::new([
        method(c"send", send, ffi::METH_O, c"Resume with a value; StopIteration carries the result."),
        ffi::PyMethodDef {
            ml_name: c"throw".as_ptr(),
            ml_meth: ffi::PyMethodDefPointer { PyCFunctionFast: throw },
            ml_flags: ffi::METH_FASTCALL,
            ml_doc: c"Resume by raising an exception where the coroutine waits.".as_ptr(),
        },
        method(c"close", close, ffi::METH_NOARGS, c"End the coroutine."),
        method(c"__await__", awaited_method, ffi::METH_NOARGS, c"The coroutine itself."),
        ffi::PyMethodDef::zeroed(),
    ]));
    let read = |name, get| attribute(name, get, None);
    let attributes = Box::leak(Box::new([
        read(c"__name__", plain_name),
        read(c"__qualname__", qualified_name),
        read(c"cr_running", is_running),
        read(c"cr_suspended", is_suspended),
        read(c"cr_await", awaits),
        read(c"cr_frame", frame),
        read(c"cr_code", code),
        read(c"cr_origin", origin),
        ffi::PyGetSetDef::default(),
    ]));
    let members = offsets(&[(c"__weaklistoffset__", object::WEAK_REFERENCES)]);
    let slots = vec![
        slot(ffi::Py_tp_dealloc, dealloc as *mut c_void),
        slot(ffi::Py_tp_finalize, finalize as *mut c_void),
        slot(ffi::Py_tp_traverse, traverse as *mut c_void),
        slot(ffi::Py_tp_clear, clear as *mut c_void),
        slot(ffi::Py_tp_repr, repr as *mut c_void),
        slot(ffi::Py_tp_iter, ffi::PyObject_SelfIter as *mut c_void),
        slot(ffi::Py_tp_iternext, iternext as *mut c_void),
        slot(ffi::Py_am_await, awaited as *mut c_void),
        slot(ffi::Py_am_send, am_send as *mut c_void),
        slot(ffi::Py_tp_methods, methods.as_mut_ptr().cast()),
        slot(ffi::Py_tp_getset, attributes.as_mut_ptr().cast()),
        slot(ffi::Py_tp_members, members),
    ];
    heap_type::new(py, c"ferrio.coroutine", size_of::<CoroutineObject>(), slots, COLLECTED, None)
}
