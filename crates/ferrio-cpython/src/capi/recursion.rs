//! Calls from object to object whose depth Python's data decides: as deep as the interpreter lets its own go, then
//! `RecursionError`, and never past the end of the stack.
//!
//! From 3.14 on the interpreter's own check looks at the stack. Before, it counts: on 3.11 together with Python's
//! frames, on 3.12 and 3.13 up to a fixed number, which may need more stack than there is. So from 3.12 on the levels
//! are counted here against the limit for Python's frames, for which ferrio's levels stand, and before 3.14 the stack
//! is checked too.

use std::cell::Cell;
use std::ffi::CStr;

use pyo3::exceptions::PyRecursionError;
use pyo3::ffi;
use pyo3::prelude::*;

thread_local! {
    /// The depth of this thread.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Runs `body` one level deeper; `what` ends the sentence of the error.
///
/// # Errors
/// `RecursionError`, and the errors of `body`.
#[inline]
pub fn enter_recursive_call<R>(py: Python<'_>, what: &CStr, body: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    let depth = DEPTH.get();
    if depth >= CHECK_FROM && is_too_deep(depth) {
        return Err(too_deep(what));
    }
    // SAFETY: the GIL is held, which the token proves.
    if unsafe { ffi::Py_EnterRecursiveCall(what.as_ptr()) } != 0 {
        return Err(PyErr::fetch(py));
    }
    DEPTH.set(depth + 1);
    let outcome = body();
    DEPTH.set(depth);
    // SAFETY: the level that was entered above.
    unsafe { ffi::Py_LeaveRecursiveCall() };
    outcome
}

/// The error for one more level where the stack has no space for it. For code that ends in the interpreter's own
/// evaluation anyway, which counts levels, but not the stack that ferrio's levels take.
#[inline]
pub(crate) fn check_stack(what: &CStr) -> Option<PyErr> {
    (cfg!(not(Py_3_14)) && is_near_the_end_of_the_stack()).then(|| too_deep(what))
}

/// This many levels fit into any stack and below any limit in use, and are not checked.
const CHECK_FROM: usize = 20;

#[cold]
fn is_too_deep(depth: usize) -> bool {
    // SAFETY: reads a number of the interpreter's.
    let limit = if cfg!(Py_3_12) { unsafe { ffi::Py_GetRecursionLimit() } } else { std::ffi::c_int::MAX };
    depth >= usize::try_from(limit).unwrap_or(usize::MAX) || (cfg!(not(Py_3_14)) && is_near_the_end_of_the_stack())
}

/// The stack that is left for what the innermost level calls: the interpreter's evaluation loop, system libraries.
const MARGIN: usize = 80 << 10;

fn is_near_the_end_of_the_stack() -> bool {
    thread_local! {
        /// Where the stack of this thread ends, zero if unknown.
        static END: usize = ferrio_sys::stack::lowest_address().unwrap_or(0);
    }
    let marker = 0_u8;
    let here = (&raw const marker).addr();
    END.with(|end| here.wrapping_sub(*end) < MARGIN)
}

#[cold]
fn too_deep(what: &CStr) -> PyErr {
    crate::capi::raise::error::<PyRecursionError>(format!("maximum recursion depth exceeded{}", what.to_string_lossy()))
}
