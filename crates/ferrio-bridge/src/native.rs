//! What ferrio's own loop offers beside asyncio's public names.
use pyo3::intern;
use pyo3::prelude::*;

use crate::coroutine::Coroutine;

/// The version of the interface: a loop takes any with the same first number.
pub(crate) const VERSION: (u32, u32) = (1, 0);

/// A task of `event_loop`.
pub(crate) fn create_task<'py>(
    event_loop: &Bound<'py, PyAny>,
    coroutine: Bound<'py, Coroutine>,
) -> PyResult<Bound<'py, PyAny>> {
    event_loop.call_method1(intern!(event_loop.py(), "create_task"), (coroutine,))
}
