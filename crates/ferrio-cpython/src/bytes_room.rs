//! `BytesRoom`: a bytes object that Python functions fill part by part, and that is then cut to what came.
//!
//! Invariant: nobody else knows the object before it is finished. A part is lent as a memoryview, which is released before
//! the next one: whoever kept it cannot reach the memory any more.

use std::ptr::NonNull;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::version;

/// A bytes object in the making.
pub struct BytesRoom<'py> {
    py: Python<'py>,
    /// Owned; its contents are uninitialised behind `filled`.
    object: NonNull<ffi::PyObject>,
    room: usize,
    filled: usize,
}

impl<'py> BytesRoom<'py> {
    /// Room for `room` bytes.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn new(py: Python<'py>, room: usize) -> PyResult<Self> {
        let length = ffi::Py_ssize_t::try_from(room).unwrap_or(ffi::Py_ssize_t::MAX);
        // SAFETY: a null source makes an object with uninitialised contents.
        let object = unsafe { ffi::PyBytes_FromStringAndSize(std::ptr::null(), length) };
        let object = NonNull::new(object).ok_or_else(|| PyErr::fetch(py))?;
        Ok(Self { py, object, room, filled: 0 })
    }

    /// How many bytes are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.room - self.filled
    }

    /// Has `fill` write into the next `size` bytes; it gives what `count` takes for the number of bytes written.
    ///
    /// # Errors
    /// What `fill` raises; `BufferError` when somebody else still uses the memory.
    pub fn fill<R>(
        &mut self,
        size: usize,
        fill: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<R>,
        count: impl FnOnce(&R) -> usize,
    ) -> PyResult<R> {
        let size = size.min(self.left());
        let length = ffi::Py_ssize_t::try_from(size).unwrap_or(0);
        // SAFETY: a live bytes object.
        let start = unsafe { ffi::PyBytes_AS_STRING(self.object.as_ptr()) }.cast_mut();
        // SAFETY: within the object.
        let start = unsafe { start.add(self.filled) };
        // SAFETY: `size` bytes that nobody else knows; they live until the view is released, below.
        let view = unsafe { ffi::PyMemoryView_FromMemory(start, length, ffi::PyBUF_WRITE) };
        // SAFETY: a new reference or null with an exception set.
        let view = unsafe { Bound::from_owned_ptr_or_err(self.py, view) }?;
        let outcome = fill(&view);
        if let Err(error) = view.call_method0(pyo3::intern!(self.py, "release")) {
            // Whoever exports it may write at any time: the memory stays theirs for ever.
            // SAFETY: a live object; the reference is never given up.
            unsafe { ffi::Py_IncRef(self.object.as_ptr()) };
            return Err(error);
        }
        let outcome = outcome?;
        self.filled += count(&outcome).min(size);
        Ok(outcome)
    }

    /// What was filled.
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

impl Drop for BytesRoom<'_> {
    fn drop(&mut self) {
        // SAFETY: the reference that `new` took; attached, for the token lives as long as this.
        unsafe { ffi::Py_DecRef(self.object.as_ptr()) };
    }
}
