//! `BytesWriter`: a bytes object that Python functions fill part by part, and that is then truncated to what was
//! written.
//!
//! Invariant: no other code has the object before it is finished. A part is lent as a view, which is gone before the
//! next one is made; if a reference to the view remains, the object is leaked.

use std::ptr::NonNull;

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::capi::buffer_view::BufferView;
use crate::capi::version;

/// An unfinished bytes object.
pub struct BytesWriter<'py> {
    py: Python<'py>,
    /// Owned; its contents are uninitialised beyond `filled`.
    object: NonNull<ffi::PyObject>,
    capacity: usize,
    filled: usize,
}

impl<'py> BytesWriter<'py> {
    /// A writer with `capacity` bytes.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn new(py: Python<'py>, capacity: usize) -> PyResult<Self> {
        let length = ffi::Py_ssize_t::try_from(capacity).unwrap_or(ffi::Py_ssize_t::MAX);
        // SAFETY: a null source makes an object with uninitialised contents.
        let object = unsafe { ffi::PyBytes_FromStringAndSize(std::ptr::null(), length) };
        let object = NonNull::new(object).ok_or_else(|| PyErr::fetch(py))?;
        Ok(Self { py, object, capacity, filled: 0 })
    }

    /// How many bytes are left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.capacity - self.filled
    }

    /// Has `fill` write into the next `size` bytes; `count` turns its result into the number of bytes written.
    ///
    /// # Errors
    /// Any exception that `fill` raises; `BufferError` when other code still uses the memory.
    pub fn fill<R>(
        &mut self,
        size: usize,
        fill: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<R>,
        count: impl FnOnce(&R) -> usize,
    ) -> PyResult<R> {
        let size = size.min(self.remaining());
        // SAFETY: a live bytes object.
        let start = unsafe { ffi::PyBytes_AS_STRING(self.object.as_ptr()) }.cast_mut();
        // SAFETY: within the object.
        let start = unsafe { start.add(self.filled) };
        // SAFETY: `size` bytes that no other code has a pointer to; if the view outlives the call, the bytes do too,
        // see below.
        let (outcome, kept) = unsafe { BufferView::lend(self.py, start.cast(), size, fill) }?;
        if kept {
            // Code that kept the view may write at any time.
            // SAFETY: a live object; the reference is never released.
            unsafe { ffi::Py_IncRef(self.object.as_ptr()) };
            return Err(crate::capi::raise::error::<PyBufferError>("memory that was lent is still in use"));
        }
        let outcome = outcome?;
        self.filled += count(&outcome).min(size);
        Ok(outcome)
    }

    /// The bytes written so far.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn finish(self) -> PyResult<Bound<'py, PyBytes>> {
        let this = std::mem::ManuallyDrop::new(self);
        let mut object = this.object.as_ptr();
        let length = ffi::Py_ssize_t::try_from(this.filled).unwrap_or(0);
        // SAFETY: we hold the only reference; on failure the object is released and the pointer null.
        if unsafe { version::_PyBytes_Resize(&raw mut object, length) } < 0 {
            return Err(PyErr::fetch(this.py));
        }
        // SAFETY: a new reference to a bytes object.
        let bytes = unsafe { Bound::from_owned_ptr(this.py, object) };
        // SAFETY: it was made as bytes.
        Ok(unsafe { bytes.cast_into_unchecked::<PyBytes>() })
    }
}

impl Drop for BytesWriter<'_> {
    fn drop(&mut self) {
        // SAFETY: the reference that `new` took; attached, because the token lives as long as this.
        unsafe { ffi::Py_DecRef(self.object.as_ptr()) };
    }
}
