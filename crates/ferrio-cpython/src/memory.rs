//! Running out of memory: what is raised then, and objects whose making may fail.
//!
//! The safe constructors of `PyO3` panic where the interpreter has no memory. Those below give `MemoryError`.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// `MemoryError`. The interpreter keeps some in store, so that this needs no memory.
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

/// Keeps the panics that stand for a lack of memory off standard error: they become `MemoryError`.
pub fn hush_panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |information| {
        if !stands_for_no_memory(information.payload()) {
            report(information);
        }
    }));
}

/// Whether `PyO3` found no object where it had asked for one, which happens for no other reason.
pub(crate) fn stands_for_no_memory(payload: &(dyn std::any::Any + Send)) -> bool {
    payload.downcast_ref::<&str>().is_some_and(|text| *text == "PyObject pointer is null")
}
