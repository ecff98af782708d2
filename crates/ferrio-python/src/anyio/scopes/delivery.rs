//! How a cancelled scope cancels its tasks: again in every turn, as long as one is left that may be cancelled.
//!
//! As in anyio, a task is passed over that has not begun, or that is about to run anyway, and scopes inside that are
//! shielded or cancelled themselves are left alone.

use ferrio_cpython::LoopBase;
use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::objects::current::{CurrentTaskCall, get_running_loop, running_task};
use ferrio_cpython::objects::future::future_like;
use ferrio_cpython::objects::handle::HandleRef;
use ferrio_cpython::objects::task::task_like;
use pyo3::prelude::*;

use super::{CancelScope, any_scope};
use crate::common::timer::Timer;

/// `_deliver_cancellation`: cancels what is in `scope` because of `origin`; returns whether that has to be repeated.
pub(super) fn deliver<'py>(scope: &Bound<'py, CancelScope>, origin: &Bound<'py, PyAny>) -> PyResult<bool> {
    let py = scope.py();
    let owner = get_running_loop(py)?;
    let current = running_task(py, &owner, CurrentTaskCall::WithoutLoop)?;
    let again = deliver_in(scope, origin, current.as_ref())?;
    if scope.as_any().is(origin) {
        let next = if again { Some(next_turn(scope, &owner)?) } else { None };
        let before = scope.get().inner.with(py, |inner| std::mem::replace(&mut inner.delivery, next));
        drop(before);
    }
    Ok(again)
}

/// Goes through the scopes inside without recursion: programs may nest them in any depth.
fn deliver_in<'py>(
    outermost: &Bound<'py, CancelScope>,
    origin: &Bound<'py, PyAny>,
    current: Option<&Bound<'py, PyAny>>,
) -> PyResult<bool> {
    let py = outermost.py();
    let mut again = deliver_to_tasks(outermost, origin, current)?;
    let mut scopes = outermost.get().children.each(py)?;
    scopes.reverse();
    while let Some(scope) = scopes.pop() {
        if any_scope::is_shielded(&scope)? || any_scope::is_cancel_called(&scope)? {
            continue;
        }
        let Some(own) = any_scope::own(&scope) else {
            again |= any_scope::deliver(&scope, origin)?;
            continue;
        };
        again |= deliver_to_tasks(own, origin, current)?;
        let children = own.get().children.each(py)?;
        scopes.try_reserve(children.len()).map_err(|_| memory::out_of_memory(py))?;
        scopes.extend(children.into_iter().rev());
    }
    Ok(again)
}

/// Cancels the tasks of one scope that may be cancelled; returns whether any is left.
fn deliver_to_tasks<'py>(
    scope: &Bound<'py, CancelScope>,
    origin: &Bound<'py, PyAny>,
    current: Option<&Bound<'py, PyAny>>,
) -> PyResult<bool> {
    let py = scope.py();
    let mut again = false;
    for task in scope.get().tasks.each(py)? {
        if future_like::is_done(&task)? {
            continue;
        }
        again = true;
        if task_like::must_cancel(&task)? || current.is_some_and(|current| current.is(&task)) {
            continue;
        }
        let is_host = scope.get().host(py).is_some_and(|host| host.is(&task));
        if (is_host || task_like::has_started(&task)?) && task_like::can_be_woken(&task)? {
            task_like::cancel(&task, &any_scope::reason(origin)?)?;
            if any_scope::host(origin)?.is_some_and(|host| host.is(&task)) {
                any_scope::owe_uncancellations(origin, 1)?;
            }
        }
    }
    Ok(again)
}

/// Schedules the next delivery.
fn next_turn<'py>(scope: &Bound<'py, CancelScope>, owner: &Bound<'py, PyAny>) -> PyResult<Timer> {
    if let Ok(ours) = owner.cast::<LoopBase>()
        && LoopBase::takes_alarms(ours)?
    {
        return Ok(Timer::Ours(HandleRef::alarm_soon(ours, scope.as_any(), repeat)?));
    }
    let method = scope.getattr(name!("_deliver_cancellation"))?;
    Ok(Timer::Foreign(OwnedRef::from(owner.call_method1(name!("call_soon"), (method, scope))?)))
}

fn repeat(scope: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    deliver(scope.cast::<CancelScope>()?, scope).map(drop)
}

/// `_restart_cancellation_in_parent`: makes the nearest cancelled scope around `scope` deliver again.
#[inline]
pub(super) fn restart_in_parent(scope: &Bound<'_, CancelScope>) -> PyResult<()> {
    let mut next = scope.get().parent(scope.py());
    while let Some(outer) = next {
        if any_scope::is_cancel_called(&outer)? {
            if !any_scope::is_delivering(&outer)? {
                any_scope::deliver(&outer, &outer)?;
            }
            return Ok(());
        }
        // A shield hides what lies beyond it.
        if any_scope::is_shielded(&outer)? {
            return Ok(());
        }
        next = any_scope::parent(&outer)?;
    }
    Ok(())
}
