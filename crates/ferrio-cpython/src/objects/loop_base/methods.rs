//! What Python sees of `LoopBase`: attributes, how they are set, and the collector's visits.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyString};
use pyo3::{PyTraverseError, PyVisit};

use super::{CallSoon, LoopBase};
use crate::objects::task_factory::Factory;

#[pymethods]
#[pyo3(crate = "crate::capi::pyo3_trampolines::bindings")]
impl LoopBase {
    /// In debug mode, a callback that takes at least this many seconds is logged.
    #[getter]
    pub(super) fn slow_callback_duration(&self, py: Python<'_>) -> Py<PyAny> {
        let given = self.slow_callback_duration.with(py, |given| given.as_ref().map(|given| given.clone_ref(py)));
        given.unwrap_or_else(|| PyFloat::new(py, 0.1).into_any().unbind())
    }

    #[setter]
    fn set_slow_callback_duration(&self, py: Python<'_>, seconds: Py<PyAny>) {
        let before = self.slow_callback_duration.with(py, |given| given.replace(seconds));
        drop(before);
    }

    #[getter]
    fn _current_handle<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.current_handle(py)
    }

    /// The object's address, as everywhere. asyncio asks for it when it looks for the running task.
    fn __hash__(slf: &Bound<'_, Self>) -> PyResult<isize> {
        Self::flush_current_task(slf)?;
        Ok(slf.as_ptr().addr().rotate_right(4).cast_signed())
    }

    fn __setattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        set_attribute(slf, name, value.as_ptr())
    }

    fn __delattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>) -> PyResult<()> {
        set_attribute(slf, name, std::ptr::null_mut())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let ready = self.queue.traverse(&visit, |queue| queue.iter().try_for_each(|item| item.traverse(&visit)));
        ready.transpose()?;
        let timers =
            self.timers.traverse(&visit, |timers| timers.iter().try_for_each(|handle| handle.traverse(&visit)));
        timers.transpose()?;
        self.slow_callback_duration.traverse(&visit, |given| visit.call(given)).transpose()?;
        self.running.traverse(&visit)?;
        self.simulator
            .traverse(&visit, |place| place.as_ref().map(|this| this.traverse(&visit)))
            .flatten()
            .transpose()?;
        self.task_factory.traverse(&visit)?;
        self.shared_context.traverse(&visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        self.task_factory.set(py, Factory::None, None);
        self.simulate(py, None);
        let before = self.slow_callback_duration.with(py, Option::take);
        drop(before);
        self.clear_scheduled(py);
    }
}

/// `object.__setattr__`; notices when the clock or a scheduling method is patched.
fn set_attribute(slf: &Bound<'_, LoopBase>, name: &Bound<'_, PyString>, value: *mut ffi::PyObject) -> PyResult<()> {
    // SAFETY: live objects; a null value means deletion.
    let outcome = unsafe { ffi::PyObject_GenericSetAttr(slf.as_ptr(), name.as_ptr(), value) };
    if outcome < 0 {
        return Err(PyErr::fetch(slf.py()));
    }
    match name.to_str()? {
        "time" | "call_at" | "call_later" => slf.get().invalidate_time_source(slf.py()),
        "call_soon" => slf.get().call_soon.set(slf.py(), CallSoon::Unknown),
        "call_soon_threadsafe"
        | "create_task"
        | "create_future"
        | "run_in_executor"
        | "sock_connect"
        | "sock_sendfile" => {}
        _ => return Ok(()),
    }
    slf.get().patched.set(true);
    Ok(())
}
