//! Resumes iterators and coroutines the way `await` does.

use pyo3::exceptions::{PyStopIteration, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyNone;

/// The result of resuming.
pub enum Step<'py> {
    /// It waits for what it yielded.
    Yielded(Bound<'py, PyAny>),
    /// It returned.
    Returned(Bound<'py, PyAny>),
}

/// Sends `value` into a coroutine or the iterator of an awaitable.
///
/// # Errors
/// Any exception that it raises, except `StopIteration`.
#[inline]
pub fn send<'py>(target: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> PyResult<Step<'py>> {
    let py = target.py();
    let mut result = std::ptr::null_mut();
    // SAFETY: live objects and a place for the result.
    let outcome = unsafe { ffi::PyIter_Send(target.as_ptr(), value.as_ptr(), &raw mut result) };
    match outcome {
        // SAFETY: a new reference.
        ffi::PySendResult::PYGEN_NEXT => Ok(Step::Yielded(unsafe { Bound::from_owned_ptr(py, result) })),
        // SAFETY: a new reference.
        ffi::PySendResult::PYGEN_RETURN => Ok(Step::Returned(unsafe { Bound::from_owned_ptr(py, result) })),
        ffi::PySendResult::PYGEN_ERROR => Err(PyErr::fetch(py)),
    }
}

/// `send` of None.
///
/// # Errors
/// Any exception that it raises, except `StopIteration`.
#[inline]
pub fn send_none<'py>(target: &Bound<'py, PyAny>) -> PyResult<Step<'py>> {
    send(target, PyNone::get(target.py()).as_any())
}

/// Throws `error` into it.
///
/// # Errors
/// Any exception that it raises, except `StopIteration`; `error` itself if it has no `throw`.
pub fn throw<'py>(target: &Bound<'py, PyAny>, error: PyErr) -> PyResult<Step<'py>> {
    let py = target.py();
    let name = crate::intern!(py, "throw");
    // SAFETY: reads the type of a live object.
    let thrown = if unsafe { ffi::PyCoro_CheckExact(target.as_ptr()) } != 0 {
        target.call_method1(name, (error.value(py),))
    } else {
        match target.getattr_opt(name)? {
            Some(method) => method.call1((error.value(py),)),
            None => return Err(error),
        }
    };
    match thrown {
        Ok(yielded) => Ok(Step::Yielded(yielded)),
        Err(stop) if stop.is_instance_of::<PyStopIteration>(py) => {
            Ok(Step::Returned(stop.value(py).getattr(crate::intern!(py, "value"))?))
        }
        Err(raised) => Err(raised),
    }
}

/// The iterator that `await object` would drive.
///
/// # Errors
/// `TypeError` when `object` cannot be awaited.
pub fn awaitable_iterator<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: a live object; its type's slots are static for the call.
    let class = unsafe { ffi::Py_TYPE(object.as_ptr()) };
    // SAFETY: the type of a live object lives.
    let class = unsafe { &*class };
    // SAFETY: null or a table that lives as long as the type.
    let slots = unsafe { class.tp_as_async.as_ref() };
    let Some(am_await) = slots.and_then(|slots| slots.am_await) else {
        return if is_generator_coroutine(object)? { Ok(object.clone()) } else { Err(not_awaitable(object)?) };
    };
    // SAFETY: the slot of the object's own type.
    let iterator = unsafe { am_await(object.as_ptr()) };
    // SAFETY: a new reference or null with an exception set.
    let iterator = unsafe { Bound::from_owned_ptr_or_err(object.py(), iterator) }?;
    if is_python_coroutine(&iterator) || is_generator_coroutine(&iterator)? {
        let text = if cfg!(Py_3_15) {
            format!("{}.__await__() must return an iterator, not coroutine", object.get_type().fully_qualified_name()?)
        } else {
            "__await__() returned a coroutine".to_owned()
        };
        return Err(crate::capi::raise::error::<PyTypeError>(text));
    }
    // SAFETY: a live object.
    if unsafe { ffi::PyIter_Check(iterator.as_ptr()) } == 0 {
        let text = if cfg!(Py_3_15) {
            let (class, given) =
                (object.get_type().fully_qualified_name()?, iterator.get_type().fully_qualified_name()?);
            format!("{class}.__await__() must return an iterator, not {given}")
        } else {
            format!("__await__() returned non-iterator of type '{}'", iterator.get_type().name()?)
        };
        return Err(crate::capi::raise::error::<PyTypeError>(text));
    }
    Ok(iterator)
}

/// Whether `object` is a generator that `types.coroutine` marked.
fn is_generator_coroutine(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    /// A flag of code objects.
    const CO_ITERABLE_COROUTINE: u32 = 0x100;
    // SAFETY: reads the type of a live object.
    if unsafe { ffi::PyGen_CheckExact(object.as_ptr()) } == 0 {
        return Ok(false);
    }
    let flags = object.getattr(name!("gi_code"))?.getattr(name!("co_flags"))?.extract::<u32>()?;
    Ok(flags & CO_ITERABLE_COROUTINE != 0)
}

#[cold]
fn not_awaitable(object: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let name = object.get_type().name()?;
    if object.py().version_info() >= (3, 14) {
        return Ok(crate::capi::raise::error::<PyTypeError>(format!("'{name}' object can't be awaited")));
    }
    Ok(crate::capi::raise::error::<PyTypeError>(format!("object {name} can't be used in 'await' expression")))
}

/// Whether `object` is a coroutine of an `async def`.
#[inline]
#[must_use]
pub fn is_python_coroutine(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: reads the type of a live object.
    unsafe { ffi::PyCoro_CheckExact(object.as_ptr()) != 0 }
}
