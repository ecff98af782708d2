//! `Visitor`: the garbage collector's visit of an object's references, for the bodies of coroutines.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::marker::PhantomData;

use pyo3::ffi;
use pyo3::prelude::*;

use super::owned_ref::OwnedRef;

/// The collector's visit of an object's references.
pub struct Visitor<'a> {
    visit: ffi::visitproc,
    argument: *mut c_void,
    outcome: Cell<c_int>,
    scope: PhantomData<&'a ()>,
}

impl Visitor<'_> {
    /// From the arguments of a traversal that the collector calls.
    pub(crate) fn new(visit: ffi::visitproc, argument: *mut c_void) -> Self {
        Self { visit, argument, outcome: Cell::new(0), scope: PhantomData }
    }

    /// The return value of the traversal: 0, or the visit's result that ended it.
    pub(crate) fn outcome(&self) -> c_int {
        self.outcome.get()
    }

    /// Shows an object.
    pub fn show<T>(&self, object: &Py<T>) {
        self.show_pointer(object.as_ptr());
    }

    /// Shows an object, if there is one.
    pub fn show_any<T>(&self, object: Option<&Py<T>>) {
        if let Some(object) = object {
            self.show(object);
        }
    }

    /// Shows an object.
    pub fn show_owned<T>(&self, object: &OwnedRef<T>) {
        self.show_pointer(object.as_ptr());
    }

    pub(crate) fn show_pointer(&self, object: *mut ffi::PyObject) {
        if self.outcome.get() == 0 {
            // SAFETY: `visit` and its argument are the collector's own, alive during the visit.
            self.outcome.set(unsafe { (self.visit)(object, self.argument) });
        }
    }
}
