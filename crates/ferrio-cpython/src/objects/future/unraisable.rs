//! Exceptions that leave a loop's exception handler when a future or task that is freed calls it.

use pyo3::prelude::*;
use pyo3::types::PyCFunction;

use crate::capi::asyncio_code;
use crate::capi::memory;

/// Shows that `handler`, a loop's method, raised, in the words of asyncio's own futures.
#[cold]
pub(super) fn from_exception_handler(raised: PyErr, handler: &Bound<'_, PyAny>) {
    let py = handler.py();
    let shown = as_stock(handler).unwrap_or_else(|| handler.clone());
    if cfg!(Py_3_14) {
        memory::unraisable_while(py, raised, c"Exception ignored while calling asyncio function %R", &shown);
    } else {
        raised.write_unraisable(py, Some(&shown));
    }
}

/// asyncio's method of the loop, if `handler` is our own one.
fn as_stock<'py>(handler: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let owner = handler.cast::<PyCFunction>().ok()?.getattr(name!("__self__")).ok()?;
    let function = asyncio_code::function(handler.py(), "EventLoop.call_exception_handler")?;
    function.call_method1(name!("__get__"), (owner,)).ok()
}
