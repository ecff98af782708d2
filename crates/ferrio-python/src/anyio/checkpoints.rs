//! `AsyncIOBackend.checkpoint` and its like: coroutines that let other tasks run, and let cancellation in or not.

use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::raise::handling;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Body, Visitor, spawn};
use ferrio_cpython::objects::current::{CurrentTaskCall, get_running_loop, running_task};
use pyo3::prelude::*;

use super::backend;
use super::scopes::{CancelScope, any_scope};
use super::task_states::scope_of;

/// One turn of the loop, in which a cancellation may arrive.
#[pyfunction]
pub(crate) fn checkpoint(py: Python<'_>) -> PyResult<Py<PyAny>> {
    match backend::our_loop(py)? {
        Some(_) => one_turn(py, "AsyncIOBackend.checkpoint"),
        None => backend::method(py, "checkpoint")?.call0().map(Bound::unbind),
    }
}

/// The coroutine of `checkpoint`, under a name.
#[inline]
pub(super) fn one_turn(py: Python<'_>, name: &'static str) -> PyResult<Py<PyAny>> {
    spawn(py, name, OneTurn { passed: false })
}

/// The coroutine of `checkpoint_if_cancelled`, under a name.
#[inline]
pub(super) fn while_cancelled(py: Python<'_>, name: &'static str) -> PyResult<Py<PyAny>> {
    spawn(py, name, WhileCancelled { waiting_in: None })
}

/// The coroutine of `cancel_shielded_checkpoint`, under a name.
#[inline]
pub(super) fn shielded_turn(py: Python<'_>, name: &'static str) -> PyResult<Py<PyAny>> {
    spawn(py, name, ShieldedTurn::default())
}

/// `asyncio.sleep(delay)`.
#[pyfunction]
pub(crate) fn sleep(delay: Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let py = delay.py();
    match backend::our_loop(py)? {
        Some(_) => crate::tasks::sleep::sleep(delay, None),
        None => backend::method(py, "sleep")?.call1((delay,)).map(Bound::unbind),
    }
}

/// Turns of the loop for as long as the running task is cancelled by a scope.
#[pyfunction]
pub(crate) fn checkpoint_if_cancelled(py: Python<'_>) -> PyResult<Py<PyAny>> {
    match backend::our_loop(py)? {
        Some(_) => while_cancelled(py, "AsyncIOBackend.checkpoint_if_cancelled"),
        None => backend::method(py, "checkpoint_if_cancelled")?.call0().map(Bound::unbind),
    }
}

/// One turn of the loop, from which cancellations are kept away.
#[pyfunction]
pub(crate) fn cancel_shielded_checkpoint(py: Python<'_>) -> PyResult<Py<PyAny>> {
    match backend::our_loop_with_scopes(py)? {
        Some(_) => shielded_turn(py, "AsyncIOBackend.cancel_shielded_checkpoint"),
        None => backend::method(py, "cancel_shielded_checkpoint")?.call0().map(Bound::unbind),
    }
}

/// The scope that cancels the running task: the innermost one whose `cancel()` was called, unless a shield is nearer.
pub(crate) fn cancelling_scope(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    let task = running_task(py, &get_running_loop(py)?, CurrentTaskCall::WithoutLoop)?;
    let mut next = task.map_or(Ok(None), |task| scope_of(&task))?;
    while let Some(scope) = next {
        if any_scope::is_cancel_called(&scope)? {
            return Ok(Some(scope));
        }
        if any_scope::is_shielded(&scope)? {
            return Ok(None);
        }
        next = any_scope::parent(&scope)?;
    }
    Ok(None)
}

/// The body of `checkpoint_if_cancelled`.
struct WhileCancelled {
    /// The scope whose cancellation is awaited.
    waiting_in: Option<OwnedRef>,
}

impl Body for WhileCancelled {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        input?;
        if self.waiting_in.is_none() {
            self.waiting_in = cancelling_scope(py)?.map(OwnedRef::from);
        }
        let none = py.None().into_bound(py);
        Ok(if self.waiting_in.is_some() { Step::Yielded(none) } else { Step::Returned(none) })
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        if let Some(scope) = &self.waiting_in {
            visitor.show_owned(scope);
        }
    }
}

/// The body of `cancel_shielded_checkpoint`, also for other bodies to embed.
#[derive(Default)]
pub(crate) struct ShieldedTurn {
    scope: Option<OwnedRef<CancelScope>>,
}

impl Body for ShieldedTurn {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let none = py.None().into_bound(py);
        let Some(scope) = self.scope.take().map(|scope| scope.into_bound(py)) else {
            input?;
            let scope = CancelScope::unlimited(py, true)?;
            CancelScope::enter(&scope)?;
            self.scope = Some(OwnedRef::of(&scope));
            return Ok(Step::Yielded(none));
        };
        match input {
            Ok(_) => CancelScope::exit(&scope, None).map(|_| Step::Returned(none)),
            Err(error) => {
                let swallowed = handling(py, &error, || CancelScope::exit(&scope, Some(error.value(py).as_any())))?;
                if swallowed { Ok(Step::Returned(none)) } else { Err(error) }
            }
        }
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        if let Some(scope) = &self.scope {
            visitor.show_owned(scope);
        }
    }
}

/// The body of `checkpoint`.
struct OneTurn {
    passed: bool,
}

impl Body for OneTurn {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        input?;
        let none = py.None().into_bound(py);
        Ok(if std::mem::replace(&mut self.passed, true) { Step::Returned(none) } else { Step::Yielded(none) })
    }

    fn traverse(&self, _: &Visitor<'_>) {}
}
