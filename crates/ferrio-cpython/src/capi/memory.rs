//! Running out of memory: the error raised then, and constructors of objects that return it.
//!
//! The safe constructors of `PyO3` panic where the interpreter has no memory. Those below return `MemoryError`.

use std::alloc::{Layout, alloc};
use std::any::Any;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyMemoryError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyIterator, PyList, PyString, PyTuple};

use crate::capi::trampoline;

/// `MemoryError`. The interpreter keeps some preallocated, so that this needs no memory.
#[cold]
#[must_use]
pub fn out_of_memory(py: Python<'_>) -> PyErr {
    // SAFETY: attached by token.
    unsafe { ffi::PyErr_NoMemory() };
    PyErr::fetch(py)
}

/// A bytes object with a copy of `data`.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub fn bytes<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let length = ffi::Py_ssize_t::try_from(data.len()).unwrap_or(ffi::Py_ssize_t::MAX);
    // SAFETY: the pointer is to that many bytes, which are copied.
    let object = unsafe { ffi::PyBytes_FromStringAndSize(data.as_ptr().cast(), length) };
    // SAFETY: a new reference or null with an exception set.
    let object = unsafe { Bound::from_owned_ptr_or_err(py, object) }?;
    // SAFETY: it was made as bytes.
    Ok(unsafe { object.cast_into_unchecked() })
}

/// A bytearray with a copy of `data`.
///
/// # Errors
/// `MemoryError`.
pub fn bytearray<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyByteArray>> {
    PyByteArray::new_with(py, data.len(), |target| {
        target.copy_from_slice(data);
        Ok(())
    })
}

/// A string.
///
/// # Errors
/// `MemoryError`.
pub fn text<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyString>> {
    let length = ffi::Py_ssize_t::try_from(text.len()).unwrap_or(ffi::Py_ssize_t::MAX);
    // SAFETY: the pointer is to that many bytes, which are copied.
    let object = unsafe { ffi::PyUnicode_FromStringAndSize(text.as_ptr().cast(), length) };
    // SAFETY: a new reference or null with an exception set.
    let object = unsafe { Bound::from_owned_ptr_or_err(py, object) }?;
    // SAFETY: it was made as a string.
    Ok(unsafe { object.cast_into_unchecked() })
}

/// Text that converts to a Python string or raises `MemoryError`, where returning a `String` would panic.
pub struct Text(pub String);

impl<'py> IntoPyObject<'py> for Text {
    type Target = PyString;
    type Output = Bound<'py, PyString>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        text(py, &self.0)
    }
}

/// Issues a warning of a finalizer.
///
/// # Errors
/// `MemoryError`; the warning, where warnings are errors.
pub fn warn(py: Python<'_>, category: &Bound<'_, PyAny>, message: &CStr) -> PyResult<()> {
    // The interpreter's own function crashes if it cannot create the frame object (3.13). It is created here; if there
    // was no memory for it, there is most likely none for the text either, which then raises.
    let frame = crate::current_frame(py);
    drop(text(py, &message.to_string_lossy())?);
    let outcome = PyErr::warn(py, category, message, 1);
    drop(frame);
    outcome
}

/// An empty dictionary.
///
/// # Errors
/// `MemoryError`.
pub fn dict(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    // SAFETY: attached by token.
    let object = unsafe { ffi::PyDict_New() };
    // SAFETY: a new reference or null with an exception set.
    let object = unsafe { Bound::from_owned_ptr_or_err(py, object) }?;
    // SAFETY: it was made as a dictionary.
    Ok(unsafe { object.cast_into_unchecked() })
}

/// An empty list.
///
/// # Errors
/// `MemoryError`.
pub fn empty_list(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    // SAFETY: attached by token.
    let object = unsafe { ffi::PyList_New(0) };
    // SAFETY: a new reference or null with an exception set.
    let object = unsafe { Bound::from_owned_ptr_or_err(py, object) }?;
    // SAFETY: it was made as a list.
    Ok(unsafe { object.cast_into_unchecked() })
}

/// A list of `items`.
///
/// # Errors
/// `MemoryError`; any exception that converting an item raises.
pub fn list<'py, T: IntoPyObject<'py>>(
    py: Python<'py>,
    items: impl IntoIterator<Item = T>,
) -> PyResult<Bound<'py, PyList>> {
    let list = empty_list(py)?;
    for item in items {
        list.append(item)?;
    }
    Ok(list)
}

/// A tuple of `items`.
///
/// # Errors
/// `MemoryError`; any exception that converting an item raises.
///
/// # Panics
/// When the iterator does not have as many items as its length says.
pub fn tuple<'py, T: IntoPyObject<'py>>(
    py: Python<'py>,
    items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
) -> PyResult<Bound<'py, PyTuple>> {
    let items = items.into_iter();
    let length = ffi::Py_ssize_t::try_from(items.len()).unwrap_or(ffi::Py_ssize_t::MAX);
    // SAFETY: attached by token.
    let object = unsafe { ffi::PyTuple_New(length) };
    // SAFETY: a new reference or null with an exception set.
    let object = unsafe { Bound::from_owned_ptr_or_err(py, object) }?;
    // SAFETY: it was made as a tuple.
    let tuple = unsafe { object.cast_into_unchecked() };
    let mut filled = 0;
    for item in items {
        let item = item.into_bound_py_any(py)?;
        // SAFETY: a tuple that no other code has a pointer to, whose length is checked; the reference is given away.
        if unsafe { ffi::PyTuple_SetItem(tuple.as_ptr(), filled, item.into_ptr()) } < 0 {
            return Err(PyErr::fetch(py));
        }
        filled += 1;
    }
    assert_eq!(filled, length, "an iterator that knows how many items it has");
    Ok(tuple)
}

