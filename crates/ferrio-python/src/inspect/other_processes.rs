//! What attaching to another process needs of the system.

use std::path::PathBuf;

use ferrio_sys::{interruption, program_section as sections};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::event_loop::exception_handler;

/// Interrupts the wait of the main thread of the process `pid`, so that it does what `sys.remote_exec` has asked for.
///
/// Raises `OSError` if that is not possible.
#[pyfunction]
#[pyo3(name = "_interrupt_wait")]
pub(crate) fn interrupt_wait(py: Python<'_>, pid: i32) -> PyResult<()> {
    py.detach(|| interruption::interrupt(pid)).map_err(|error| exception_handler::from_io(&error))
}

/// The section `name` of a program or library, or None. Raises `OSError`.
#[pyfunction]
#[pyo3(name = "_program_section")]
pub(crate) fn program_section<'py>(
    py: Python<'py>,
    file: PathBuf,
    name: &[u8],
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let found = sections::read(&file, name).map_err(|error| exception_handler::from_io(&error))?;
    Ok(found.map(|bytes| PyBytes::new(py, &bytes)))
}
