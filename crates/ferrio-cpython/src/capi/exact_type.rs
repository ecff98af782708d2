//! Checks whether a program could have replaced an object's methods.

use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

/// A class whose unpatched instances are recognised, by its address.
pub struct ExactType(AtomicPtr<ffi::PyTypeObject>);

impl ExactType {
    /// No class yet.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "for statics")]
    pub const fn new() -> Self {
        Self(AtomicPtr::new(std::ptr::null_mut()))
    }

    /// Sets the class to `class`, which lives as long as the process.
    pub fn set(&self, class: &Bound<'_, PyType>) {
        // Relaxed: written with the GIL held, as it is read.
        self.0.store(class.as_type_ptr(), Ordering::Relaxed);
    }

    /// Whether `object` is exactly of this class, which has a dictionary at a fixed offset, and no attribute was set on
    /// it: then its methods are those of the class.
    #[inline]
    #[must_use]
    pub fn is_unpatched(&self, object: &Bound<'_, PyAny>) -> bool {
        self.is_exact(object) && has_no_attributes(object)
    }

    /// Whether `object` is exactly of this class.
    #[inline]
    #[must_use]
    pub fn is_exact(&self, object: &Bound<'_, PyAny>) -> bool {
        std::ptr::eq(object.get_type_ptr(), self.0.load(Ordering::Relaxed))
    }
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
