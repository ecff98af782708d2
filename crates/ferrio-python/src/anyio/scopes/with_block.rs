//! `CancelScope.__enter__` and `__exit__`, which need no `PyO3` wrapper.

use std::ffi::CStr;

use ferrio_cpython::objects::native_methods::{self, Method};
use pyo3::prelude::*;

use super::CancelScope;
use crate::locks::boolean;

/// Adds the methods.
pub(crate) fn add_methods(py: Python<'_>) -> PyResult<()> {
    native_methods::add::<0, Enter>(py)?;
    native_methods::add::<3, Exit>(py)
}

struct Enter;

impl Method<0> for Enter {
    type Class = CancelScope;
    const NAME: &'static CStr = c"__enter__";
    const TEXT: &'static str = "CancelScope.__enter__";
    const DOC: &'static CStr = c"__enter__($self)\n--\n\nMake the scope the current one of the running task.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, CancelScope>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        CancelScope::enter(slf)?;
        Ok(slf.clone().into_any().unbind())
    }
}

struct Exit;

impl Method<3> for Exit {
    type Class = CancelScope;
    const NAME: &'static CStr = c"__exit__";
    const TEXT: &'static str = "CancelScope.__exit__";
    const DOC: &'static CStr = c"__exit__($self, exc_type, exc_val, exc_tb)\n--\n\nEnd the scope.";
    const ARGUMENTS: [&'static str; 3] = ["exc_type", "exc_val", "exc_tb"];

    fn call<'py>(slf: &Bound<'py, CancelScope>, [_, raised, _]: [Bound<'py, PyAny>; 3]) -> PyResult<Py<PyAny>> {
        let raised = (!raised.is_none()).then_some(&raised);
        Ok(boolean(slf.py(), CancelScope::exit(slf, raised)?).unbind())
    }
}