/// All items of an iterator.
///
/// # Errors
/// `MemoryError`; any exception that the iterator raises.
pub fn collected(items: Bound<'_, PyIterator>) -> PyResult<Vec<Bound<'_, PyAny>>> {
    let mut collected = Vec::new();
    for item in items {
        let item = item?;
        let py = item.py();
        collected.try_reserve(1).map_err(|_| out_of_memory(py))?;
        collected.push(item);
    }
    Ok(collected)
}

/// A copy of `data` on the heap.
///
/// # Errors
/// `MemoryError`.
pub fn copied(py: Python<'_>, data: &[u8]) -> PyResult<Vec<u8>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(data.len()).map_err(|_| out_of_memory(py))?;
    copy.extend_from_slice(data);
    Ok(copy)
}

/// Memory for one value on the heap, for a place where it is too late to fail.
///
/// What each of many objects keeps must not be boxed with `Box::new`, which aborts when the reserve of the allocator is
/// used up.
pub struct BoxSpace<T>(Box<MaybeUninit<T>>);

impl<T> BoxSpace<T> {
    /// Memory for a value.
    ///
    /// # Errors
    /// `MemoryError`.
    #[inline]
    pub fn new(py: Python<'_>) -> PyResult<Self> {
        Self::reserve().ok_or_else(|| out_of_memory(py))
    }

    /// The same; None if there is none.
    #[inline]
    #[must_use]
    pub fn reserve() -> Option<Self> {
        if size_of::<T>() == 0 {
            return Some(Self(Box::new_uninit())); // takes no memory
        }
        // SAFETY: the layout's size is not zero.
        let memory = NonNull::new(unsafe { alloc(Layout::new::<T>()) })?.cast();
        // SAFETY: memory of the global allocator with the layout of the value, which may be uninitialised.
        Some(Self(unsafe { Box::from_raw(memory.as_ptr()) }))
    }

    /// The value, boxed.
    #[inline]
    #[must_use]
    pub fn fill(mut self, value: T) -> Box<T> {
        self.0.write(value);
        // SAFETY: it was just written.
        unsafe { self.0.assume_init() }
    }
}

/// A value on the heap.
///
/// # Errors
/// `MemoryError`.
pub fn boxed<T>(py: Python<'_>, value: T) -> PyResult<Box<T>> {
    Ok(BoxSpace::new(py)?.fill(value))
}

/// Keeps panics that mean a lack of memory off standard error: they become `MemoryError`.
pub fn silence_memory_panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |information| {
        if !means_out_of_memory(information.payload()) {
            report(information);
        }
    }));
}

/// The message of a panic.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> Option<&str> {
    payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// Whether a panic means that memory ran out: `PyO3` got null where it expected an object, or got `MemoryError` where
/// it expected no error, which it may have had no memory to format.
pub(crate) fn means_out_of_memory(payload: &(dyn Any + Send)) -> bool {
    panic_text(payload).is_some_and(|text| {
        text == "PyObject pointer is null"
            || text.contains("PyErr { type: <class 'MemoryError'>")
            || text.contains("PyErr { type: <unprintable object>")
    })
}

/// Passes an error that a destructor cannot raise to `sys.unraisablehook`. Not a lack of memory: showing it takes
/// memory, and the interpreter recurses without end when it has none for that.
pub fn unraisable(py: Python<'_>, error: PyErr) {
    let error = trampoline::normalized(py, error);
    if !error.is_instance_of::<PyMemoryError>(py) {
        error.write_unraisable(py, None);
    }
}

/// Passes an error to `sys.unraisablehook` with a text that has `object`'s repr for its `%R`. Before 3.13 the interpreter
/// has one text for all.
pub(crate) fn unraisable_while(py: Python<'_>, error: PyErr, text: &CStr, object: &Bound<'_, PyAny>) {
    #[cfg(Py_3_13)]
    {
        unsafe extern "C" {
            fn PyErr_FormatUnraisable(format: *const std::ffi::c_char, ...);
        }
        error.restore(py);
        // SAFETY: an exception is set, and the text has one place, for an object.
        unsafe { PyErr_FormatUnraisable(text.as_ptr(), object.as_ptr()) };
    }
    #[cfg(not(Py_3_13))]
    {
        let _ = text;
        error.write_unraisable(py, Some(object));
    }
}

/// Runs `body`; a lack of memory becomes `MemoryError`, and any other panic an internal error.
///
/// # Errors
/// Any exception that `body` raises.
pub fn catch_no_memory<R>(py: Python<'_>, body: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| Err(trampoline::panicked(py, payload.as_ref())))
}
