//! `OwnedRef`: an owned reference that is released at once.
//!
//! Raw objects are dropped by code that the interpreter calls directly, where `PyO3`'s `Py` cannot tell that the thread
//! is attached and defers the release; a future that stays alive with its garbage is a leak. Invariant: only attached
//! code drops an `OwnedRef`, because it lives in Python objects and in queues that only attached code touches.

use std::mem::ManuallyDrop;

use pyo3::ffi;
use pyo3::prelude::*;

/// An owned reference to an object, of any type unless one is named.
#[repr(transparent)]
pub struct OwnedRef<T = PyAny>(ManuallyDrop<Py<T>>);

impl<T> OwnedRef<T> {
    /// A reference to `object`.
    #[inline]
    #[must_use]
    pub fn of(object: &Bound<'_, T>) -> Self {
        Self(ManuallyDrop::new(object.clone().unbind()))
    }

    /// A second reference.
    #[inline]
    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Self {
        Self(ManuallyDrop::new(self.0.clone_ref(py)))
    }

    /// The object.
    #[inline]
    #[must_use]
    pub fn bind<'a, 'py>(&'a self, py: Python<'py>) -> &'a Bound<'py, T> {
        self.0.bind(py)
    }

    /// A counted reference to the object.
    #[inline]
    pub(crate) fn get<'py>(&self, py: Python<'py>) -> Bound<'py, T> {
        self.0.bind(py).clone()
    }

    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut ffi::PyObject {
        self.0.as_ptr()
    }

    /// The same reference, bound.
    #[inline]
    #[must_use]
    pub fn into_bound(self, py: Python<'_>) -> Bound<'_, T> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: taken once, and `self` is not dropped.
        unsafe { ManuallyDrop::take(&mut this.0) }.into_bound(py)
    }

    /// Shows the collector the object.
    ///
    /// # Errors
    /// The visitor's error.
    pub fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&*self.0)
    }
}

impl<T> From<Bound<'_, T>> for OwnedRef {
    #[inline]
    fn from(object: Bound<'_, T>) -> Self {
        Self(ManuallyDrop::new(object.into_any().unbind()))
    }
}

impl<T> Drop for OwnedRef<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: an owned reference is released, by attached code as the invariant says.
        unsafe { ffi::Py_DECREF(self.0.as_ptr()) }
    }
}
