//! Frames that keep alive what an exception left by, as asyncio's frames in its traceback do.
//!
//! An exception that ends a program leaves through frames of asyncio whose variables are the task that raised it and the
//! main task. So these outlive the report of the exception, and what they have to say comes after it.

use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::capi::asyncio_code;
use crate::capi::memory;

/// The function of asyncio that an exception leaves by.
#[derive(Clone, Copy)]
pub enum Frame {
    /// Of the loop, with the handle of a task's step.
    Step,
    /// Of the runner, with the main task.
    Runner,
}

impl Frame {
    /// Its name, and that of the function that it calls.
    const fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::Step => ("Handle._run", "run"),
            Self::Runner => ("Runner.run", "run_until_complete"),
        }
    }

    /// A function of that file, line and name that raises what it is given.
    fn function(self, py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
        static CELLS: [PyOnceLock<Py<PyAny>>; 2] = [PyOnceLock::new(), PyOnceLock::new()];
        let make = || {
            let (name, called) = self.place();
            let missing = || PyErr::new::<pyo3::exceptions::PyLookupError, _>(());
            let summary = asyncio_code::summary(py, name, called).ok_or_else(missing)?;
            let line_number: usize = summary.getattr(name!("lineno"))?.extract()?;
            let blank = "\n".repeat(line_number.saturating_sub(1));
            let name = name.rsplit('.').next().unwrap_or(name);
            // The list is empty afterwards: the frame does not refer to the exception.
            let source = format!("{blank}def {name}(self, errors): raise errors.pop()\n");
            let builtins = crate::capi::modules::module(py, name!("builtins"))?;
            let file = summary.getattr(name!("filename"))?;
            let code = builtins.call_method1(name!("compile"), (source, file, name!("exec")))?;
            let namespace = memory::dict(py)?;
            builtins.call_method1(name!("exec"), (code, &namespace))?;
            namespace.as_any().get_item(name).map(Bound::unbind)
        };
        Ok(CELLS[self as usize].get_or_try_init(py, make)?.bind(py))
    }
}

/// `error` with an entry in its traceback that keeps `kept`, if it is one that ends a program.
#[cold]
#[inline(never)]
#[must_use]
pub fn left_by(frame: Frame, kept: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    let py = kept.py();
    if !error.is_instance_of::<PySystemExit>(py) && !error.is_instance_of::<PyKeyboardInterrupt>(py) {
        return error;
    }
    let value = error.value(py).clone();
    let context = value.getattr(name!("__context__"));
    let left = memory::catch_no_memory(py, || {
        // Up to 3.11 the traceback is beside the exception.
        value.setattr(name!("__traceback__"), error.traceback(py))?;
        let errors = memory::list(py, [&value])?;
        Ok(frame.function(py)?.call1((kept, errors)).err())
    });
    if let Ok(context) = context {
        let _ = value.setattr(name!("__context__"), context);
    }
    match left {
        Ok(Some(left)) if left.value(py).is(&value) => {
            let _ = value.setattr(name!("__traceback__"), left.traceback(py));
            left
        }
        _ => error,
    }
}
