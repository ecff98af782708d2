//! Comparison and hashing of handles, as in asyncio: plain handles by identity, timer handles by their time.

use std::ffi::{c_int, c_void};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::CompareOp;

use super::types::as_handle;
use super::{Arity, HandleRef, Kind, argument_tuple};
use crate::capi::trampoline::{trampoline, trampoline_hash};

/// A plain handle inherits object's own comparison and hash.
pub(super) const IDENTITY: &[ffi::PyType_Slot] = &[];

/// A timer handle compares as asyncio's `TimerHandle`.
pub(super) const BY_TIME: &[ffi::PyType_Slot] = &[
    ffi::PyType_Slot { slot: ffi::Py_tp_richcompare, pfunc: compare as *mut c_void },
    ffi::PyType_Slot { slot: ffi::Py_tp_hash, pfunc: hash as *mut c_void },
];

unsafe extern "C" fn compare(left: *mut ffi::PyObject, right: *mut ffi::PyObject, op: c_int) -> *mut ffi::PyObject {
    trampoline(|py| {
        // SAFETY: both arguments are live objects lent by the caller.
        let left = unsafe { Bound::from_borrowed_ptr(py, left) };
        // SAFETY: as above.
        let right = unsafe { Bound::from_borrowed_ptr(py, right) };
        let not_implemented = py.NotImplemented();
        let (Some(left), Some(right), Some(op)) = (as_handle(&left), as_handle(&right), CompareOp::from_raw(op)) else {
            return Ok(not_implemented);
        };
        if right.body().kind != Kind::Timer {
            return Ok(not_implemented);
        }
        let (a, b) = (left.body().when, right.body().when);
        let answer = match op {
            CompareOp::Lt => a < b,
            CompareOp::Gt => a > b,
            CompareOp::Le => a < b || equal(py, &left, &right)?,
            CompareOp::Ge => a > b || equal(py, &left, &right)?,
            CompareOp::Eq => equal(py, &left, &right)?,
            CompareOp::Ne => !equal(py, &left, &right)?,
        };
        Ok(answer.into_pyobject(py)?.to_owned().into_any().unbind())
    })
}

/// asyncio's `TimerHandle.__eq__`: the same time, callback, arguments and state.
#[allow(clippy::float_cmp, reason = "asyncio compares the floats themselves")]
fn equal(py: Python<'_>, left: &HandleRef, right: &HandleRef) -> PyResult<bool> {
    if left.body().when != right.body().when || left.body().cancelled != right.body().cancelled {
        return Ok(false);
    }
    let callback = |handle: &HandleRef| handle.body().callback.as_ref().map(|callback| callback.bind(py).clone());
    match (callback(left), callback(right)) {
        (Some(a), Some(b)) if !a.eq(&b)? => return Ok(false),
        (Some(_), None) | (None, Some(_)) => return Ok(false),
        (Some(_), Some(_)) | (None, None) => {}
    }
    let arguments = |handle: &HandleRef| {
        let body = handle.body();
        let (owned, arity): (Option<Bound<'_, PyAny>>, Arity) =
            (body.arguments.as_ref().map(|owned| owned.bind(py).clone()), body.arity);
        argument_tuple(py, owned.as_ref(), arity)
    };
    arguments(left)?.eq(arguments(right)?)
}

unsafe extern "C" fn hash(object: *mut ffi::PyObject) -> ffi::Py_hash_t {
    trampoline_hash(|py| {
        // SAFETY: a live object lent by the caller.
        let object = unsafe { Bound::from_borrowed_ptr(py, object) };
        match as_handle(&object) {
            Some(handle) => handle.when(py).hash(),
            None => Ok(0),
        }
    })
}
