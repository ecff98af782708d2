//! Calls with keyword arguments without a dictionary.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::capi::memory;

/// The most arguments of a call, its object included.
const MAX_ARGUMENTS: usize = 6;

/// `object.name(*arguments, **keywords)`.
///
/// # Errors
/// Any exception that the method raises.
///
/// # Panics
/// When there are more than five arguments.
pub fn call_method<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
    arguments: &[&Bound<'py, PyAny>],
    keywords: &[(&Bound<'py, PyString>, &Bound<'py, PyAny>)],
) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let positional = arguments.len() + 1;
    assert!(positional + keywords.len() <= MAX_ARGUMENTS, "too many arguments for a call of this kind");
    let names =
        if keywords.is_empty() { None } else { Some(memory::tuple(py, keywords.iter().map(|(name, _)| name))?) };
    let mut stack = [std::ptr::null_mut(); MAX_ARGUMENTS];
    let values = keywords.iter().map(|(_, value)| value.as_ptr());
    let all = [object.as_ptr()].into_iter().chain(arguments.iter().map(|argument| argument.as_ptr())).chain(values);
    for (place, argument) in stack.iter_mut().zip(all) {
        *place = argument;
    }
    let names = names.as_ref().map_or(std::ptr::null_mut(), Bound::as_ptr);
    // SAFETY: live objects: the object, the positional arguments, the values of the names in the tuple.
    let outcome = unsafe { ffi::PyObject_VectorcallMethod(name.as_ptr(), stack.as_ptr(), positional, names) };
    // SAFETY: a new reference or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, outcome) }
}
