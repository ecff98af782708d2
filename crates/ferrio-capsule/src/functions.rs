//! The functions of a table whose version was checked, as safe Rust.

use std::ptr::{NonNull, null};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyCapsuleMethods};

use crate::table::{Header, NAME, RawBell, Table, VERSION};

/// The functions of ferrio's extension.
#[derive(Clone, Copy, Debug)]
pub struct Functions(&'static Table);

/// The table is of another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The version that was found; 0.0 for an object that is no such capsule.
    pub found: (u32, u32),
    /// The version fits, but the table does not have all of its functions.
    pub is_short: bool,
}

impl Mismatch {
    /// An object that is no such capsule: a ferrio that is older than all versions.
    pub const NO_CAPSULE: Self = Self { found: (0, 0), is_short: false };

    /// Whether ferrio is older than this crate; else it is newer.
    #[must_use]
    pub fn is_ferrio_older(self) -> bool {
        self.is_short || self.found < VERSION
    }
}

impl Functions {
    /// Those of `capsule`, the object that ferrio's module has for them.
    ///
    /// # Errors
    /// [`Mismatch`] if its table is of a version that does not fit.
    pub fn open(capsule: &Bound<'_, PyAny>) -> Result<Self, Mismatch> {
        let Ok(capsule) = capsule.cast::<PyCapsule>() else { return Err(Mismatch::NO_CAPSULE) };
        let Ok(pointer) = capsule.pointer_checked(Some(NAME)) else { return Err(Mismatch::NO_CAPSULE) };
        // SAFETY: a capsule of this name has a table of some version that lives as long as the process, and each begins
        // with a header.
        let header = unsafe { *pointer.cast::<Header>().as_ref() };
        let fits = header.major == VERSION.0 && header.minor >= VERSION.1;
        if !fits || header.size < size_of::<Table>() {
            return Err(Mismatch { found: (header.major, header.minor), is_short: fits });
        }
        // SAFETY: as above; the first number says that the fields are these, the size that all are there.
        Ok(Self(unsafe { pointer.cast::<Table>().as_ref() }))
    }

    /// The loop that runs on this thread.
    ///
    /// # Errors
    /// `RuntimeError` if there is none.
    #[inline]
    pub fn running_loop(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        // SAFETY: attached, by the token.
        let found = unsafe { (self.0.running_loop)() };
        // SAFETY: a new reference, or null with an exception set.
        unsafe { Bound::from_owned_ptr_or_err(py, found) }
    }

    /// `event_loop.create_task(coroutine)`.
    ///
    /// # Errors
    /// What that raises.
    #[inline]
    pub fn create_task<'py>(
        self,
        event_loop: &Bound<'py, PyAny>,
        coroutine: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        // SAFETY: two live objects, and attached.
        let task = unsafe { (self.0.create_task)(event_loop.as_ptr(), coroutine.as_ptr()) };
        // SAFETY: a new reference, or null with an exception set.
        unsafe { Bound::from_owned_ptr_or_err(event_loop.py(), task) }
    }

    /// A future of the loop that a coroutine may yield to its task.
    ///
    /// # Errors
    /// What `event_loop.create_future()` raises.
    #[inline]
    pub fn new_future<'py>(self, event_loop: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        // SAFETY: a live object, and attached.
        let future = unsafe { (self.0.new_future)(event_loop.as_ptr()) };
        // SAFETY: a new reference, or null with an exception set.
        unsafe { Bound::from_owned_ptr_or_err(event_loop.py(), future) }
    }

    /// Completes a future with None, unless it is done.
    ///
    /// # Errors
    /// What the future or its loop raises.
    #[inline]
    pub fn complete(self, future: &Bound<'_, PyAny>) -> PyResult<()> {
        // SAFETY: a live object, and attached.
        let status = unsafe { (self.0.complete)(future.as_ptr()) };
        check(future.py(), status)
    }

    /// Has the loop call `callback()` after each ring of the bell, until it is closed. None if the loop has no bells.
    ///
    /// # Errors
    /// `RuntimeError` if the loop is closed; `OSError` if there is no descriptor for its waker; `MemoryError`.
    pub fn hang_bell(self, event_loop: &Bound<'_, PyAny>, callback: &Bound<'_, PyAny>) -> PyResult<Option<Bell>> {
        let mut bell: *const RawBell = null();
        // SAFETY: two live objects and a place for a pointer, and attached.
        let status = unsafe { (self.0.hang_bell)(event_loop.as_ptr(), callback.as_ptr(), &raw mut bell) };
        check(event_loop.py(), status)?;
        Ok(NonNull::new(bell.cast_mut()).map(|bell| Bell { table: self.0, bell }))
    }
}

#[inline]
fn check(py: Python<'_>, status: i32) -> PyResult<()> {
    if status == 0 { Ok(()) } else { Err(PyErr::fetch(py)) }
}

/// A bell of a loop. It may outlive the loop and the interpreter.
#[derive(Debug)]
pub struct Bell {
    table: &'static Table,
    bell: NonNull<RawBell>,
}

// SAFETY: the table promises that any thread may call the functions of a bell.
unsafe impl Send for Bell {}
// SAFETY: as above, several at a time.
unsafe impl Sync for Bell {}

impl Bell {
    /// Rings: the loop calls its callback in one of its next turns. Needs no GIL.
    #[inline]
    pub fn ring(&self) {
        // SAFETY: a bell that was not given back.
        unsafe { (self.table.ring)(self.bell.as_ptr()) };
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        // SAFETY: as in `ring`; it is not used again.
        unsafe { (self.table.drop_bell)(self.bell.as_ptr()) };
    }
}

/// A capsule that has `table`, for ferrio's module.
///
/// # Errors
/// `MemoryError`.
pub fn capsule<'py>(py: Python<'py>, table: &'static Table) -> PyResult<Bound<'py, PyAny>> {
    let pointer = std::ptr::from_ref(table).cast_mut().cast();
    // SAFETY: a pointer that is not null and a name, both as long-lived as the process; no destructor.
    let capsule = unsafe { ffi::PyCapsule_New(pointer, NAME.as_ptr(), None) };
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, capsule) }
}
