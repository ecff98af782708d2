//! Bytes between Python objects and system calls.
//!
//! A view's memory belongs to an exporter that keeps it in place while the view exists (the buffer protocol guarantees
//! it); other threads could still write into a mutable one, as they can with `CPython`'s own socket module.

use std::mem::MaybeUninit;

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::capi::memory;
use crate::capi::version;

/// Data that a caller passed to be written: read in place, kept alive by a reference.
pub enum Data<'py> {
    /// Immutable: may be kept without a copy.
    Bytes(Bound<'py, PyBytes>),
    /// Anything else that is C-contiguous: copied when it has to be kept.
    View(PyBuffer<u8>),
}

impl<'py> Data<'py> {
    /// Takes bytes, bytearray, memoryview or any other exporter of contiguous memory.
    ///
    /// # Errors
    /// `TypeError` for an object that exports no buffer, `BufferError` for memory that is not contiguous.
    #[inline]
    pub fn from_object(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = object.cast_exact::<PyBytes>() {
            return Ok(Self::Bytes(bytes.clone()));
        }
        Ok(Self::View(view_of(object, false)?))
    }

    /// Reads the memory. `read` must run no Python code.
    #[inline]
    pub fn with<R>(&self, py: Python<'_>, read: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Self::Bytes(bytes) => read(bytes.as_bytes()),
            Self::View(view) => {
                let _ = py;
                let (start, length) = (view.buf_ptr().cast::<u8>(), view.len_bytes());
                if length == 0 {
                    return read(&[]);
                }
                // SAFETY: SAFETY.md, "Buffers": the export keeps the memory in place, the GIL keeps Python code away.
                read(unsafe { std::slice::from_raw_parts(start, length) })
            }
        }
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.as_bytes().len(),
            Self::View(view) => view.len_bytes(),
        }
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The data from `offset` on, to be kept until it can be written.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn into_chunk(self, py: Python<'py>, offset: usize) -> PyResult<Chunk> {
        Ok(match self {
            Self::Bytes(bytes) => Chunk::Bytes { bytes: bytes.unbind(), offset },
            Self::View(_) => Chunk::Copied(self.with(py, |all| memory::copied(py, &all[offset..]))?.into_boxed_slice()),
        })
    }
}

/// Data waiting to be written. Dropping one may run Python code.
pub enum Chunk {
    /// A bytes object from an offset on.
    Bytes {
        /// The object.
        bytes: Py<PyBytes>,
        /// Where the unwritten part begins.
        offset: usize,
    },
    /// A copy of mutable memory.
    Copied(Box<[u8]>),
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Bytes { bytes, offset } => {
                // SAFETY: bytes objects are immutable and this one is alive while we hold the reference; reading
                // their memory needs no GIL.
                let all = unsafe { Python::assume_attached() };
                &bytes.as_bytes(all)[*offset..]
            }
            Self::Copied(copy) => copy,
        }
    }
}

/// A writable view to receive into.
pub struct Target(PyBuffer<u8>);

impl Target {
    /// Takes bytearray, memoryview or any other exporter of writable contiguous memory.
    ///
    /// # Errors
    /// `TypeError` or `BufferError` as raised by the exporter; `BufferError` for read-only or scattered memory.
    pub fn from_object(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self(view_of(object, true)?))
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len_bytes()
    }

    /// Whether its length is zero.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lends the memory. `fill` must run no Python code.
    pub fn with<R>(&self, _py: Python<'_>, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let (start, length) = (self.0.buf_ptr().cast::<u8>(), self.0.len_bytes());
        if length == 0 {
            return fill(&mut []);
        }
        // SAFETY: SAFETY.md, "Buffers": writable by the check in `from_object`, kept in place by the export.
        fill(unsafe { std::slice::from_raw_parts_mut(start, length) })
    }
}

/// Receives straight into a new bytes object of at most `capacity` bytes, which is then truncated to what was received:
/// no copy. `fill` must run no Python code and return the number of bytes it wrote.
///
/// # Errors
/// `MemoryError`. The error of `fill` is returned unchanged.
pub fn receive_bytes<E>(
    py: Python<'_>,
    capacity: usize,
    fill: impl FnOnce(&mut [MaybeUninit<u8>]) -> Result<usize, E>,
) -> PyResult<Result<Bound<'_, PyBytes>, E>> {
    let length = ffi::Py_ssize_t::try_from(capacity).unwrap_or(ffi::Py_ssize_t::MAX);
    // SAFETY: a null source makes an object with uninitialised contents.
    let mut object = unsafe { ffi::PyBytes_FromStringAndSize(std::ptr::null(), length) };
    if object.is_null() {
        return Err(PyErr::fetch(py));
    }
    // SAFETY: a live bytes object that no other code has a pointer to.
    let start = unsafe { ffi::PyBytes_AS_STRING(object) }.cast_mut().cast::<MaybeUninit<u8>>();
    // SAFETY: `capacity` bytes of our own, lent as uninitialised.
    let outcome = fill(unsafe { std::slice::from_raw_parts_mut(start, capacity) });
    let count = *outcome.as_ref().unwrap_or(&0);
    let length = ffi::Py_ssize_t::try_from(count.min(capacity)).unwrap_or(0);
    // SAFETY: we hold the only reference; on failure the object is released and the pointer null.
    if unsafe { version::_PyBytes_Resize(&raw mut object, length) } < 0 {
        return Err(PyErr::fetch(py));
    }
    // SAFETY: a new reference to a bytes object.
    let bytes = unsafe { Bound::from_owned_ptr(py, object) };
    // SAFETY: it was made as bytes above.
    let bytes = unsafe { bytes.cast_into_unchecked::<PyBytes>() };
    Ok(outcome.map(|_| bytes))
}

fn view_of(object: &Bound<'_, PyAny>, writable: bool) -> PyResult<PyBuffer<u8>> {
    let view = match PyBuffer::<u8>::get(object) {
        Ok(view) => view,
        // Memory of other element types is bytes to a system call: `memoryview.cast` returns that view.
        Err(error) if error.is_instance_of::<PyBufferError>(object.py()) => {
            let cast = crate::capi::modules::module(object.py(), name!("builtins"))?
                .getattr(name!("memoryview"))?
                .call1((object,))?;
            PyBuffer::<u8>::get(&cast.call_method1(name!("cast"), ("B",))?)?
        }
        Err(error) => return Err(error),
    };
    if !view.is_c_contiguous() {
        return Err(crate::capi::raise::error::<PyBufferError>("memoryview: underlying buffer is not C-contiguous"));
    }
    if writable && view.readonly() {
        return Err(crate::capi::raise::error::<PyTypeError>("read-write bytes-like object expected"));
    }
    Ok(view)
}
