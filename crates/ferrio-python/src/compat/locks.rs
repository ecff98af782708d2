//! How the running Python's locks and conditions behave: patch releases change them too, so asyncio's own code is
//! inspected.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// The behaviour of the running Python's synchronization primitives.
pub(crate) struct Behavior {
    /// Whether a condition's waiter that fails notifies another one, and looks up its loop before it releases the lock.
    pub(crate) condition_passes_on: bool,
    /// Whether a semaphore's waiter that returns hands out all free permits instead of one.
    pub(crate) semaphore_refills: bool,
    /// The error message of a barrier for fewer than one party.
    pub(crate) barrier_text: String,
}

/// The behaviour of the running Python.
///
/// # Errors
/// `ImportError` if asyncio cannot be imported.
pub(crate) fn behavior(py: Python<'_>) -> PyResult<&'static Behavior> {
    static CELL: PyOnceLock<Behavior> = PyOnceLock::new();
    if let Some(behavior) = CELL.get(py) {
        return Ok(behavior);
    }
    let locks = ferrio_cpython::module(py, name!("asyncio.locks"))?;
    let code = |class: &str, method: &str| locks.getattr(class)?.getattr(method)?.getattr(name!("__code__"));
    let text = |constant: &Py<PyAny>| constant.extract::<String>(py).ok().filter(|text| text.starts_with("parties"));
    let made = Behavior {
        condition_passes_on: locks.getattr(name!("Condition"))?.hasattr(name!("_notify"))?,
        // The same change made a cancelled waiter check whether it was chosen before.
        semaphore_refills: code("Semaphore", "acquire")?.getattr(name!("co_names"))?.contains("done")?,
        barrier_text: code("Barrier", "__init__")?
            .getattr(name!("co_consts"))?
            .extract::<Vec<Py<PyAny>>>()?
            .iter()
            .find_map(text)
            .unwrap_or_else(|| "parties must be > 0".to_owned()),
    };
    Ok(CELL.get_or_init(py, || made))
}
