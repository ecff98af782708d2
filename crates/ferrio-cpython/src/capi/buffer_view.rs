//! `BufferView`: a range of memory for functions that take a buffer, in place of a slice of a memoryview.
//!
//! Invariant: it shows the same memory for its whole life, and that memory stays valid: it belongs to a bytes object
//! that the view holds, or to an unfinished one whose `BytesWriter` checks that the view is gone before it goes on.

use std::ffi::c_int;
use std::ops::Range;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// An object that exports memory and does nothing else.
#[pyclass(frozen, module = "ferrio")]
pub struct BufferView {
    /// Never changes; atomic because that may be sent between threads.
    start: AtomicPtr<u8>,
    len: usize,
    writable: bool,
    _owner: Option<Py<PyBytes>>,
}

impl BufferView {
    /// Shows part of a bytes object; a range beyond its end is truncated.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn of<'py>(bytes: &Bound<'py, PyBytes>, part: Range<usize>) -> PyResult<Bound<'py, PyAny>> {
        let all = bytes.as_bytes();
        let end = part.end.min(all.len());
        let shown = &all[part.start.min(end)..end];
        let start = AtomicPtr::new(shown.as_ptr().cast_mut());
        let view = Self { start, len: shown.len(), writable: false, _owner: Some(bytes.clone().unbind()) };
        Bound::new(bytes.py(), view).map(Bound::into_any)
    }

    /// Lends `len` bytes for writing, while `lend` runs. Also returns whether other references to the view remain.
    ///
    /// # Safety
    /// The bytes are valid for writes, and no other code writes them, until the view is gone.
    pub(crate) unsafe fn lend<'py, R>(
        py: Python<'py>,
        start: *mut u8,
        len: usize,
        lend: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<R>,
    ) -> PyResult<(PyResult<R>, bool)> {
        let view = Self { start: AtomicPtr::new(start), len, writable: true, _owner: None };
        let view = Bound::new(py, view)?.into_any();
        let outcome = lend(&view);
        // SAFETY: a live object.
        let kept = unsafe { ffi::Py_REFCNT(view.as_ptr()) } != 1;
        Ok((outcome, kept))
    }
}

#[pymethods]
#[pyo3(crate = "crate::capi::pyo3_trampolines::bindings")]
impl BufferView {
    /// The buffer protocol.
    ///
    /// # Safety
    /// Called by the interpreter, with a structure to be filled.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let this = slf.get();
        let start = this.start.load(Ordering::Relaxed).cast();
        let len = ffi::Py_ssize_t::try_from(this.len)?;
        let readonly = c_int::from(!this.writable);
        // SAFETY: a live structure; the memory is there while we are, and the view holds a reference to us.
        if unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, len, readonly, flags) } < 0 {
            return Err(PyErr::fetch(slf.py()));
        }
        Ok(())
    }
}
