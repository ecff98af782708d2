//! A stand-in for the frame of a ferrio coroutine, for code that walks a stack of coroutines.
//!
//! There is no Python frame; without one, such code (`asyncio.capture_call_graph`, `Task.get_stack`) would stop at the
//! coroutine and not see what it waits for in turn. The stand-in names asyncio's function that waits there, and its
//! line.

use crate::capi::memory::Text;
use std::ffi::CString;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::capi::asyncio_code;
use crate::capi::memory;

/// The file name given for functions that asyncio does not have.
const FILE: &std::ffi::CStr = c"<ferrio>";

/// The frame that tools see for a coroutine of ferrio's, with the attributes of a suspended one.
#[expect(clippy::struct_field_names, reason = "the names of a frame's attributes")]
#[pyclass(frozen, name = "frame", module = "ferrio")]
pub(crate) struct Frame {
    #[pyo3(get)]
    f_code: Py<PyAny>,
    /// The coroutine.
    #[pyo3(get)]
    f_generator: Py<PyAny>,
    #[pyo3(get)]
    f_lineno: u32,
}

#[pymethods]
#[pyo3(crate = "crate::capi::pyo3_trampolines::bindings")]
impl Frame {
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
    fn f_locals<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        memory::dict(py)
    }

    #[getter]
    fn f_globals<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        memory::dict(py)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<Text> {
        Ok(Text(format!("<frame of {}>", self.f_generator.bind(py).repr()?)))
    }
}

/// The stand-in for the frame of `coroutine`, which has the name `name`; `has_begun` is whether it was resumed.
pub(super) fn stand_in<'py>(coroutine: &Bound<'py, PyAny>, name: &str, has_begun: bool) -> PyResult<Bound<'py, PyAny>> {
    let py = coroutine.py();
    let (f_code, waits) = match asyncio_code::of(py, name) {
        Some(found) => found,
        None => (empty_code(py, name)?, 1),
    };
    let f_lineno = if has_begun { waits } else { f_code.getattr(crate::intern!(py, "co_firstlineno"))?.extract()? };
    let frame = Frame { f_code: f_code.unbind(), f_generator: coroutine.clone().unbind(), f_lineno };
    Ok(Bound::new(py, frame)?.into_any())
}

/// The code object of asyncio's function of that name, or an empty one if it has none.
pub(super) fn code<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    asyncio_code::of(py, name).map_or_else(|| empty_code(py, name), |(code, _)| Ok(code))
}

fn empty_code<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let last_name = CString::new(name.rsplit('.').next().unwrap_or(name))?;
    // SAFETY: C strings that live through the call; a new reference or null with an exception set.
    let code = unsafe { ffi::PyCode_NewEmpty(FILE.as_ptr(), last_name.as_ptr(), 1) };
    // SAFETY: as said.
    unsafe { Bound::from_owned_ptr_or_err(py, code.cast()) }
}
