//! What the parts need of anyio itself: its classes, its `_task_states`, and the methods that the parts replace.

use ferrio_cpython::{GilCell, LoopBase, running_loop};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

static BACKEND: GilCell<Option<Backend>> = GilCell::new(None);

struct Backend {
    /// The replaced methods by name, bound to the class.
    methods: Py<PyDict>,
    task_states: Py<PyAny>,
    classes: Classes,
}

/// anyio's classes, which the natives claim to be.
pub(crate) struct Classes {
    pub(crate) cancel_scope: Py<PyAny>,
}

/// Notes anyio's module and its own methods, before the parts are put in their place.
#[pyfunction]
#[pyo3(name = "_anyio_begin")]
pub(crate) fn begin(module: &Bound<'_, PyModule>, methods: Bound<'_, PyDict>) -> PyResult<()> {
    let fresh = Backend {
        methods: methods.unbind(),
        task_states: module.getattr(name!("_task_states"))?.unbind(),
        classes: Classes { cancel_scope: module.getattr(name!("CancelScope"))?.unbind() },
    };
    let before = BACKEND.with(module.py(), |backend| backend.replace(fresh));
    drop(before);
    Ok(())
}

/// The running loop if it is ferrio's.
#[inline]
pub(crate) fn our_loop(py: Python<'_>) -> PyResult<Option<Bound<'_, LoopBase>>> {
    Ok(running_loop(py)?.and_then(|running| running.cast_into::<LoopBase>().ok()))
}

/// anyio's own method `name`, for other loops.
#[cold]
pub(crate) fn method<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let methods = noted(py, |backend| &backend.methods)?;
    methods.bind(py).as_any().get_item(name)
}

/// anyio's dictionary of the states of tasks.
pub(crate) fn task_states(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    noted(py, |backend| &backend.task_states).map(|states| states.into_bound(py))
}

/// One of anyio's classes.
pub(crate) fn class(py: Python<'_>, which: fn(&Classes) -> &Py<PyAny>) -> PyResult<Py<PyAny>> {
    noted(py, |backend| which(&backend.classes))
}

fn noted<T>(py: Python<'_>, which: impl FnOnce(&Backend) -> &Py<T>) -> PyResult<Py<T>> {
    let noted = BACKEND.with(py, |backend| backend.as_ref().map(|backend| which(backend).clone_ref(py)));
    noted.ok_or_else(|| ferrio_cpython::error::<PyRuntimeError>("ferrio's parts of anyio are not in place"))
}
