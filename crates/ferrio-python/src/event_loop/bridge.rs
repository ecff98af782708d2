//! The capsule through which other extensions reach a loop, and the bells that they hang there.
//!
//! A loop whose surroundings are simulated or recorded has no bells: what comes from outside must come through descriptors
//! there, so that it can be given again.

use std::sync::Arc;

use ferrio_cpython::HandleRef;
use ferrio_cpython::objects::bridge::{self, Bell};
use pyo3::prelude::*;

use crate::event_loop::{Loop, base};

/// Hangs a bell whose rings `event_loop` answers by calling `callback()`, in an empty context.
fn hang(event_loop: &Bound<'_, PyAny>, callback: &Bound<'_, PyAny>) -> PyResult<Option<Arc<Bell>>> {
    let py = event_loop.py();
    let Ok(slf) = event_loop.cast::<Loop>() else { return Ok(None) };
    let (base, io) = (base(slf), &slf.get().io);
    base.check_open()?;
    if base.is_simulated() || io.tape.is_on() {
        return Ok(None);
    }
    io.ensure_waker(py, base)?;
    let Some(waker) = base.waker.with(py, |waker| waker.clone()) else { return Ok(None) };
    let handle = HandleRef::of_no_task(slf.as_super(), callback)?;
    let bell = Arc::new(Bell::new(Arc::clone(&base.sleep_state), waker));
    io.bells.hang(py, &bell, handle);
    Ok(Some(bell))
}

/// The capsule with what other extensions may call.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn capsule(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    bridge::capsule(py, hang)
}
