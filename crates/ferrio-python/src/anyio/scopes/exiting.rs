//! `CancelScope.__exit__`: gives the task back to the scope around, and swallows the scope's own cancellation.

use ferrio_cpython::objects::current::{CurrentTaskCall, get_running_loop, running_task};
use ferrio_cpython::objects::future::future_like;
use pyo3::exceptions::{PyBaseExceptionGroup, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use super::{CancelScope, any_scope, delivery};
use crate::anyio::backend;
use crate::anyio::task_states::{scope_in, set_scope_in, state_of};
use crate::common::imports;

impl CancelScope {
    /// Ends the scope; returns whether `raised`, the exception that ended the block, is swallowed.
    pub(crate) fn exit(slf: &Bound<'_, Self>, raised: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        if !this.is_active(py) {
            return Err(ferrio_cpython::error::<PyRuntimeError>("This cancel scope is not active"));
        }
        let current = running_task(py, &get_running_loop(py)?, CurrentTaskCall::WithoutLoop)?;
        let Some(host) = this.host(py).filter(|host| current.as_ref().is_some_and(|current| current.is(host))) else {
            let text = "Attempted to exit cancel scope in a different task than it was entered in";
            return Err(ferrio_cpython::error::<PyRuntimeError>(text));
        };
        let state = match state_of(&host)? {
            Some(state) if scope_in(&state)?.is_some_and(|scope| scope.is(slf)) => state,
            _ => {
                let text = "Attempted to exit a cancel scope that isn't the current tasks's current cancel scope";
                return Err(ferrio_cpython::error::<PyRuntimeError>(text));
            }
        };
        let outcome = Self::leave(slf, &host, &state, raised);
        let before = this.inner.with(py, |inner| inner.host.take());
        drop(before);
        outcome
    }

    fn leave<'py>(
        slf: &Bound<'py, Self>,
        host: &Bound<'py, PyAny>,
        state: &Bound<'py, PyAny>,
        raised: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        this.inner.with(py, |inner| inner.active = false);
        this.cancel_timer(py)?;
        this.tasks.remove(host)?;
        let parent = this.parent(py);
        if let Some(parent) = &parent {
            any_scope::remove_child(parent, slf.as_any())?;
            any_scope::add_task(parent, host)?;
        }
        set_scope_in(state, parent.as_ref())?;
        delivery::restart_in_parent(slf)?;
        if this.inner.with(py, |inner| inner.cancel_called) && !this.parent_cancellation_is_visible(py)? {
            return this.swallow(host, raised);
        }
        let owed = this.inner.with(py, |inner| std::mem::take(&mut inner.pending_uncancellations));
        if let (1.., Some(parent)) = (owed, &parent) {
            any_scope::owe_uncancellations(parent, owed)?;
        }
        Ok(false)
    }

    /// Whether a cancelled scope around this one is not hidden by a shield.
    pub(super) fn parent_cancellation_is_visible(&self, py: Python<'_>) -> PyResult<bool> {
        match self.parent(py) {
            Some(parent) if !self.inner.with(py, |inner| inner.shield) => any_scope::is_effectively_cancelled(&parent),
            _ => Ok(false),
        }
    }

    /// Takes the scope's requests back from its host; returns whether `raised` is nothing but its cancellation.
    fn swallow<'py>(&self, host: &Bound<'py, PyAny>, raised: Option<&Bound<'py, PyAny>>) -> PyResult<bool> {
        let py = host.py();
        while self.inner.with(py, |inner| {
            let owed = inner.pending_uncancellations;
            inner.pending_uncancellations = owed.saturating_sub(1);
            owed > 0
        }) {
            future_like::uncancel(host)?;
        }
        // Another request that came in the same turn shows as the scope's own cancellation, and must not be lost.
        if backend::does_as_4_16()
            && future_like::cancelling(host)? > self.inner.with(py, |inner| inner.cancelling_at_enter)
        {
            return Ok(false);
        }
        let Some(raised) = raised else { return Ok(false) };
        if raised.is_instance_of::<PyBaseExceptionGroup>() {
            return self.swallow_in_group(raised);
        }
        let caught = raised.is_instance(imports::cancelled_error(py)?)? && is_anyio_cancellation(raised)?;
        if caught {
            self.inner.with(py, |inner| inner.cancelled_caught = true);
        }
        Ok(caught)
    }

    /// Raises what a group holds besides cancellations.
    fn swallow_in_group(&self, group: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = group.py();
        // Before 3.12 `split` takes Python functions only.
        let predicate = backend::class(py, |classes| &classes.is_cancellation)?.into_bound(py);
        let parts = group.call_method1(name!("split"), (predicate,))?;
        let (caught, remaining): (Bound<'_, PyAny>, Bound<'_, PyAny>) = parts.extract()?;
        if caught.is_none() {
            return Ok(false);
        }
        self.inner.with(py, |inner| inner.cancelled_caught = true);
        if remaining.is_none() {
            return Ok(true);
        }
        // Its cause and context stay as they are.
        Err(PyErr::from_value(remaining))
    }
}

/// Whether an exception is the cancellation of a scope.
#[pyfunction]
#[pyo3(name = "_anyio_is_cancellation")]
pub(crate) fn is_cancellation_of_a_scope(exception: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(exception.is_instance(imports::cancelled_error(exception.py())?)? && is_anyio_cancellation(exception)?)
}

/// Whether a cancellation comes from a scope: by its message, or by that of one among its contexts, because some
/// libraries catch a `CancelledError` and raise another one.
pub(crate) fn is_anyio_cancellation(exception: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = exception.py();
    let mut exception = exception.clone();
    loop {
        let arguments = exception.getattr(pyo3::intern!(py, "args"))?;
        if let Ok(arguments) = arguments.cast::<PyTuple>()
            && !arguments.is_empty()
            && let Ok(message) = arguments.get_item(0)?.cast::<PyString>()
            && message.to_string_lossy().starts_with("Cancelled via cancel scope ")
        {
            return Ok(true);
        }
        let context = exception.getattr(pyo3::intern!(py, "__context__"))?;
        if !context.is_instance(imports::cancelled_error(py)?)? {
            return Ok(false);
        }
        exception = context;
    }
}
