//! What the parts need of anyio itself: its classes, its `_task_states`, and the methods that the parts replace.

use std::sync::atomic::{AtomicBool, Ordering};

use ferrio_cpython::{GilCell, LoopBase, running_loop};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

static BACKEND: GilCell<Option<Backend>> = GilCell::new(None);

/// Whether it is anyio 4.16 or later.
static IS_LATEST: AtomicBool = AtomicBool::new(true);

struct Backend {
    /// The replaced methods by name, bound to the class.
    methods: Py<PyDict>,
    /// anyio's functions that are replaced, by name.
    functions: Py<PyDict>,
    /// The parts by name.
    parts: Py<PyDict>,
    task_states: Py<PyAny>,
    /// The module's names, where its own code looks its classes up.
    namespace: Py<PyDict>,
    classes: Classes,
}

/// anyio's classes, most of which the natives claim to be.
pub(crate) struct Classes {
    pub(crate) backend: Py<PyAny>,
    pub(crate) cancel_scope: Py<PyAny>,
    pub(crate) event: Py<PyAny>,
    pub(crate) task_group: Py<PyAny>,
    pub(crate) task_handle: Py<PyAny>,
    pub(crate) task_state: Py<PyAny>,
    pub(crate) task_status: Py<PyAny>,
    /// A Python function: whether an exception is the cancellation of a scope.
    pub(crate) is_cancellation: Py<PyAny>,
    /// The code of asyncio's factories of eager tasks, by which anyio recognises them; None before 3.12.
    pub(crate) eager_code: Py<PyAny>,
}

/// Notes anyio's module and its own methods, before the parts are put in their place.
#[pyfunction]
#[pyo3(name = "_anyio_begin")]
pub(crate) fn begin(
    module: &Bound<'_, PyModule>,
    methods: Bound<'_, PyDict>,
    functions: Bound<'_, PyDict>,
    parts: Bound<'_, PyDict>,
    is_cancellation: Bound<'_, PyAny>,
    is_latest: bool,
) -> PyResult<()> {
    // Relaxed: written with the GIL held, as it is read.
    IS_LATEST.store(is_latest, Ordering::Relaxed);
    let fresh = Backend {
        methods: methods.unbind(),
        functions: functions.unbind(),
        parts: parts.unbind(),
        namespace: module.dict().unbind(),
        task_states: module.getattr(name!("_task_states"))?.unbind(),
        classes: Classes {
            backend: module.getattr(name!("AsyncIOBackend"))?.unbind(),
            cancel_scope: module.getattr(name!("CancelScope"))?.unbind(),
            event: module.getattr(name!("BaseEvent"))?.unbind(),
            task_group: module.getattr(name!("TaskGroup"))?.unbind(),
            task_handle: module.getattr(name!("TaskHandle"))?.unbind(),
            task_state: module.getattr(name!("TaskState"))?.unbind(),
            task_status: module.getattr(name!("_AsyncioTaskStatus"))?.unbind(),
            is_cancellation: is_cancellation.unbind(),
            eager_code: module.getattr(name!("_eager_task_factory_code"))?.unbind(),
        },
    };
    let before = BACKEND.with(module.py(), |backend| backend.replace(fresh));
    drop(before);
    Ok(())
}

/// Whether anyio's own code does as 4.16's. 4.15 takes NaN as a deadline, may swallow a foreign cancellation that comes
/// with a scope's own, and releases a token on behalf of the running task when an `acquire` for another borrower fails.
pub(super) fn does_as_4_16() -> bool {
    IS_LATEST.load(Ordering::Relaxed)
}

/// The running loop if it is ferrio's.
#[inline]
pub(crate) fn our_loop(py: Python<'_>) -> PyResult<Option<Bound<'_, LoopBase>>> {
    Ok(running_loop(py)?.and_then(|running| running.cast_into::<LoopBase>().ok()))
}

/// The running loop if it is ferrio's, and anyio's own code would use its own scopes and groups: a program may have put
/// other classes under their names.
#[inline]
pub(crate) fn our_loop_with_scopes(py: Python<'_>) -> PyResult<Option<Bound<'_, LoopBase>>> {
    let Some(ours) = our_loop(py)? else { return Ok(None) };
    let [scope, group] = [pyo3::intern!(py, "CancelScope"), pyo3::intern!(py, "TaskGroup")];
    let unpatched =
        has_under(py, scope, |classes| &classes.cancel_scope)? && has_under(py, group, |classes| &classes.task_group)?;
    Ok(unpatched.then_some(ours))
}

/// Whether anyio's module has its own class under this name.
#[inline]
pub(crate) fn has_under<'py>(
    py: Python<'py>,
    name: &Bound<'py, PyString>,
    which: fn(&Classes) -> &Py<PyAny>,
) -> PyResult<bool> {
    let namespace = noted(py, |backend| &backend.namespace)?;
    let Some(shown) = namespace.get_item(name)? else { return Ok(false) };
    Ok(BACKEND.with(py, |backend| backend.as_ref().is_some_and(|backend| which(&backend.classes).is(&shown))))
}

/// anyio's own method `name`, for other loops.
#[cold]
pub(crate) fn method<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let methods = noted(py, |backend| &backend.methods)?;
    methods.as_any().get_item(ferrio_cpython::capi::memory::text(py, name)?)
}

/// anyio's own function `name`.
#[cold]
pub(super) fn function<'py>(py: Python<'py>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
    let functions = noted(py, |backend| &backend.functions)?;
    functions.as_any().get_item(name)
}

/// Whether ferrio's part is what anyio's class has as its method `name`.
#[inline]
pub(super) fn is_in_place(py: Python<'_>, name: &Bound<'_, PyString>) -> PyResult<bool> {
    let part = noted(py, |backend| &backend.parts)?.get_item(name)?;
    let Some(part) = part else { return Ok(false) };
    Ok(noted(py, |backend| &backend.classes.backend)?.getattr(name)?.is(&part))
}

/// anyio's dictionary of the states of tasks.
pub(crate) fn task_states(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    noted(py, |backend| &backend.task_states)
}

/// One of anyio's classes.
pub(crate) fn class(py: Python<'_>, which: fn(&Classes) -> &Py<PyAny>) -> PyResult<Py<PyAny>> {
    noted(py, |backend| which(&backend.classes)).map(Bound::unbind)
}

fn noted<T>(py: Python<'_>, which: impl FnOnce(&Backend) -> &Py<T>) -> PyResult<Bound<'_, T>> {
    let noted = BACKEND.with(py, |backend| backend.as_ref().map(|backend| which(backend).bind(py).clone()));
    noted.ok_or_else(|| ferrio_cpython::error::<PyRuntimeError>("ferrio's parts of anyio are not in place"))
}
