//! `eager_task_factory` and `create_eager_task_factory`: tasks that run up to their first wait when they are made.
//!
//! A loop of ours knows its own factory and makes such tasks without calling it (`ferrio_cpython::making`).

use ferrio_cpython::LoopBase;
use ferrio_cpython::task::{self, Parts};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCode, PyDict};
use pyo3::{PyTraverseError, PyVisit};

use super::making::CO_VARKEYWORDS;
use crate::imports;

/// Make a task of ferrio's that runs up to its first wait at once: for `loop.set_task_factory()`.
#[pyfunction]
#[pyo3(name = "eager_task_factory", signature = (r#loop, coro, *, name=None, context=None))]
pub(super) fn eager_named_factory<'py>(
    r#loop: &Bound<'py, PyAny>,
    coro: &Bound<'py, PyAny>,
    name: Option<Bound<'py, PyAny>>,
    context: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = coro.py();
    if let Ok(owner) = r#loop.cast::<LoopBase>() {
        return task::new_task(owner, Parts { coroutine: coro.clone(), name, context, eager_start: true });
    }
    let keywords = PyDict::new(py);
    keywords.set_item("name", name)?;
    keywords.set_item("context", context)?;
    construct(task::task_type(py)?.as_any(), r#loop, coro, keywords)
}

/// Make a task of ferrio's that runs up to its first wait at once: for `loop.set_task_factory()`.
#[pyfunction]
#[pyo3(name = "eager_task_factory", signature = (r#loop, coro, *, eager_start=true, **kwargs))]
pub(super) fn eager_any_factory<'py>(
    r#loop: &Bound<'py, PyAny>,
    coro: &Bound<'py, PyAny>,
    eager_start: bool,
    kwargs: Option<Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = coro.py();
    let keywords = kwargs.unwrap_or_else(|| PyDict::new(py));
    keywords.set_item("eager_start", eager_start)?;
    construct(task::task_type(py)?.as_any(), r#loop, coro, keywords)
}

/// Create a task factory that makes its tasks with a constructor like Task's and has them start at once.
#[pyfunction]
pub(super) fn create_eager_task_factory(custom_task_constructor: Bound<'_, PyAny>) -> EagerTaskFactory {
    EagerTaskFactory { constructor: custom_task_constructor.unbind() }
}

/// A task factory.
#[pyclass(frozen, module = "ferrio")]
pub(super) struct EagerTaskFactory {
    constructor: Py<PyAny>,
}

#[pymethods]
impl EagerTaskFactory {
    #[pyo3(signature = (r#loop, coro, **kwargs))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        r#loop: &Bound<'py, PyAny>,
        coro: &Bound<'py, PyAny>,
        kwargs: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let keywords = kwargs.unwrap_or_else(|| PyDict::new(py));
        if !takes_any(py)? {
            for name in keywords.keys() {
                if !matches!(name.extract::<&str>(), Ok("name" | "context")) {
                    let text = format!("factory() got an unexpected keyword argument '{name}'");
                    return Err(PyTypeError::new_err(text));
                }
            }
            for name in ["name", "context"] {
                if !keywords.contains(name)? {
                    keywords.set_item(name, py.None())?;
                }
            }
        }
        construct(self.constructor.bind(py), r#loop, coro, keywords)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.constructor)
    }
}

fn construct<'py>(
    constructor: &Bound<'py, PyAny>,
    owner: &Bound<'py, PyAny>,
    coroutine: &Bound<'py, PyAny>,
    keywords: Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    keywords.set_item("loop", owner)?;
    if !keywords.contains("eager_start")? {
        keywords.set_item("eager_start", true)?;
    }
    constructor.call((coroutine,), Some(&keywords))
}

/// Whether factories of the running Python take any keyword arguments and hand them on.
pub(super) fn takes_any(py: Python<'_>) -> PyResult<bool> {
    static CELL: PyOnceLock<bool> = PyOnceLock::new();
    CELL.get_or_try_init(py, || {
        let factory = imports::tasks_module(py)?.getattr("eager_task_factory")?;
        let code = factory.getattr("__code__")?.cast_into::<PyCode>()?;
        Ok(code.getattr("co_flags")?.extract::<u32>()? & CO_VARKEYWORDS != 0)
    })
    .copied()
}
