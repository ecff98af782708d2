//! What the parts need of anyio itself: the methods that they replace.

use ferrio_cpython::{GilCell, LoopBase, running_loop};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

static BACKEND: GilCell<Option<Backend>> = GilCell::new(None);

struct Backend {
    /// The replaced methods by name, bound to the class.
    methods: Py<PyDict>,
}

/// Notes anyio's own methods, before the parts are put in their place.
#[pyfunction]
#[pyo3(name = "_anyio_begin")]
pub(crate) fn begin(methods: Bound<'_, PyDict>) {
    let py = methods.py();
    let fresh = Backend { methods: methods.unbind() };
    let before = BACKEND.with(py, |backend| backend.replace(fresh));
    drop(before);
}

/// The running loop if it is ferrio's.
#[inline]
pub(crate) fn our_loop(py: Python<'_>) -> PyResult<Option<Bound<'_, LoopBase>>> {
    Ok(running_loop(py)?.and_then(|running| running.cast_into::<LoopBase>().ok()))
}

/// anyio's own method `name`, for other loops.
#[cold]
pub(crate) fn method<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let methods = BACKEND.with(py, |backend| backend.as_ref().map(|backend| backend.methods.clone_ref(py)));
    let methods = methods.ok_or_else(not_begun)?;
    methods.bind(py).as_any().get_item(name)
}

#[cold]
fn not_begun() -> PyErr {
    ferrio_cpython::error::<PyRuntimeError>("ferrio's parts of anyio are not in place")
}
