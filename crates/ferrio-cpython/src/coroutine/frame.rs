//! What stands for the frame of a coroutine of ours, for those who walk a stack of coroutines.
//!
//! There is no Python frame; without one such walkers (`asyncio.capture_call_graph`, `Task.get_stack`) would stop at the
//! coroutine, and not see what it waits for in turn. The stand-in names the function and has no line to show.

use std::ffi::CString;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The file that is named as the place of ferrio's functions.
const FILE: &std::ffi::CStr = c"<ferrio>";

/// The stand-in, with the attributes of a frame that is suspended.
#[pyclass(frozen, name = "frame", module = "ferrio")]
pub(crate) struct Frame {
    #[pyo3(get)]
    f_code: Py<PyAny>,
    /// The coroutine.
    #[pyo3(get)]
    f_generator: Py<PyAny>,
}

#[pymethods]
impl Frame {
    #[getter]
    fn f_lineno(&self) -> u32 {
        1
    }

    #[getter]
    fn f_lasti(&self) -> i32 {
        -1
    }

    #[getter]
    fn f_back(&self) -> Option<Py<PyAny>> {
        None
    }

    #[getter]
    fn f_trace(&self) -> Option<Py<PyAny>> {
        None
    }

    #[getter]
    fn f_locals<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        PyDict::new(py)
    }

    #[getter]
    fn f_globals<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        PyDict::new(py)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<frame of {}>", self.f_generator.bind(py).repr()?))
    }
}

/// The stand-in for the frame of `coroutine`, named `name`.
pub(super) fn stand_in<'py>(coroutine: &Bound<'py, PyAny>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let f_code = code(coroutine.py(), name)?.unbind();
    Ok(Bound::new(coroutine.py(), Frame { f_code, f_generator: coroutine.clone().unbind() })?.into_any())
}

/// An empty code object with that name.
pub(super) fn code<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let plain = CString::new(name.rsplit('.').next().unwrap_or(name))?;
    // SAFETY: C strings that live through the call; a new reference or null with an exception set.
    let code = unsafe { ffi::PyCode_NewEmpty(FILE.as_ptr(), plain.as_ptr(), 1) };
    // SAFETY: as said.
    unsafe { Bound::from_owned_ptr_or_err(py, code.cast()) }
}
