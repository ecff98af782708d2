//! What `python -m ferrio` needs from the extension before it runs a program.

use ferrio_cpython::capi::program_frames;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// Leaves the frames of the command line's `file` and those below them out of the stacks of debug mode.
#[pyfunction]
#[pyo3(name = "_hide_frames")]
pub(crate) fn hide_frames(file: &Bound<'_, PyString>) -> PyResult<()> {
    program_frames::hide(file, wrap_pyfunction!(warn_unawaited, file.py())?.into_any())
}

/// In the place of `warnings._warn_unawaited_coroutine`.
#[pyfunction]
fn warn_unawaited(coroutine: &Bound<'_, PyAny>) -> PyResult<()> {
    program_frames::warn_unawaited(coroutine)
}
