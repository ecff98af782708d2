//! `TaskGroup.__aenter__`: finds the loop and the parent task.

use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Body, Visitor};
use ferrio_cpython::objects::current::{CurrentTaskCall, get_running_loop, running_task};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::group::TaskGroup;

/// The body of the coroutine; it never waits.
pub(super) struct Enter(pub(super) Py<TaskGroup>);

impl Body for Enter {
    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        input?;
        let group = self.0.bind(py);
        let state = &group.get().state;
        if state.with(py, |state| state.entered) {
            return Err(ferrio_cpython::error::<PyRuntimeError>(format!(
                "TaskGroup {} has already been entered",
                group.repr()?
            )));
        }
        let owner = match group.get().owner(py) {
            Some(owner) => owner,
            None => get_running_loop(py)?,
        };
        let parent = running_task(py, &owner, CurrentTaskCall::WithLoop)?;
        let found = parent.is_some();
        let before = state.with(py, |state| {
            let parent = std::mem::replace(&mut state.parent, parent.map(Bound::unbind));
            (state.owner.replace(owner.unbind()), parent)
        });
        drop(before);
        if !found {
            return Err(ferrio_cpython::error::<PyRuntimeError>(format!(
                "TaskGroup {} cannot determine the parent task",
                group.repr()?
            )));
        }
        let cancel = state.with(py, |state| {
            state.entered = true;
            state.cancel_on_enter
        });
        if cancel {
            TaskGroup::cancel_by_name(group)?;
        }
        Ok(Step::Returned(group.clone().into_any()))
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show(&self.0);
    }
}
