//! contextvars: copies the current context and calls functions in another one.
//!
//! Invariant: every successful enter is followed by exactly one exit, with no pending exception lost in between.
//!
//! `Shared` keeps one pristine copy for many timers: as long as the current context holds the same variables, a new
//! timer refers to that copy and makes its own only when it runs. A copy that is shared is never entered or shown.

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::capi::gil_cell::GilCell;
use crate::capi::hooks;
use crate::capi::version;

/// `contextvars.copy_context()`: a copy of the current context; calls the replacement if a program has replaced that
/// function.
///
/// # Errors
/// Any exception that a replacement raises; `MemoryError`.
#[inline(always)] // benchmark `call_soon_chain`
pub fn copy_current(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    match hooks::COPY_CONTEXT.replacement(py)? {
        Some(function) => function.call0(),
        None => copy_current_directly(py),
    }
}

/// A copy of the calling thread's current context, as asyncio's C code takes it.
#[inline]
pub(crate) fn copy_current_directly(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: attached by token.
    let copied = unsafe { ffi::PyContext_CopyCurrent() };
    // SAFETY: a new reference or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, copied) }
}

/// A context without variables.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn empty(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: attached by token.
    let context = unsafe { ffi::PyContext_New() };
    // SAFETY: a new reference or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, context) }
}

/// A copy of `context`, as `context.copy()`.
///
/// # Errors
/// `TypeError` when it is not a context.
#[inline]
pub fn copy<'py>(context: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if !is_context(context) {
        return Err(not_a_context(context));
    }
    // SAFETY: exactly a Context.
    let copied = unsafe { ffi::PyContext_Copy(context.as_ptr()) };
    // SAFETY: a new reference or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(context.py(), copied) }
}

/// The pristine copy that timers share.
#[derive(Default)]
pub(crate) struct Shared(GilCell<Option<Py<PyAny>>>);

impl Shared {
    /// A context equal to the current one, not to be entered: run in a copy of it.
    #[inline]
    pub(crate) fn current<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let fresh = copy_current(py)?;
        let known = self.0.with(py, |known| known.as_ref().map(|known| known.bind(py).clone()));
        if let Some(known) = known
            && version::same_variables(&known, &fresh)
        {
            return Ok(known);
        }
        let stale = self.0.with(py, |known| known.replace(fresh.clone().unbind()));
        drop(stale);
        Ok(fresh)
    }

    /// Whether there is a copy.
    #[inline]
    pub(crate) fn is_known(&self, py: Python<'_>) -> bool {
        self.0.with(py, |known| known.is_some())
    }

    /// Drops the copy once no timer refers to it, so that the values of its variables can be freed.
    #[inline]
    pub(crate) fn forget_if_unused(&self, py: Python<'_>) {
        let is_unused = |known: &Py<PyAny>| {
            // SAFETY: a live object.
            unsafe { ffi::Py_REFCNT(known.as_ptr()) == 1 }
        };
        if self.0.with(py, |known| known.as_ref().is_some_and(is_unused)) {
            self.forget(py);
        }
    }

    /// Drops the copy, so that what it refers to can be freed.
    pub(crate) fn forget(&self, py: Python<'_>) {
        let stale = self.0.with(py, Option::take);
        drop(stale);
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.traverse(visit, |known| visit.call(known)).transpose().map(drop)
    }
}

/// Whether `object` is exactly a `contextvars.Context` (the type cannot be subclassed).
#[inline]
#[must_use]
pub fn is_context(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the pointer is a live object; the check reads its type only.
    unsafe { ffi::PyContext_CheckExact(object.as_ptr()) != 0 }
}

/// Runs `body` inside `context`, as `Context.run` does. A stand-in that is not a real context is rejected with the
/// error that `context.run` would raise.
///
/// # Errors
/// `RuntimeError` when the context is entered already; any error that `body` returns.
#[inline]
pub fn run_in<'py, R>(py: Python<'py>, context: &Bound<'py, PyAny>, body: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    if !is_context(context) {
        return Err(not_a_context(context));
    }
    // SAFETY: `context` is exactly a Context.
    if unsafe { ffi::PyContext_Enter(context.as_ptr()) } < 0 {
        return Err(PyErr::fetch(py));
    }
    let outcome = body();
    // SAFETY: it was entered above; no exception is pending, `body` has taken its own into `outcome`.
    if unsafe { ffi::PyContext_Exit(context.as_ptr()) } < 0 {
        let exit_error = PyErr::fetch(py);
        return outcome.and(Err(exit_error));
    }
    outcome
}

#[cold]
fn not_a_context(object: &Bound<'_, PyAny>) -> PyErr {
    match object.getattr(name!("run")) {
        Err(missing) => missing,
        Ok(_) => crate::capi::raise::error::<PyRuntimeError>("a contextvars.Context is needed to run a callback"),
    }
}
