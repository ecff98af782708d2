//! Debug mode: the flag and coroutine origin tracking.

use pyo3::prelude::*;

use crate::common::imports;
use crate::event_loop::{Loop, base};

#[pymethods]
impl Loop {
    /// Set debug mode: scheduling is checked, slow callbacks are logged, objects remember where they were made.
    fn set_debug(slf: &Bound<'_, Self>, enabled: &Bound<'_, PyAny>) -> PyResult<()> {
        base(slf).set_debug(enabled.is_truthy()?);
        if base(slf).thread().is_some() {
            let track = slf.getattr(name!("_set_coroutine_origin_tracking"))?;
            slf.call_method1(name!("call_soon_threadsafe"), (track, enabled))?;
        }
        Ok(())
    }

    fn _set_coroutine_origin_tracking(slf: &Bound<'_, Self>, enabled: &Bound<'_, PyAny>) -> PyResult<()> {
        track_origins(slf, enabled.is_truthy()?)
    }
}

/// Turns the interpreter's coroutine origin tracking on, or restores its previous depth.
pub(crate) fn track_origins(slf: &Bound<'_, Loop>, enabled: bool) -> PyResult<()> {
    let py = slf.py();
    let saved = slf.get().errors.saved_origin_depth(py);
    if enabled == saved.is_some() {
        return Ok(());
    }
    let next = if enabled {
        ferrio_cpython::objects::coroutine::origin::begin();
        let depth: i64 = imports::get_origin_depth(py)?.call0()?.extract()?;
        imports::set_origin_depth(py)?.call1((imports::extract_stack_depth(py)?,))?;
        Some(depth)
    } else {
        imports::set_origin_depth(py)?.call1((saved.unwrap_or(0),))?;
        None
    };
    slf.get().errors.save_origin_depth(py, next);
    Ok(())
}
