//! What the primitives ask about the cancel scopes around a task, and a turn of the loop that is shielded from them.

use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::objects::coroutine::Visitor;
use ferrio_cpython::objects::task::task_like;
use ferrio_cpython::{LoopBase, current_task};
use pyo3::prelude::*;

use super::backend;
use super::scopes::{CancelScope, any_scope};
use super::task_states::scope_of;

/// The running loop, if it is ferrio's, and the task that runs on it.
#[inline]
pub(super) fn running_task(py: Python<'_>) -> PyResult<Option<(Bound<'_, LoopBase>, Bound<'_, PyAny>)>> {
    let Some(owner) = backend::our_loop(py)? else {
        return Ok(None);
    };
    Ok(current_task(owner.as_any())?.map(|task| (owner, task)))
}

/// Whether `checkpoint_if_cancelled` would wait for the cancellation of a task.
#[inline]
pub(super) fn is_cancelled(task: &Bound<'_, PyAny>) -> PyResult<bool> {
    match scope_of(task)? {
        Some(scope) => any_scope::is_effectively_cancelled(&scope),
        None => Ok(false),
    }
}

/// Whether a task is about to be cancelled: `TaskInfo.has_pending_cancellation`.
#[inline]
pub(super) fn has_pending_cancellation(task: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(task_like::must_cancel(task)? || task_like::waits_for_cancelled(task)? || is_cancelled(task)?)
}

/// A turn of the loop without a look at the scopes around the task, as `cancel_shielded_checkpoint`: the coroutine
/// yields None after `begin`, and calls `end` when it is resumed.
pub(super) enum ShieldedTurn {
    /// There is no scope to be shielded from.
    Bare,
    /// The scope that shields, entered.
    Scoped(OwnedRef<CancelScope>),
}

impl ShieldedTurn {
    /// Shields `task`, which runs.
    #[inline]
    pub(super) fn begin(task: &Bound<'_, PyAny>) -> PyResult<Self> {
        if scope_of(task)?.is_none() {
            return Ok(Self::Bare);
        }
        let scope = CancelScope::unlimited(task.py(), true)?;
        CancelScope::enter(&scope)?;
        Ok(Self::Scoped(OwnedRef::of(&scope)))
    }

    /// Ends the shield; returns the error that was thrown in.
    #[inline]
    pub(super) fn end(self, py: Python<'_>, input: PyResult<Bound<'_, PyAny>>) -> PyResult<()> {
        if let Self::Scoped(scope) = self {
            let error = input.as_ref().err().map(|error| error.value(py).as_any());
            // Nobody cancels this scope, so it swallows nothing.
            CancelScope::exit(scope.bind(py), error)?;
        }
        input.map(drop)
    }

    pub(super) fn traverse(&self, visitor: &Visitor<'_>) {
        if let Self::Scoped(scope) = self {
            visitor.show_owned(scope);
        }
    }
}
