//! Bound methods of Python functions.

use pyo3::ffi;
use pyo3::prelude::*;

unsafe extern "C" {
    static mut PyMethod_Type: ffi::PyTypeObject;

    fn PyMethod_Function(method: *mut ffi::PyObject) -> *mut ffi::PyObject;
}

/// The function of a bound method.
pub(crate) fn function_of<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    if !std::ptr::eq(object.get_type_ptr(), &raw const PyMethod_Type) {
        return None;
    }
    // SAFETY: a live object, exactly a method.
    let function = unsafe { PyMethod_Function(object.as_ptr()) };
    // SAFETY: borrowed from the method, which is alive.
    Some(unsafe { Bound::from_borrowed_ptr(object.py(), function) })
}

/// Whether `object` is a bound method whose function is `function`.
#[inline]
#[must_use]
pub fn is_of(object: &Bound<'_, PyAny>, function: &Bound<'_, PyAny>) -> bool {
    if !std::ptr::eq(object.get_type_ptr(), &raw const PyMethod_Type) {
        return false;
    }
    // SAFETY: a live object, exactly a method; the function is borrowed from it, and only compared.
    let own = unsafe { PyMethod_Function(object.as_ptr()) };
    std::ptr::eq(own, function.as_ptr())
}
