//! Ctrl-C during a run: the first press cancels the main task.
//!
//! Only in the main thread, and only if the default handler is set; it is restored afterwards.

use ferrio_cpython::capi::memory;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::runner::Runner;
use crate::common::imports;

/// The handling of Ctrl-C, redirected or not.
pub(super) struct Interrupts {
    handler: Option<Py<PyAny>>,
}

impl Interrupts {
    /// Makes Ctrl-C call the runner's `_on_sigint`.
    ///
    /// # Errors
    /// The exceptions of the functions of `threading` and `signal`.
    pub(super) fn redirect(runner: &Bound<'_, Runner>, task: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = runner.py();
        // Looked up in the modules each time, because programs and tests replace them.
        let threading = imports::threading_module(py)?;
        let signal = imports::signal_module(py)?;
        let not_redirected = Self { handler: None };
        if !threading.call_method0(name!("current_thread"))?.is(&threading.call_method0(name!("main_thread"))?) {
            return Ok(not_redirected);
        }
        let number = signal.getattr(name!("SIGINT"))?;
        if !signal.call_method1(name!("getsignal"), (&number,))?.is(&signal.getattr(name!("default_int_handler"))?) {
            return Ok(not_redirected);
        }
        let keywords = memory::dict(py)?;
        keywords.set_item(name!("main_task"), task)?;
        let on_sigint = runner.getattr(name!("_on_sigint"))?;
        let handler = imports::partial(py)?.call((on_sigint,), Some(&keywords))?;
        match signal.call_method1(name!("signal"), (number, &handler)) {
            Ok(_) => Ok(Self { handler: Some(handler.unbind()) }),
            // The main thread of an embedded interpreter may not support signals.
            Err(error) if error.is_instance_of::<PyValueError>(py) => Ok(not_redirected),
            Err(error) => Err(error),
        }
    }

    /// Restores the previous handler, unless another one was set in the meantime.
    ///
    /// # Errors
    /// The exceptions of the functions of `signal`.
    pub(super) fn put_back(&self, py: Python<'_>) -> PyResult<()> {
        let Some(handler) = &self.handler else { return Ok(()) };
        let signal = imports::signal_module(py)?;
        let number = signal.getattr(name!("SIGINT"))?;
        if signal.call_method1(name!("getsignal"), (&number,))?.is(handler) {
            signal.call_method1(name!("signal"), (number, signal.getattr(name!("default_int_handler"))?))?;
        }
        Ok(())
    }
}
