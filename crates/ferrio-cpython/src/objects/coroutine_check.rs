//! What counts as a coroutine, and which objects are compared by identity.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PySet, PyTuple};

use crate::capi::hooks;
use crate::capi::imports;
use crate::capi::resume::is_python_coroutine;
use crate::objects::coroutine::coroutine_type_pointer;
use crate::objects::future::FutureRef;

/// How many classes the cache holds, as in asyncio.
const REMEMBERED: usize = 100;

/// `coroutines.iscoroutine`, as asyncio's Python code calls it.
///
/// # Errors
/// Any exception that `isinstance` or a replacement of asyncio's function raises.
#[inline]
pub fn is_coroutine(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    match hooks::IS_COROUTINE.replacement(object.py())? {
        Some(function) => function.call1((object,))?.is_truthy(),
        None => is_coroutine_object(object),
    }
}

/// Whether the object is a coroutine: generators count on Python 3.11 alone.
///
/// # Errors
/// Any exception that `isinstance` raises.
#[inline]
pub fn is_coroutine_object(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    if is_python_coroutine(object) || object.get_type_ptr() == coroutine_type_pointer() {
        return Ok(true);
    }
    // Futures are checked first: `wait` checks each of its futures, so they are the most frequent objects that are not
    // coroutines.
    if FutureRef::exact_ref(object).is_some() {
        return Ok(false);
    }
    is_other_coroutine(object)
}

/// Remembers the classes of objects that were coroutines; the check against the abstract class is slow.
fn is_other_coroutine(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    static KNOWN: PyOnceLock<Py<PySet>> = PyOnceLock::new();
    let py = object.py();
    let known = KNOWN.get_or_try_init(py, || PySet::empty(py).map(Bound::unbind))?.bind(py);
    let class = object.get_type();
    if known.contains(&class)? {
        return Ok(true);
    }
    let is_one = object.is_instance(types(py)?)?;
    if is_one && known.len() < REMEMBERED {
        known.add(class)?;
    }
    Ok(is_one)
}

/// The coroutine classes, imported.
pub(crate) fn types(py: Python<'_>) -> PyResult<&Bound<'_, PyTuple>> {
    Ok(imports::coroutine_types(py)?.cast::<PyTuple>()?)
}

/// Whether the object's class inherits `object`'s equality and hash, so that it equals only itself.
#[inline]
#[must_use]
pub fn is_compared_by_identity(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: reads the type of a live object.
    let class = unsafe { ffi::Py_TYPE(object.as_ptr()) };
    // SAFETY: the type of a live object lives.
    let class = unsafe { &*class };
    let base = &raw const ffi::PyBaseObject_Type;
    // SAFETY: a static type, ready since the interpreter's start and never changed.
    let base = unsafe { &*base };
    let hash = |function: Option<ffi::hashfunc>| function.map(|function| function as usize);
    let compare = |function: Option<ffi::richcmpfunc>| function.map(|function| function as usize);
    hash(class.tp_hash) == hash(base.tp_hash) && compare(class.tp_richcompare) == compare(base.tp_richcompare)
}
