//! Where the primitives of the running Python differ from those of others: patch releases changed them too, so asyncio's
//! own code is asked.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// What the running Python's primitives do.
pub(crate) struct Behavior {
    /// A condition whose waiter fails notifies another, and looks for its loop before it gives the lock up.
    pub(crate) condition_passes_on: bool,
    /// A semaphore whose waiter comes back hands out all free permits, not one.
    pub(crate) semaphore_refills: bool,
    /// What a barrier for nobody says.
    pub(crate) barrier_text: String,
}

/// The running Python's style.
///
/// # Errors
/// `ImportError` when asyncio is not importable.
pub(crate) fn behavior(py: Python<'_>) -> PyResult<&'static Behavior> {
    static CELL: PyOnceLock<Behavior> = PyOnceLock::new();
    if let Some(behavior) = CELL.get(py) {
        return Ok(behavior);
    }
    let locks = py.import(name!("asyncio.locks"))?;
    let code = |class: &str, method: &str| locks.getattr(class)?.getattr(method)?.getattr(name!("__code__"));
    let text = |constant: &Py<PyAny>| constant.extract::<String>(py).ok().filter(|text| text.starts_with("parties"));
    let made = Behavior {
        condition_passes_on: locks.getattr(name!("Condition"))?.hasattr(name!("_notify"))?,
        // It came together with asking a waiter that is cancelled whether it was chosen before.
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
