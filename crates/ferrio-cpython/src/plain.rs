//! Whether a program could have put something of its own in the place of an object's methods.

use pyo3::ffi;
use pyo3::prelude::*;

/// Whether `object` is exactly of `class`, a class with a dictionary at a fixed place, and nothing was set on it: then
/// its methods are those of the class.
#[inline]
#[must_use]
pub fn is_plain<T: pyo3::PyTypeInfo>(object: &Bound<'_, PyAny>) -> bool {
    let class = T::type_object_raw(object.py());
    std::ptr::eq(object.get_type_ptr(), class) && has_no_attributes(object)
}

#[inline]
fn has_no_attributes(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the type of a live object.
    let offset = unsafe { (*object.get_type_ptr()).tp_dictoffset };
    let Ok(offset @ 1..) = usize::try_from(offset) else {
        return false;
    };
    // SAFETY: a positive offset is where the object keeps its dictionary.
    let place = unsafe { object.as_ptr().byte_add(offset) }.cast::<*mut ffi::PyObject>();
    // SAFETY: null or a dictionary.
    let dictionary = unsafe { *place };
    // SAFETY: a dictionary that the object keeps alive.
    dictionary.is_null() || unsafe { ffi::PyDict_Size(dictionary) } == 0
}
