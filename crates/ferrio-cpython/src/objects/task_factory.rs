//! A loop's task factory: what `set_task_factory` was given, and a short path to call it.
//!
//! The loop's general `create_task` makes a dictionary of keyword arguments and a second call for each factory call;
//! where there are no keyword arguments, a factory costs no more here than on asyncio's loop (benchmark
//! `eager_gather_1000`, tasks asyncio's).

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::capi::gil_cell::GilCell;
use crate::objects::loop_base::LoopBase;
use crate::objects::task::Parts;

type Object = *mut ffi::PyObject;

/// What makes a loop's tasks.
#[derive(Clone, Copy, Default)]
pub enum Factory {
    /// The loop itself.
    #[default]
    None,
    /// ferrio's own factory of eager tasks, which need not be called.
    Eager(Naming),
    /// A program's own factory.
    Other(Naming),
}

/// How the running Python names a task that a factory makes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// The factory does it.
    EagerOutcome,
    /// The loop does it afterwards, if a name was given.
    Later,
    /// The loop does it afterwards in any case: without a name it sets `None`.
    LaterAlways,
}

/// The factory of a loop, None for the default, and its kind.
#[derive(Default)]
pub struct TaskFactory {
    kind: GilCell<Factory>,
    callable: GilCell<Option<Py<PyAny>>>,
}

impl TaskFactory {
    /// What makes the tasks.
    #[inline]
    pub fn kind(&self, py: Python<'_>) -> Factory {
        self.kind.get(py)
    }

    /// What `set_task_factory` was given.
    pub fn callable<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.callable.with(py, |callable| callable.as_ref().map(|callable| callable.bind(py).clone()))
    }

    /// Sets another factory.
    pub fn set(&self, py: Python<'_>, kind: Factory, callable: Option<Py<PyAny>>) {
        self.kind.set(py, kind);
        let before = self.callable.with(py, |place| std::mem::replace(place, callable));
        drop(before);
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.callable.traverse(visit, |callable| visit.call(callable)).transpose().map(drop)
    }
}

/// What `owner.create_task` returns with these arguments, if the program's own factory makes the task and gets only the
/// coroutine; None if it has to get a context, or a name that the loop does not set afterwards.
///
/// # Errors
/// `RuntimeError` when the loop is closed; any exception that the factory or the task's `set_name` raises.
pub(crate) fn call<'py>(owner: &Bound<'py, LoopBase>, parts: &Parts<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = owner.py();
    let Factory::Other(naming) = owner.get().task_factory.kind(py) else { return Ok(None) };
    let quick = match naming {
        // The factory takes the name and the context, and also an explicit `None`, which the parts do not record.
        Naming::EagerOutcome => false,
        Naming::Later => parts.name.is_none(),
        Naming::LaterAlways => true,
    };
    if !quick || parts.context.is_some() {
        return Ok(None);
    }
    owner.get().check_open()?;
    let task = vectorcall(owner, &[parts.coroutine.as_ptr()], std::ptr::null_mut())?;
    if let (Naming::LaterAlways, Some(task)) = (naming, &task) {
        task.call_method1(crate::intern!(py, "set_name"), (parts.name.as_ref(),))?;
    }
    Ok(task)
}

/// The same where the factory takes all arguments of `create_task`.
///
/// # Errors
/// As above.
///
/// # Safety
/// `stack`, `count` and `names` are a vectorcall's arguments, alive during the call.
pub(crate) unsafe fn pass_on<'py>(
    owner: &Bound<'py, LoopBase>,
    stack: *const Object,
    count: isize,
    names: Object,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = owner.py();
    if !matches!(owner.get().task_factory.kind(py), Factory::Other(Naming::EagerOutcome)) || count != 1 {
        return Ok(None);
    }
    owner.get().check_open()?;
    // SAFETY: null or the tuple of names, alive during the call.
    let keywords = unsafe { Bound::from_borrowed_ptr_or_opt(py, names) }.map_or(Ok(0), |names| names.len())?;
    // SAFETY: a vectorcall's stack holds the positional and then the keyword arguments.
    let given = unsafe { std::slice::from_raw_parts(stack, 1 + keywords) };
    vectorcall(owner, given, names)
}

/// `factory(owner, given[0], ...)`, with the keyword arguments named `names` last; None where there are too many, or
/// where the factory was removed.
fn vectorcall<'py>(
    owner: &Bound<'py, LoopBase>,
    given: &[Object],
    names: Object,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = owner.py();
    let mut all = [std::ptr::null_mut(); 6];
    let (Some(factory), Some(place)) = (owner.get().task_factory.callable(py), all.get_mut(1..=given.len())) else {
        return Ok(None);
    };
    place.copy_from_slice(given);
    all[0] = owner.as_ptr();
    // SAFETY: a live callable; the loop and one positional argument, then those that `names` has, all alive.
    let outcome = unsafe { ffi::PyObject_Vectorcall(factory.as_ptr(), all.as_ptr(), 2, names) };
    // SAFETY: a new reference or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, outcome) }.map(Some)
}
