//! `Condition._check_acquired`: whether the running task holds the condition's lock. anyio's own makes statistics of the
//! lock and descriptions of two tasks for each comparison.

use std::ffi::CStr;

use ferrio_cpython::capi::exact_type::ExactType;
use ferrio_cpython::objects::native_methods::Method;
use pyo3::prelude::*;

use super::lock;
use super::originals::{self, Methods};
use super::scopes_of_tasks::running_task;

/// anyio's class.
pub(super) static CLASS: ExactType = ExactType::new();

pub(super) fn replace(methods: &Methods<'_, '_>) -> PyResult<()> {
    methods.replace::<0, CheckAcquired>()
}

struct CheckAcquired;

impl Method<0> for CheckAcquired {
    type Class = PyAny;
    const NAME: &'static CStr = c"_check_acquired";
    const TEXT: &'static str = "Condition._check_acquired";
    const DOC: &'static CStr = c"_check_acquired($self)\n--\n\nRaise an error unless the running task holds the lock.";
    const ARGUMENTS: [&'static str; 0] = [];

    fn call<'py>(slf: &Bound<'py, PyAny>, _: [Bound<'py, PyAny>; 0]) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let inner = slf.getattr(pyo3::intern!(py, "_lock"))?;
        if lock::CLASS.is_exact(&inner)
            && let Some((_, task)) = running_task(py)?
            && inner.getattr(pyo3::intern!(py, "_owner_task"))?.is(&task)
        {
            return Ok(py.None());
        }
        originals::original(slf, Self::TEXT, &[]).map(Bound::unbind)
    }
}
