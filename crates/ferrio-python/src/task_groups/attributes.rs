//! Private attributes of asyncio's task group that programs and libraries use.

use pyo3::prelude::*;

use super::group::TaskGroup;

/// Defines a getter and a setter for each field: `read` and `write` are their names in Rust, `name` is the attribute.
macro_rules! attributes {
    ($($name:literal $read:ident $write:ident $field:ident: $kind:ty;)*) => {
        #[pymethods]
        impl TaskGroup {$(
            #[getter($name)]
            fn $read(&self, py: Python<'_>) -> $kind {
                self.state.with(py, |state| shown(py, &state.$field))
            }

            #[setter($name)]
            fn $write(&self, py: Python<'_>, value: $kind) {
                let _before = self.state.with(py, |state| std::mem::replace(&mut state.$field, value));
            }
        )*}
    };
}

attributes! {
    "_entered" shown_entered set_entered entered: bool;
    "_exiting" shown_exiting set_exiting exiting: bool;
    "_aborting" shown_aborting set_aborting aborting: bool;
    "_parent_cancel_requested" shown_parent_cancel_requested set_parent_cancel_requested parent_cancel_requested: bool;
    "_cancel_on_enter" shown_cancel_on_enter set_cancel_on_enter cancel_on_enter: bool;
    "_loop" shown_owner set_owner owner: Option<Py<PyAny>>;
    "_parent_task" shown_parent set_parent parent: Option<Py<PyAny>>;
    "_tasks" shown_tasks set_tasks tasks: Py<PyAny>;
    "_errors" shown_errors set_errors errors: Option<Py<PyAny>>;
    "_base_error" shown_base_error set_base_error base_error: Option<Py<PyAny>>;
    "_on_completed_fut" shown_completed set_completed completed: Option<Py<PyAny>>;
}

/// Creates a second reference to the object in a field.
trait Shown {
    fn shown(&self, py: Python<'_>) -> Self;
}

impl Shown for bool {
    fn shown(&self, _: Python<'_>) -> Self {
        *self
    }
}

impl Shown for Py<PyAny> {
    fn shown(&self, py: Python<'_>) -> Self {
        self.clone_ref(py)
    }
}

impl Shown for Option<Py<PyAny>> {
    fn shown(&self, py: Python<'_>) -> Self {
        self.as_ref().map(|object| object.clone_ref(py))
    }
}

fn shown<T: Shown>(py: Python<'_>, field: &T) -> T {
    field.shown(py)
}
