//! Where coroutines were made: their `cr_origin`, while the interpreter tracks that.
//!
//! Invariants: nothing is noted before a loop enters debug mode, and until then a coroutine pays for reading one flag. An
//! origin is kept beside its object, by address, until that is freed. A failure leaves an origin out.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyInt};

use crate::capi::finalizer::finalizing;
use crate::capi::{imports, memory};

type Object = *mut ffi::PyObject;

/// A loop has turned the interpreter's tracking on, at some time.
static TRACKED: AtomicBool = AtomicBool::new(false);

/// Tuples of the frames' file, line and function, innermost first.
static ORIGINS: PyOnceLock<Py<PyDict>> = PyOnceLock::new();

/// From now on notes where coroutines are made whenever the interpreter does so for its own.
pub fn begin() {
    TRACKED.store(true, Ordering::Relaxed); // under the GIL
}

#[inline]
pub(super) fn are_tracked() -> bool {
    TRACKED.load(Ordering::Relaxed) // under the GIL
}

#[cold]
pub(super) fn note(py: Python<'_>, object: Object) {
    let _ = memory::catch_no_memory(py, || {
        let depth: usize = imports::origin_depth(py)?.call0()?.extract()?;
        if depth == 0 {
            return Ok(());
        }
        let mut frames = Vec::new();
        let mut next = imports::current_frame(py);
        while let Some(frame) = next.filter(|frame| frames.len() < depth && !frame.is_none()) {
            let code = frame.getattr(name!("f_code"))?;
            let place = (code.getattr(name!("co_filename"))?, frame.getattr(name!("f_lineno"))?);
            frames.push((place.0, place.1, code.getattr(name!("co_name"))?));
            next = Some(frame.getattr(name!("f_back"))?);
        }
        let origins = ORIGINS.get_or_try_init(py, || memory::dict(py).map(Bound::unbind))?;
        origins.bind(py).set_item(key(py, object)?, memory::tuple(py, frames)?)
    });
}

/// What was noted.
pub(super) fn of(py: Python<'_>, object: Object) -> Option<Bound<'_, PyAny>> {
    ORIGINS.get(py)?.bind(py).get_item(key(py, object).ok()?).ok()?
}

/// To be called when the object is freed, which may be while an exception is on its way.
#[cold]
pub(super) fn forget(py: Python<'_>, object: Object) {
    let Some(origins) = ORIGINS.get(py) else { return };
    finalizing(|py| {
        if let Ok(key) = key(py, object) {
            let _ = origins.bind(py).del_item(key);
        }
    });
}

fn key(py: Python<'_>, object: Object) -> PyResult<Bound<'_, PyInt>> {
    object.addr().into_pyobject(py).map_err(Into::into)
}
