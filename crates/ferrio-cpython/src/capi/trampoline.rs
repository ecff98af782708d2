//! Where C calls Rust: no panic passes, and every error becomes a Python exception.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::capi::memory;

/// Runs a slot or method that the interpreter called, so the thread is attached; null means that an exception is set.
#[inline]
pub(crate) fn trampoline(body: impl FnOnce(Python<'_>) -> PyResult<Py<PyAny>>) -> *mut ffi::PyObject {
    attached(|py| caught(py, body))
}

/// `trampoline` without an entry in `PyO3`'s bookkeeping, which costs more than the body of a hot method (benchmark
/// `future_await`). For bodies that own objects as `Bound` and `OwnedRef` only: a `Py` dropped here may be released
/// late.
#[inline]
pub(crate) fn trampoline_attached(body: impl FnOnce(Python<'_>) -> PyResult<Py<PyAny>>) -> *mut ffi::PyObject {
    assume_attached(|py| caught(py, body))
}

/// The outcome becomes a pointer inside the trampoline: a `PyResult` would have to go through memory.
#[inline]
fn caught(py: Python<'_>, body: impl FnOnce(Python<'_>) -> PyResult<Py<PyAny>>) -> *mut ffi::PyObject {
    let answer = || match body(py) {
        Ok(object) => object.into_ptr(),
        Err(error) => {
            error.restore(py);
            std::ptr::null_mut()
        }
    };
    catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|payload| {
        restore_panic(py, payload.as_ref());
        std::ptr::null_mut()
    })
}

/// The same for slots that return a hash.
pub(crate) fn trampoline_hash(body: impl FnOnce(Python<'_>) -> PyResult<isize>) -> ffi::Py_hash_t {
    // SAFETY: the interpreter calls slots with the GIL held.
    let py = unsafe { Python::assume_attached() };
    let answer = || match body(py) {
        // -1 stands for an exception.
        Ok(hash) => hash - isize::from(hash == -1),
        Err(error) => {
            error.restore(py);
            -1
        }
    };
    catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|payload| {
        restore_panic(py, payload.as_ref());
        -1
    })
}

/// The exception that Python gets for a panic.
#[cold]
pub(crate) fn panicked(py: Python<'_>, payload: &(dyn std::any::Any + Send)) -> PyErr {
    if memory::means_out_of_memory(payload) {
        return memory::out_of_memory(py);
    }
    let text = memory::panic_text(payload).unwrap_or("unknown cause");
    let error = || crate::capi::raise::error::<PyRuntimeError>(format!("internal error in ferrio: {text}"));
    // Making the exception may need memory that is not there.
    catch_unwind(AssertUnwindSafe(error)).unwrap_or_else(|_| memory::out_of_memory(py))
}

/// Sets the exception that Python gets for a panic.
#[cold]
pub(crate) fn restore_panic(py: Python<'_>, payload: &(dyn std::any::Any + Send)) {
    panicked(py, payload).restore(py);
}

/// `error`, made: `PyO3` makes exceptions late, needs memory for that, and panics where there is none.
#[cold]
pub(crate) fn normalized(py: Python<'_>, error: PyErr) -> PyErr {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| error.restore(py))) {
        restore_panic(py, payload.as_ref());
    }
    PyErr::fetch(py)
}

/// Runs `body` attached in `PyO3`'s bookkeeping too, so that it releases references at once. `PyO3`'s own attach fails
/// while the interpreter is finalizing; code that the interpreter calls holds the GIL all the same, until the last
/// object is gone.
#[inline]
pub(crate) fn attached<R>(body: impl FnOnce(Python<'_>) -> R) -> R {
    // SAFETY: the interpreter calls slots and methods with the GIL held, so that it is initialized.
    unsafe { Python::attach_unchecked(body) }
}

/// `attached` without an entry in `PyO3`'s bookkeeping; see `trampoline_attached`.
#[inline]
pub(crate) fn assume_attached<R>(body: impl FnOnce(Python<'_>) -> R) -> R {
    // SAFETY: the interpreter calls slots and methods with the GIL held.
    body(unsafe { Python::assume_attached() })
}

/// `trampoline` for slots that return 0 or -1.
pub(crate) fn trampoline_status(body: impl FnOnce(Python<'_>) -> PyResult<()>) -> std::ffi::c_int {
    let outcome = trampoline(|py| body(py).map(|()| py.None()));
    if outcome.is_null() {
        return -1;
    }
    // SAFETY: the reference to None that was just made.
    unsafe { ffi::Py_DECREF(outcome) };
    0
}
