//! Raising as Python's `raise` does: what is being handled becomes the exception's context.

use pyo3::prelude::*;
use pyo3::types::PyAnyMethods;

/// `raise exception`.
pub(crate) fn raise(exception: Bound<'_, PyAny>) -> PyErr {
    let py = exception.py();
    let error = PyErr::from_type(exception.get_type(), exception.unbind());
    // The interpreter sets the context when it makes the error out of class and exception, here and now.
    error.value(py);
    error
}

/// `raise exception from None`.
pub(crate) fn raise_from_none(exception: Bound<'_, PyAny>) -> PyErr {
    let py = exception.py();
    let error = raise(exception);
    error.set_cause(py, None);
    error
}
