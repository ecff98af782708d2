//! Raising an exception that exists already, as a `raise` does it: the exception that is being handled becomes its
//! context. `PyErr::from_value` leaves the context alone, which is right only for what has been raised before and is
//! passed on.

use pyo3::ffi;
use pyo3::prelude::*;

/// `exception`, raised here and now.
#[cold]
#[must_use]
pub fn raised(exception: &Bound<'_, PyAny>) -> PyErr {
    let py = exception.py();
    // SAFETY: a live object; the type is alive as long as it.
    unsafe { ffi::PyErr_SetObject(exception.get_type_ptr().cast(), exception.as_ptr()) };
    PyErr::fetch(py)
}
