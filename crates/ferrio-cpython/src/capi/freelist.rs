//! Memory of freed objects, kept for the next ones of the same type.
//!
//! Invariant: each kept piece is the memory of an object of which only its type, with the reference to it, is left; it
//! is untracked and was never finalized. The collector records in the memory that an object was finalized, and would
//! not finalize the next one.

use std::ptr::NonNull;

use pyo3::ffi;
use pyo3::prelude::*;

use crate::capi::gil_cell::GilCell;

/// The free list of one type, whose objects have the layout `T`.
pub(crate) struct FreeList<T> {
    list: GilCell<Vec<FreeObject<T>>>,
    limit: usize,
}

struct FreeObject<T>(NonNull<T>);

// SAFETY: memory that no other code knows; it is touched only with the GIL held.
unsafe impl<T> Send for FreeObject<T> {}

impl<T> FreeList<T> {
    /// For a type that takes part in garbage collection. At most `limit` pieces are kept.
    pub(crate) const fn new(limit: usize) -> Self {
        Self { list: GilCell::new(Vec::new()), limit }
    }

    /// An object from the list with one reference, untracked, whose fields are as its predecessor left them.
    #[inline]
    pub(crate) fn reuse(&self, py: Python<'_>) -> Option<NonNull<T>> {
        let FreeObject(memory) = self.list.with(py, Vec::pop)?;
        // The count was zero. `PyObject_Init` would set the type again, which costs a tenth of an await that ends at
        // once (benchmark `queue_unbounded`).
        // SAFETY: an object with a whole head, by the invariant.
        unsafe { ffi::Py_INCREF(memory.as_ptr().cast()) };
        Some(memory)
    }

    /// A new object of `class` with one reference, untracked, whose fields are not initialised.
    ///
    /// # Safety
    /// `class` is the type of this free list, and its basic size is that of `T`.
    #[inline]
    pub(crate) unsafe fn take(&self, py: Python<'_>, class: *mut ffi::PyTypeObject) -> PyResult<NonNull<T>> {
        if let Some(memory) = self.reuse(py) {
            return Ok(memory);
        }
        // SAFETY: the caller guarantees it.
        let fresh = unsafe { ffi::PyObject_GC_New::<T>(class) };
        NonNull::new(fresh).ok_or_else(|| PyErr::fetch(py))
    }

    /// Takes the memory of a dead object with its reference to its type, and keeps or frees it.
    ///
    /// # Safety
    /// The object is exactly of the type of this free list and came from its allocator, its count is zero, it is
    /// untracked, and its fields are released.
    #[inline]
    pub(crate) unsafe fn put(&self, py: Python<'_>, memory: NonNull<T>) {
        // SAFETY: memory of a GC type.
        if unsafe { ffi::PyObject_GC_IsFinalized(memory.as_ptr().cast()) } != 0 {
            // SAFETY: the caller guarantees it.
            unsafe { self.free(memory) };
            return;
        }
        // SAFETY: the caller guarantees it, and it was not finalized.
        unsafe { self.put_unfinalized(py, memory) };
    }

    /// The same for an object that was never finalized.
    ///
    /// # Safety
    /// As for `put`, and no finalizer of it has run.
    #[inline]
    pub(crate) unsafe fn put_unfinalized(&self, py: Python<'_>, memory: NonNull<T>) {
        let kept = self.list.with(py, |list| {
            let fits = list.len() < self.limit && (list.len() < list.capacity() || has_grown(list));
            if fits {
                list.push(FreeObject(memory));
            }
            fits
        });
        if !kept {
            // SAFETY: the caller guarantees it.
            unsafe { self.free(memory) };
        }
    }

    /// # Safety
    /// The same as for `put`.
    #[cold]
    unsafe fn free(&self, memory: NonNull<T>) {
        // SAFETY: an instance of a heap type owns a reference to its type.
        let class = unsafe { ffi::Py_TYPE(memory.as_ptr().cast()) };
        // SAFETY: of the collector's allocator, untracked, and no object lives in it.
        unsafe { ffi::PyObject_GC_Del(memory.as_ptr().cast()) };
        // SAFETY: the reference that the instance held.
        unsafe { ffi::Py_DECREF(class.cast()) };
    }
}

/// Makes capacity for one more; false if there is no memory. Apart, so that a destructor that only stores a pointer
/// saves no registers: 14 instructions a coroutine.
#[cold]
#[inline(never)]
fn has_grown<T>(list: &mut Vec<FreeObject<T>>) -> bool {
    list.try_reserve(1).is_ok()
}
