//! What ferrio-bridge, in other extensions, asks of ferrio's futures beside asyncio's public names.

use pyo3::prelude::*;

use super::create_task;
use super::future::FutureRef;
use super::waiter::FutureWaiter;

/// `owner.create_future()`, marked as yielded by `await`: a coroutine hands it to its task as it is.
///
/// # Errors
/// Any exception that `create_future` raises.
pub fn blocking_future<'py>(owner: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let future = create_task::waiter(owner)?;
    match FutureRef::exact_ref(&future) {
        Some(exact) => exact.update(|body| body.blocking = true),
        None => future.setattr(crate::intern!(owner.py(), "_asyncio_future_blocking"), true)?,
    }
    Ok(future)
}

/// Completes a future with None, unless it is done.
///
/// # Errors
/// Any exception that the future or its loop raises.
pub fn complete(future: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = future.py();
    FutureWaiter::new(future).wake(py, py.None().into_bound(py))
}
