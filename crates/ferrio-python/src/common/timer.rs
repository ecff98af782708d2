//! A timer that its owner cancels: an alarm on ferrio's loop, a `TimerHandle` on any other.

use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::objects::coroutine::Visitor;
use ferrio_cpython::objects::future;
use ferrio_cpython::objects::handle::HandleRef;
use ferrio_cpython::{Action, LoopBase};
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt};

use crate::common::imports;

/// A timer that is scheduled or has run.
pub(crate) enum Timer {
    Ours(HandleRef),
    Foreign(OwnedRef),
}

impl Timer {
    /// Completes `future` with None after `delay` seconds, unless it is already done then.
    ///
    /// # Errors
    /// The exception that the loop's `call_later` raises.
    pub(crate) fn finish<'py>(
        owner: &Bound<'py, PyAny>,
        delay: &Bound<'py, PyAny>,
        future: &Bound<'py, PyAny>,
    ) -> PyResult<Self> {
        if let Some(ours) = loop_with_alarms(owner)?
            && let Some(seconds) = plain_number(delay)
        {
            let when = LoopBase::now_before(ours, seconds)? + seconds;
            return Ok(Self::Ours(HandleRef::alarm(ours, when, future, future::finish_with_none)?));
        }
        let py = owner.py();
        let arguments = (delay, imports::release_waiter(py)?, future);
        Ok(Self::Foreign(owner.call_method1(pyo3::intern!(py, "call_later"), arguments)?.into()))
    }

    /// Calls `action` on `target` at `when`, in the loop's time in seconds; in the next turn if that has passed. A
    /// foreign loop calls the method `name` of `target`, which does the same.
    ///
    /// # Errors
    /// The exception that the loop's `time`, `call_at` or `call_soon` raises.
    pub(crate) fn at<'py>(
        owner: &Bound<'py, PyAny>,
        when: &Bound<'py, PyAny>,
        target: &Bound<'py, PyAny>,
        action: Action,
        name: &Bound<'py, pyo3::types::PyString>,
    ) -> PyResult<Self> {
        let py = owner.py();
        if let Some(ours) = loop_with_alarms(owner)?
            && let Some(seconds) = plain_number(when)
        {
            let handle = if seconds <= LoopBase::now(ours)? {
                HandleRef::alarm_soon(ours, target, action)?
            } else {
                HandleRef::alarm(ours, seconds, target, action)?
            };
            return Ok(Self::Ours(handle));
        }
        let method = target.getattr(name)?;
        let handle = if when.le(owner.call_method0(pyo3::intern!(py, "time"))?)? {
            owner.call_method1(pyo3::intern!(py, "call_soon"), (method,))?
        } else {
            owner.call_method1(pyo3::intern!(py, "call_at"), (when, method))?
        };
        Ok(Self::Foreign(handle.into()))
    }

    /// Cancels the timer; no effect if it has run.
    ///
    /// # Errors
    /// The exception that a foreign handle raises.
    #[inline]
    pub(crate) fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        match self {
            Self::Ours(handle) => handle.cancel(py),
            Self::Foreign(handle) => handle.bind(py).call_method0(pyo3::intern!(py, "cancel")).map(drop),
        }
    }

    /// The timer's handle.
    pub(crate) fn show<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        match self {
            Self::Ours(handle) => handle.bind(py),
            Self::Foreign(handle) => handle.bind(py).clone(),
        }
    }

    pub(crate) fn traverse(&self, visitor: &Visitor<'_>) {
        match self {
            Self::Ours(handle) => visitor.show_handle(handle),
            Self::Foreign(handle) => visitor.show_owned(handle),
        }
    }

    /// Visits the timer for the garbage collector, for classes of `PyO3`.
    pub(crate) fn visit(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        match self {
            Self::Ours(handle) => handle.visit(visit),
            Self::Foreign(handle) => handle.traverse(visit),
        }
    }
}

/// The loop, if it is ferrio's and supports alarms.
fn loop_with_alarms<'a, 'py>(owner: &'a Bound<'py, PyAny>) -> PyResult<Option<&'a Bound<'py, LoopBase>>> {
    match owner.cast::<LoopBase>() {
        Ok(ours) if LoopBase::takes_alarms(ours)? => Ok(Some(ours)),
        _ => Ok(None),
    }
}

/// The value of a float or an int; None for other numbers, which have their own arithmetic.
#[inline]
pub(crate) fn plain_number(number: &Bound<'_, PyAny>) -> Option<f64> {
    if let Ok(float) = number.cast_exact::<PyFloat>() {
        return Some(float.value());
    }
    number.cast_exact::<PyInt>().ok()?.extract().ok()
}
