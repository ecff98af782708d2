//! Memory of freed objects, kept for the next ones of the same type.
//!
//! Invariant: what is kept is of the collector's allocator, untracked, never finalized, and holds nothing. The
//! collector remembers in the memory that an object was finalized, and would not finalize the next one.

use std::ptr::NonNull;

use pyo3::ffi;
use pyo3::prelude::*;

use crate::gil_cell::GilCell;

/// The spare memory of one type, whose objects have the layout `T`.
pub(crate) struct Spares<T> {
    list: GilCell<Vec<Spare<T>>>,
    limit: usize,
}

struct Spare<T>(NonNull<T>);

// SAFETY: plain memory without an owner; it is touched only with the GIL held.
unsafe impl<T> Send for Spare<T> {}

impl<T> Spares<T> {
    /// At most `limit` pieces are kept.
    pub(crate) const fn new(limit: usize) -> Self {
        Self { list: GilCell::new(Vec::new()), limit }
    }

    /// A new object of `class` with one reference, untracked, whose fields are not initialised.
    ///
    /// # Safety
    /// `class` is a GC type whose basic size is that of `T`.
    #[inline]
    pub(crate) unsafe fn take(&self, py: Python<'_>, class: *mut ffi::PyTypeObject) -> PyResult<NonNull<T>> {
        if let Some(Spare(memory)) = self.list.with(py, Vec::pop) {
            // SAFETY: uninitialised memory of the right size, with room for the collector's head before it.
            unsafe { ffi::PyObject_Init(memory.as_ptr().cast(), class) };
            return Ok(memory);
        }
        // SAFETY: by the caller's promise.
        let fresh = unsafe { ffi::PyObject_GC_New::<T>(class) };
        NonNull::new(fresh).ok_or_else(|| PyErr::fetch(py))
    }

    /// Takes the memory of an object that is dead, keeping or freeing it.
    ///
    /// # Safety
    /// The object came from `take`, is untracked, and its fields are released.
    #[inline]
    pub(crate) unsafe fn give(&self, py: Python<'_>, memory: NonNull<T>) {
        // SAFETY: memory of a GC type.
        if unsafe { ffi::PyObject_GC_IsFinalized(memory.as_ptr().cast()) } != 0 {
            // SAFETY: of the collector's allocator, untracked, and no object lives in it.
            unsafe { ffi::PyObject_GC_Del(memory.as_ptr().cast()) };
            return;
        }
        // SAFETY: by the caller's promise, and not finalized.
        unsafe { self.give_unfinalized(py, memory) };
    }

    /// The same for an object that was never finalized.
    ///
    /// # Safety
    /// As for `give`, and no finalizer of it has run.
    #[inline]
    pub(crate) unsafe fn give_unfinalized(&self, py: Python<'_>, memory: NonNull<T>) {
        let kept = self.list.with(py, |list| {
            let room = list.len() < self.limit;
            if room {
                list.push(Spare(memory));
            }
            room
        });
        if !kept {
            // SAFETY: of the collector's allocator, untracked, and no object lives in it.
            unsafe { ffi::PyObject_GC_Del(memory.as_ptr().cast()) };
        }
    }
}
