//! What a panic of an extension's code becomes.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Waker;

use pyo3::exceptions::PyRuntimeError;
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

/// Drops `value`; a panic of its destructor is printed as one of a Python object's would be.
pub(crate) fn drop_caught<T>(py: Python<'_>, value: T) {
    if let Err(error) = caught(|| drop(value)) {
        error.write_unraisable(py, None);
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
