//! `CancelScope.__enter__`.

use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::objects::current::{CurrentTaskCall, get_running_loop, running_task};
use ferrio_cpython::objects::future::future_like;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;

use super::{CancelScope, any_scope, delivery};
use crate::anyio::task_states::{TaskState, scope_in, set_scope_in, set_state, state_of};

impl CancelScope {
    /// Makes the scope the current one of the running task.
    pub(crate) fn enter(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.is_active(py) {
            let text = "Each CancelScope may only be used for a single 'with' block";
            return Err(ferrio_cpython::error::<PyRuntimeError>(text));
        }
        let owner = get_running_loop(py)?;
        let Some(task) = running_task(py, &owner, CurrentTaskCall::WithoutLoop)? else {
            return Err(ferrio_cpython::error::<PyTypeError>("cannot create weak reference to 'NoneType' object"));
        };
        let before = this.inner.with(py, |inner| inner.host.replace(OwnedRef::of(&task)));
        drop(before);
        this.tasks.add(&task)?;
        match state_of(&task)? {
            None => {
                let state = Bound::new(py, TaskState::new(None, slf.as_any()))?;
                set_state(&task, state.as_any())?;
            }
            Some(state) => {
                let parent = scope_in(&state)?;
                set_scope_in(&state, Some(slf.as_any()))?;
                if let Some(parent) = &parent {
                    any_scope::add_child(parent, slf.as_any())?;
                    // A task that was started eagerly is not there yet.
                    any_scope::discard_task(parent, &task)?;
                }
                let before =
                    this.inner.with(py, |inner| std::mem::replace(&mut inner.parent, parent.map(OwnedRef::from)));
                drop(before);
            }
        }
        Self::set_timer(slf)?;
        let cancelling = future_like::cancelling(&task)?;
        let cancel_called = this.inner.with(py, |inner| {
            inner.active = true;
            inner.cancelling_at_enter = cancelling;
            inner.cancel_called
        });
        if cancel_called {
            delivery::deliver(slf, slf.as_any())?;
        }
        Ok(())
    }
}
