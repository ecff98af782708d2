//! Operations on any scope: ferrio's own, or one of anyio's class, by the attributes that anyio's own code uses.
//!
//! Both kinds occur in one tree: scopes that were there before `install()`, those of code that names anyio's class, and
//! those entered after `uninstall()`.

use pyo3::prelude::*;

use super::CancelScope;
use super::delivery;

/// The scope, if it is ferrio's.
#[inline]
pub(crate) fn own<'a, 'py>(scope: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, CancelScope>> {
    scope.cast_exact::<CancelScope>().ok()
}

#[inline]
pub(crate) fn is_cancel_called(scope: &Bound<'_, PyAny>) -> PyResult<bool> {
    match own(scope) {
        Some(own) => Ok(own.get().inner.with(scope.py(), |inner| inner.cancel_called)),
        None => scope.getattr(pyo3::intern!(scope.py(), "cancel_called"))?.is_truthy(),
    }
}

#[inline]
pub(crate) fn is_shielded(scope: &Bound<'_, PyAny>) -> PyResult<bool> {
    match own(scope) {
        Some(own) => Ok(own.get().inner.with(scope.py(), |inner| inner.shield)),
        None => scope.getattr(pyo3::intern!(scope.py(), "shield"))?.is_truthy(),
    }
}

#[inline]
pub(crate) fn parent<'py>(scope: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = scope.py();
    match own(scope) {
        Some(own) => Ok(own.get().parent(py)),
        None => unless_none(scope.getattr(pyo3::intern!(py, "_parent_scope"))?),
    }
}

/// The task that entered the scope.
#[inline]
pub(crate) fn host<'py>(scope: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = scope.py();
    match own(scope) {
        Some(own) => Ok(own.get().host(py)),
        None => unless_none(scope.getattr(pyo3::intern!(py, "_host_task"))?),
    }
}

/// The message of its cancellations.
pub(super) fn reason<'py>(scope: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = scope.py();
    match own(scope) {
        Some(own) => Ok(own.get().reason(py)),
        None => scope.getattr(name!("_cancel_reason")),
    }
}

/// Whether its cancellation is being delivered turn after turn.
pub(super) fn is_delivering(scope: &Bound<'_, PyAny>) -> PyResult<bool> {
    match own(scope) {
        Some(own) => Ok(own.get().inner.with(scope.py(), |inner| inner.delivery.is_some())),
        None => Ok(!scope.getattr(name!("_cancel_handle"))?.is_none()),
    }
}

#[inline]
pub(crate) fn add_task<'py>(scope: &Bound<'py, PyAny>, task: &Bound<'py, PyAny>) -> PyResult<()> {
    match own(scope) {
        Some(own) => own.get().tasks.add(task),
        None => changed(scope, "_tasks", "add", task),
    }
}

#[inline]
pub(crate) fn discard_task<'py>(scope: &Bound<'py, PyAny>, task: &Bound<'py, PyAny>) -> PyResult<()> {
    match own(scope) {
        Some(own) => own.get().tasks.discard(task).map(drop),
        None => changed(scope, "_tasks", "discard", task),
    }
}

#[inline]
pub(crate) fn remove_task<'py>(scope: &Bound<'py, PyAny>, task: &Bound<'py, PyAny>) -> PyResult<()> {
    match own(scope) {
        Some(own) => own.get().tasks.remove(task),
        None => changed(scope, "_tasks", "remove", task),
    }
}

#[inline]
pub(super) fn add_child<'py>(scope: &Bound<'py, PyAny>, child: &Bound<'py, PyAny>) -> PyResult<()> {
    match own(scope) {
        Some(own) => own.get().children.add(child),
        None => changed(scope, "_child_scopes", "add", child),
    }
}

#[inline]
pub(super) fn remove_child<'py>(scope: &Bound<'py, PyAny>, child: &Bound<'py, PyAny>) -> PyResult<()> {
    match own(scope) {
        Some(own) => own.get().children.remove(child),
        None => changed(scope, "_child_scopes", "remove", child),
    }
}

pub(super) fn discard_child<'py>(scope: &Bound<'py, PyAny>, child: &Bound<'py, PyAny>) -> PyResult<()> {
    match own(scope) {
        Some(own) => own.get().children.discard(child).map(drop),
        None => changed(scope, "_child_scopes", "discard", child),
    }
}

/// Adds to the cancellations of its host that the scope has to take back.
pub(super) fn owe_uncancellations(scope: &Bound<'_, PyAny>, count: u32) -> PyResult<()> {
    let py = scope.py();
    if let Some(own) = own(scope) {
        own.get().inner.with(py, |inner| inner.pending_uncancellations += count);
        return Ok(());
    }
    let name = pyo3::intern!(py, "_pending_uncancellations");
    scope.setattr(name, scope.getattr(name)?.add(count)?)
}

/// `__enter__()`.
#[inline]
pub(crate) fn enter(scope: &Bound<'_, PyAny>) -> PyResult<()> {
    match own(scope) {
        Some(own) => CancelScope::enter(own),
        None => scope.call_method0(name!("__enter__")).map(drop),
    }
}

/// `__exit__()` with the exception that ended the block.
#[inline]
pub(crate) fn exit<'py>(scope: &Bound<'py, PyAny>, raised: Option<&Bound<'py, PyAny>>) -> PyResult<bool> {
    if let Some(own) = own(scope) {
        return CancelScope::exit(own, raised);
    }
    let py = scope.py();
    let (class, traceback) = match raised {
        Some(raised) => (Some(raised.get_type()), Some(raised.getattr(name!("__traceback__"))?)),
        None => (None, None),
    };
    scope.call_method1(pyo3::intern!(py, "__exit__"), (class, raised, traceback))?.is_truthy()
}

/// `cancel()`.
pub(crate) fn cancel(scope: &Bound<'_, PyAny>) -> PyResult<()> {
    match own(scope) {
        Some(own) => CancelScope::cancel_for(own, None),
        None => scope.call_method0(name!("cancel")).map(drop),
    }
}

/// `_deliver_cancellation(origin)`.
pub(super) fn deliver<'py>(scope: &Bound<'py, PyAny>, origin: &Bound<'py, PyAny>) -> PyResult<bool> {
    match own(scope) {
        Some(own) => delivery::deliver(own, origin),
        None => scope.call_method1(name!("_deliver_cancellation"), (origin,))?.is_truthy(),
    }
}

/// Whether the scope is cancelled, or one around it that no shield hides.
#[inline]
pub(crate) fn is_effectively_cancelled(scope: &Bound<'_, PyAny>) -> PyResult<bool> {
    let mut scope = scope.clone();
    loop {
        if is_cancel_called(&scope)? {
            return Ok(true);
        }
        if is_shielded(&scope)? {
            return Ok(false);
        }
        match parent(&scope)? {
            Some(outer) => scope = outer,
            None => return Ok(false),
        }
    }
}

fn changed<'py>(scope: &Bound<'py, PyAny>, set: &str, method: &str, member: &Bound<'py, PyAny>) -> PyResult<()> {
    scope.getattr(set)?.call_method1(method, (member,)).map(drop)
}

fn unless_none(object: Bound<'_, PyAny>) -> PyResult<Option<Bound<'_, PyAny>>> {
    Ok(Some(object).filter(|object| !object.is_none()))
}
