//! What a panic of an extension's code becomes.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Waker;

use pyo3::exceptions::{PyMemoryError, PyRuntimeError};
use pyo3::prelude::*;

/// Runs `code`; a panic becomes `RuntimeError`.
///
/// `PyO3`'s `PanicException` derives from `BaseException`, as `KeyboardInterrupt` does, so a task would pass it on to the
/// loop and end the whole program. One that is an `Exception` stays in its task.
pub(crate) fn caught<R>(code: impl FnOnce() -> R) -> PyResult<R> {
    // What the code has borrowed is dropped by the caller, or is its own to make sense of, as in `std::thread`.
    catch_unwind(AssertUnwindSafe(code))
        .map_err(|panic| PyRuntimeError::new_err(format!("a Rust future panicked: {}", message(&*panic))))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "(no message)"
    }
}

/// Calls `code` for Python. Where the interpreter has no memory for an object `PyO3` panics, and it aborts where it has none
/// for the exception that it makes of that or of an error's text; so a panic is `MemoryError` here, which needs none, and
/// an error leaves with its exception made.
pub(crate) fn for_python<R>(py: Python<'_>, code: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    let made = |error: PyErr| {
        let _ = error.value(py);
        error
    };
    let panic = match catch_unwind(AssertUnwindSafe(|| code().map_err(made))) {
        Ok(outcome) => return outcome,
        Err(panic) => panic,
    };
    let error = || made(PyRuntimeError::new_err(format!("panic in ferrio-bridge: {}", message(&*panic))));
    match catch_unwind(AssertUnwindSafe(|| (message(&*panic) != NO_OBJECT).then(error))) {
        Ok(Some(error)) => Err(error),
        Ok(None) | Err(_) => Err(no_memory(py)),
    }
}

/// What `PyO3` panics with when there is no object.
const NO_OBJECT: &str = "PyObject pointer is null";

/// The interpreter keeps some exceptions of this class for when it has no memory.
fn no_memory(py: Python<'_>) -> PyErr {
    py.get_type::<PyMemoryError>().call0().map_or_else(|error| error, PyErr::from_value)
}

/// Reports an error that no caller can be told of, if there is memory for that.
pub(crate) fn report_unraisable(py: Python<'_>, error: PyErr, object: Option<&Bound<'_, PyAny>>) {
    let _ = catch_unwind(AssertUnwindSafe(|| error.write_unraisable(py, object)));
}

/// Drops `value`; a panic of its destructor is printed as one of a Python object's would be.
pub(crate) fn drop_caught<T>(py: Python<'_>, value: T) {
    if let Err(error) = caught(|| drop(value)) {
        report_unraisable(py, error, None);
    }
}

/// Wakes all, although some may panic, being foreign code; then the first panic goes on.
pub(crate) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    let mut first = None;
    for waker in wakers {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
            first.get_or_insert(panic);
        }
    }
    if let Some(panic) = first {
        resume_unwind(panic);
    }
}
