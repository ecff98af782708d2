//! Who waits for what through other means than `await`, as 3.14 keeps it for `asyncio.capture_call_graph()`.
//!
//! Earlier versions keep nothing: there nobody waits, as far as this file is concerned.

use ferrio_cpython::current_task;
use pyo3::prelude::*;

use crate::imports;

/// The task that runs on `owner`, where call graphs are kept.
pub(crate) fn current_waiter<'py>(owner: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if imports::python_version(owner.py()) < (3, 14) { Ok(None) } else { current_task(owner) }
}
