//! Waits for one awaitable inside a body, as `await` does.
//!
//! A future exactly of ferrio's type needs no iterator: the body yields it, and reads its outcome when resumed.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::{Visitor, coroutine_type_pointer, object};
use crate::capi::owned_ref::OwnedRef;
use crate::capi::raise::raised;
use crate::capi::recursion::enter_recursive_call;
use crate::capi::resume::{self, Step};
use crate::objects::future::{FutureRef, Outcome};

/// An `await` in progress.
pub struct Awaiting {
    target: OwnedRef,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A ferrio future.
    Future,
    /// An iterator or coroutine to be driven.
    Iterator,
}

impl Awaiting {
    /// Begins to wait for `awaitable`; nothing runs before `resume`.
    ///
    /// # Errors
    /// `TypeError` when it cannot be awaited, `RuntimeError` when it is a coroutine that is being awaited already.
    #[inline]
    pub fn new(awaitable: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Some(future) = FutureRef::exact(awaitable) {
            future.check_initialized()?;
            return Ok(Self { target: awaitable.clone().into(), kind: Kind::Future });
        }
        Ok(Self { target: iterator(awaitable)?.into(), kind: Kind::Iterator })
    }

    /// Resumes with `input`, what was sent or thrown into the body: None at first.
    ///
    /// # Errors
    /// Any exception that the awaitable raises; an exception thrown in passes through the awaitable.
    #[inline]
    pub fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        if self.kind == Kind::Iterator {
            let iterator = self.target.get(py);
            return enter_recursive_call(py, c"", || match input {
                Ok(value) => resume::send(&iterator, &value),
                Err(error) => resume::throw(&iterator, error),
            });
        }
        input?;
        // SAFETY: `new` found it to be a ferrio future.
        let future = unsafe { FutureRef::new_unchecked(self.target.get(py)) };
        if future.is_pending() {
            // A second task that drives the same coroutine waits for the future as well.
            if future.update(|body| std::mem::replace(&mut body.blocking, true)) {
                return Err(crate::capi::raise::error::<PyRuntimeError>("await wasn't used with future"));
            }
            return Ok(Step::Yielded(future.object().clone()));
        }
        match future.outcome()? {
            Outcome::Result(result) => Ok(Step::Returned(result)),
            Outcome::Exception(exception) => Err(raised(&exception)),
        }
    }

    /// What is waited for: a future, or the iterator that is driven.
    pub(super) fn target<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.target.get(py)
    }

    /// Shows the collector what is waited for.
    pub fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.target);
    }
}

/// The object to drive for `await awaitable`: coroutines are driven themselves.
fn iterator<'py>(awaitable: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = awaitable.py();
    let busy = if awaitable.get_type_ptr() == coroutine_type_pointer() {
        object::is_suspended(awaitable)
    } else if resume::is_python_coroutine(awaitable) {
        !awaitable.getattr(crate::intern!(py, "cr_await"))?.is_none()
    } else {
        return resume::awaitable_iterator(awaitable);
    };
    if busy {
        return Err(crate::capi::raise::error::<PyRuntimeError>("coroutine is being awaited already"));
    }
    Ok(awaitable.clone())
}
