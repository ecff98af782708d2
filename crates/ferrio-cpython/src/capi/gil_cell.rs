//! `GilCell`: interior mutability guarded by being attached to the interpreter.
//!
//! Invariant: a borrow lives only inside one closure, on one thread that holds the GIL, and the closure runs no Python
//! code, so borrows never overlap. A borrow flag turns a broken invariant into a panic, which reaches Python as an
//! exception, never into two live `&mut`. Free-threaded builds run with the GIL enabled (the module declares that it
//! needs it); replacing the cell by a lock there changes this file alone.
//!
//! All-zero memory is a cell that is borrowed: Python 3.11 makes the dictionary of a new object before its value is
//! there, and the collector may run at that moment.

use std::cell::{Cell, UnsafeCell};

use pyo3::{PyVisit, Python};

use super::visitor::Visitor;

/// A value that any thread attached to the interpreter may access.
pub struct GilCell<T> {
    free: Cell<bool>,
    value: UnsafeCell<T>,
}

// SAFETY: SAFETY.md, "GilCell": every access needs a `Python` token, hence the GIL, which orders accesses of all
// threads.
unsafe impl<T: Send> Sync for GilCell<T> {}

/// Sets the flag again even when the closure panics.
struct Release<'a>(&'a Cell<bool>);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

impl<T> GilCell<T> {
    /// A cell holding `value`.
    pub const fn new(value: T) -> Self {
        Self { free: Cell::new(true), value: UnsafeCell::new(value) }
    }

    /// Whether there is a value: not in an object that the interpreter frees before it is initialized.
    #[must_use]
    pub fn is_initialized(&self, _py: Python<'_>) -> bool {
        self.free.get()
    }

    /// Runs `access` with the value. `access` must not run Python code: no call, no comparison, no release of the
    /// last reference to an object.
    ///
    /// # Panics
    /// When called from inside another `with` of the same cell.
    #[inline]
    pub fn with<R>(&self, py: Python<'_>, access: impl FnOnce(&mut T) -> R) -> R {
        self.with_inlined(py, access)
    }

    /// `with` for its hottest callers, always inlined whatever `access` does.
    ///
    /// # Panics
    /// As `with`.
    #[inline(always)] // benchmark `call_soon_chain`; everywhere it would cost `queue_handoff` more
    pub fn with_inlined<R>(&self, _py: Python<'_>, access: impl FnOnce(&mut T) -> R) -> R {
        assert!(self.free.replace(false), "a GilCell is borrowed twice: Python code ran inside a borrow");
        let _release = Release(&self.free);
        // SAFETY: the token proves the GIL, the flag that no other borrow is alive; SAFETY.md, "GilCell".
        access(unsafe { &mut *self.value.get() })
    }

    /// Reads the value during garbage collection, or returns None while it is borrowed or not there yet (the collector
    /// then treats the object as alive and visits it again later).
    pub fn traverse<R>(&self, _visit: &PyVisit<'_>, access: impl FnOnce(&T) -> R) -> Option<R> {
        if !self.free.get() {
            return None;
        }
        // SAFETY: a `PyVisit` exists only inside tp_traverse, which runs with the GIL held and no Python code beside
        // it.
        Some(access(unsafe { &*self.value.get() }))
    }

    /// The same for the traversal of a coroutine's body.
    pub fn visit<R>(&self, _visitor: &Visitor<'_>, access: impl FnOnce(&T) -> R) -> Option<R> {
        if !self.free.get() {
            return None;
        }
        // SAFETY: as in `traverse`: a visitor, too, exists only inside tp_traverse.
        Some(access(unsafe { &*self.value.get() }))
    }

    /// Exclusive access by exclusive ownership.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: Default> Default for GilCell<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: Copy> GilCell<T> {
    /// A copy of the value.
    #[inline]
    pub fn get(&self, py: Python<'_>) -> T {
        self.with(py, |value| *value)
    }

    /// Replaces the value.
    #[inline]
    pub fn set(&self, py: Python<'_>, new: T) {
        self.with(py, |value| *value = new);
    }
}

/// A flag read and written under the GIL.
#[derive(Default)]
pub struct GilFlag(std::sync::atomic::AtomicBool);

impl GilFlag {
    /// Whether it is set. Relaxed is enough: the GIL orders all accesses.
    #[inline]
    pub fn get(&self) -> bool {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Sets or clears it. Relaxed is enough: the GIL orders all accesses.
    #[inline]
    pub fn set(&self, value: bool) {
        self.0.store(value, std::sync::atomic::Ordering::Relaxed);
    }
}
