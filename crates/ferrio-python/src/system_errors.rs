//! Errors of the system as Python raises them: `OSError(errno, strerror)`, which picks the subclass by the number.

use std::io;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

/// The exception that Python's own modules raise for `error`.
#[cold]
pub(crate) fn os_error(py: Python<'_>, error: io::Error) -> PyErr {
    match error.raw_os_error() {
        Some(number) => from_number(py, number).unwrap_or_else(|failure| failure),
        None => error.into(),
    }
}

fn from_number(py: Python<'_>, number: i32) -> PyResult<PyErr> {
    // The system's text as Python decodes it; Rust's own adds the number to it.
    let text = py.import("os")?.call_method1("strerror", (number,))?;
    Ok(PyErr::from_value(py.get_type::<PyOSError>().call1((number, text))?))
}
