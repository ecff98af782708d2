//! asyncio's private attributes that tools read of a loop, read-only.

use pyo3::prelude::*;

use super::LoopBase;

#[pymethods]
#[pyo3(crate = "crate::capi::pyo3_trampolines::bindings")]
impl LoopBase {
    #[getter]
    fn _closed(&self) -> bool {
        self.closed.get()
    }

    #[getter]
    fn _stopping(&self) -> bool {
        self.stopping.get()
    }

    #[getter]
    fn _thread_id(&self) -> Option<u64> {
        self.thread()
    }

    #[getter]
    fn _debug(&self) -> bool {
        self.debug.get()
    }

    #[setter(_debug)]
    fn replace_debug(&self, enabled: bool) {
        self.set_debug(enabled);
    }

    fn _check_closed(&self) -> PyResult<()> {
        self.check_open()
    }

    /// What is ready, in its order: handles, and what needs none, as the task whose next step it is.
    #[getter]
    fn _ready<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyAny>> {
        self.queue.with(py, |queue| queue.iter().map(|runnable| runnable.subject(py)).collect())
    }

    /// The timers that wait, in no order.
    #[getter]
    fn _scheduled<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyAny>> {
        self.timers.with(py, |timers| timers.iter().map(|handle| handle.clone_ref(py).bind(py)).collect())
    }
}
