//! anyio's `_task_states`: for each task its current scope and the identity of its parent.
//!
//! anyio keeps them in a dictionary with weak keys; here a ferrio task has its state in its annex, and only other tasks
//! are in the dictionary. `python/ferrio/_anyio.py` makes anyio's dictionary look in the annex too, for anyio's own code.

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::objects::task::task_like::{Annex, annex, replace_annex};
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::backend;

/// What anyio knows of a task; anyio's own class serves as well.
#[pyclass(frozen, weakref, module = "anyio._backends._asyncio")]
pub(crate) struct TaskState {
    inner: GilCell<Inner>,
}

struct Inner {
    parent: Parent,
    scope: Option<OwnedRef>,
}

/// The attribute `parent_id`.
enum Parent {
    None,
    /// Its identity.
    Known(usize),
    /// What Python code has set.
    Other(OwnedRef),
}

impl TaskState {
    /// The state of a task in `scope` whose parent is `parent`, if that is known.
    pub(crate) fn new(parent: Option<&Bound<'_, PyAny>>, scope: &Bound<'_, PyAny>) -> Self {
        let parent = parent.map_or(Parent::None, |parent| Parent::Known(parent.as_ptr() as usize));
        Self { inner: GilCell::new(Inner { parent, scope: Some(OwnedRef::of(scope)) }) }
    }
}

#[pymethods]
impl TaskState {
    #[getter]
    fn parent_id<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (known, other) = self.inner.with(py, |inner| match &inner.parent {
            Parent::None => (None, None),
            Parent::Known(identity) => (Some(*identity), None),
            Parent::Other(other) => (None, Some(other.bind(py).clone())),
        });
        match (known, other) {
            (Some(identity), _) => Ok(identity.into_pyobject(py)?.into_any()),
            (None, other) => Ok(other.unwrap_or_else(|| py.None().into_bound(py))),
        }
    }

    #[setter]
    fn set_parent_id(&self, value: Bound<'_, PyAny>) {
        let py = value.py();
        let before =
            self.inner.with(py, |inner| std::mem::replace(&mut inner.parent, Parent::Other(OwnedRef::from(value))));
        drop(before);
    }

    #[getter]
    fn cancel_scope<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.inner.with(py, |inner| inner.scope.as_ref().map(|scope| scope.bind(py).clone()))
    }

    #[setter]
    fn set_cancel_scope(&self, py: Python<'_>, scope: Option<Bound<'_, PyAny>>) {
        let before = self.inner.with(py, |inner| std::mem::replace(&mut inner.scope, scope.map(OwnedRef::from)));
        drop(before);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let outcome = self.inner.traverse(&visit, |inner| {
            if let Parent::Other(other) = &inner.parent {
                other.traverse(&visit)?;
            }
            inner.scope.as_ref().map_or(Ok(()), |scope| scope.traverse(&visit))
        });
        outcome.unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        let before =
            self.inner.with(py, |inner| (std::mem::replace(&mut inner.parent, Parent::None), inner.scope.take()));
        drop(before);
    }
}

/// The state of a task, if anyio knows it.
#[inline]
pub(crate) fn state_of<'py>(task: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    match annex(task) {
        Annex::Kept(state) => Ok(Some(state)),
        Annex::None => Ok(None),
        Annex::Elsewhere => {
            let found = backend::task_states(task.py())?.call_method1(name!("get"), (task,))?;
            Ok(Some(found).filter(|found| !found.is_none()))
        }
    }
}

/// `_task_states[task] = state`.
#[inline]
pub(crate) fn set_state<'py>(task: &Bound<'py, PyAny>, state: &Bound<'py, PyAny>) -> PyResult<()> {
    if let Annex::Elsewhere = annex(task) {
        return backend::task_states(task.py())?.set_item(task, state);
    }
    drop(replace_annex(task, Some(state.clone())));
    Ok(())
}

/// `del _task_states[task]`.
#[inline]
pub(crate) fn delete_state(task: &Bound<'_, PyAny>) -> PyResult<()> {
    if let Annex::Elsewhere = annex(task) {
        return backend::task_states(task.py())?.del_item(task);
    }
    match replace_annex(task, None) {
        Some(_) => Ok(()),
        None => Err(ferrio_cpython::error::<PyKeyError>((task.clone().unbind(),))),
    }
}

/// Sets the identity of the parent in a state.
pub(crate) fn set_parent(state: &Bound<'_, PyAny>, parent: usize) -> PyResult<()> {
    let py = state.py();
    if let Ok(native) = state.cast_exact::<TaskState>() {
        let before = native.get().inner.with(py, |inner| std::mem::replace(&mut inner.parent, Parent::Known(parent)));
        drop(before);
        return Ok(());
    }
    state.setattr(pyo3::intern!(py, "parent_id"), parent)
}

/// The current scope in a state.
#[inline]
pub(crate) fn scope_in<'py>(state: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if let Ok(native) = state.cast_exact::<TaskState>() {
        return Ok(native.get().cancel_scope(state.py()));
    }
    let scope = state.getattr(pyo3::intern!(state.py(), "cancel_scope"))?;
    Ok(Some(scope).filter(|scope| !scope.is_none()))
}

/// Makes `scope` the current one in a state.
#[inline]
pub(crate) fn set_scope_in<'py>(state: &Bound<'py, PyAny>, scope: Option<&Bound<'py, PyAny>>) -> PyResult<()> {
    if let Ok(native) = state.cast_exact::<TaskState>() {
        native.get().set_cancel_scope(state.py(), scope.cloned());
        return Ok(());
    }
    state.setattr(pyo3::intern!(state.py(), "cancel_scope"), scope)
}

/// The current scope of a task.
#[inline]
pub(crate) fn scope_of<'py>(task: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    match state_of(task)? {
        Some(state) => scope_in(&state),
        None => Ok(None),
    }
}

/// The state in the annex of a ferrio task: `missing` where it has none, `elsewhere` for any other object.
#[pyfunction]
#[pyo3(name = "_anyio_task_state")]
pub(crate) fn task_state<'py>(
    task: &Bound<'py, PyAny>,
    missing: Bound<'py, PyAny>,
    elsewhere: Bound<'py, PyAny>,
) -> Bound<'py, PyAny> {
    match annex(task) {
        Annex::Kept(state) => state,
        Annex::None => missing,
        Annex::Elsewhere => elsewhere,
    }
}

/// Sets the state in the annex of a ferrio task, or removes it (None); returns whether it is such a task.
#[pyfunction]
#[pyo3(name = "_anyio_set_task_state")]
pub(crate) fn set_task_state(task: &Bound<'_, PyAny>, state: Option<Bound<'_, PyAny>>) -> PyResult<bool> {
    if let Annex::Elsewhere = annex(task) {
        return Ok(false);
    }
    let state = state.map(natively).transpose()?;
    drop(replace_annex(task, state));
    Ok(true)
}

/// A state of anyio's class as a native one: anyio makes them for a table and does not keep them.
fn natively(state: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    let py = state.py();
    let Ok(class) = backend::class(py, |classes| &classes.task_state) else { return Ok(state) };
    if !state.get_type().is(&class) {
        return Ok(state);
    }
    let (parent, scope) = (state.getattr(name!("parent_id"))?, state.getattr(name!("cancel_scope"))?);
    let parent = if parent.is_none() { Parent::None } else { Parent::Other(parent.into()) };
    let scope = Some(scope).filter(|scope| !scope.is_none()).map(OwnedRef::from);
    Ok(Bound::new(py, TaskState { inner: GilCell::new(Inner { parent, scope }) })?.into_any())
}
