//! Where ferrio's functions serve in the place of anyio's.

use ferrio_cpython::LoopBase;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyString};

use super::{backend, clock, lookup};
use crate::common::timer::plain_number;

/// The running loop, if anyio would ask its asyncio backend there, and what it asks is ferrio's part `name`.
#[inline]
pub(super) fn served<'py>(py: Python<'py>, name: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, LoopBase>>> {
    match backend::our_loop(py)? {
        Some(ours) if lookup::says_asyncio(ours.as_any())? && backend::is_in_place(py, name)? => Ok(Some(ours)),
        _ => Ok(None),
    }
}

/// The running loop, if scopes with deadlines are ferrio's there.
#[inline]
pub(super) fn served_scope(py: Python<'_>) -> PyResult<Option<Bound<'_, LoopBase>>> {
    let served = served(py, pyo3::intern!(py, "create_cancel_scope"))?;
    if served.is_none()
        || !backend::is_in_place(py, pyo3::intern!(py, "current_time"))?
        || backend::our_loop_with_scopes(py)?.is_none()
    {
        return Ok(None);
    }
    Ok(served)
}

/// The time in `delay` seconds; None for never.
#[inline]
pub(super) fn deadline_after<'py>(
    ours: &Bound<'py, LoopBase>,
    delay: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    if delay.is_none() {
        return Ok(None);
    }
    let now = clock::time(ours)?;
    if let (Ok(now), Some(seconds)) = (now.cast_exact::<PyFloat>(), plain_number(delay)) {
        return Ok(Some(PyFloat::new(ours.py(), now.value() + seconds).into_any()));
    }
    now.add(delay).map(Some)
}
