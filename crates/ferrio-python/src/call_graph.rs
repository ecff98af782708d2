//! Who waits for what through other means than `await`, as 3.14 keeps it for `asyncio.capture_call_graph()`.
//!
//! Futures of ours keep their waiters themselves; asyncio is told of all others. Earlier versions keep nothing.

use ferrio_cpython::future::like;
use pyo3::prelude::*;

use crate::imports;

/// The current task, where call graphs are kept.
pub(crate) fn current_waiter(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    if imports::python_version(py) < (3, 14) {
        return Ok(None);
    }
    Ok(Some(imports::current_task(py)?).filter(|task| !task.is_none()))
}

/// Notes that `waiter` waits for `future`.
pub(crate) fn note_awaited<'py>(future: &Bound<'py, PyAny>, waiter: &Bound<'py, PyAny>) -> PyResult<()> {
    like::add_waiter(future, waiter)
}

/// Notes that `waiter` waits for `future` no more.
pub(crate) fn note_awaited_no_more<'py>(future: &Bound<'py, PyAny>, waiter: &Bound<'py, PyAny>) -> PyResult<()> {
    like::discard_waiter(future, waiter)
}
