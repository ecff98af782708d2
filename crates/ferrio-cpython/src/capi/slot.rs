//! `Slot`: an attribute in the `__slots__` of a class made in Python, read and written at its place in the object.
//!
//! A tenth of the cost of the lookup by name. An object of any other class, and a class whose attribute is not a plain
//! slot, are served by name.

use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::capi::memory;

/// A slot of one class, found by `find`.
pub struct Slot {
    name: &'static str,
    /// Null until the slot is found.
    class: AtomicPtr<ffi::PyTypeObject>,
    offset: AtomicUsize,
}

impl Slot {
    /// The slot of that name, not found yet.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, class: AtomicPtr::new(std::ptr::null_mut()), offset: AtomicUsize::new(0) }
    }

    /// Finds the slot in `class`, which lives as long as the process.
    ///
    /// # Errors
    /// What the lookup in the class raises.
    pub fn find(&self, class: &Bound<'_, PyType>) -> PyResult<()> {
        let found = class.getattr(name!("__dict__"))?.get_item(self.name).ok();
        let offset = found.and_then(|descriptor| offset_of(&descriptor, class));
        // Relaxed: written with the GIL held, as they are read.
        self.offset.store(offset.unwrap_or(0), Ordering::Relaxed);
        let known = if offset.is_some() { class.as_type_ptr() } else { std::ptr::null_mut() };
        self.class.store(known, Ordering::Relaxed);
        Ok(())
    }

    /// The attribute of `object`.
    ///
    /// # Errors
    /// `AttributeError` while it is not set, and what another class's attribute raises.
    #[inline]
    pub fn get<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match self.get_if_set(object) {
            Some(value) => Ok(value),
            None => self.get_by_name(object),
        }
    }

    /// The attribute of `object`, if it is exactly of the class and the attribute is set.
    #[inline]
    #[must_use]
    pub fn get_if_set<'py>(&self, object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        // SAFETY: a slot of a live object, which holds null or an object.
        let value = unsafe { self.place(object)?.read() };
        // SAFETY: the slot's own reference, which is counted again before other code can run.
        unsafe { Bound::from_borrowed_ptr_or_opt(object.py(), value) }
    }

    /// Sets the attribute of `object`. What it was before is released last.
    ///
    /// # Errors
    /// What another class's attribute raises.
    #[inline]
    pub fn set(&self, object: &Bound<'_, PyAny>, value: Bound<'_, PyAny>) -> PyResult<()> {
        let Some(place) = self.place(object) else {
            return self.set_by_name(object, &value);
        };
        // SAFETY: a slot of a live object, which owns what it holds.
        let before = unsafe { place.replace(value.into_ptr()) };
        // SAFETY: null, or the reference that the slot owned; releasing it may run any code, which finds the new value.
        unsafe { ffi::Py_XDECREF(before) };
        Ok(())
    }

    /// Where `object` keeps the attribute, if it is exactly of the class.
    #[inline]
    fn place(&self, object: &Bound<'_, PyAny>) -> Option<*mut *mut ffi::PyObject> {
        let class = self.class.load(Ordering::Relaxed);
        if !std::ptr::eq(object.get_type_ptr(), class) {
            return None;
        }
        // SAFETY: the class's own descriptor says that each of its objects has a slot there.
        Some(unsafe { object.as_ptr().byte_add(self.offset.load(Ordering::Relaxed)) }.cast())
    }

    #[cold]
    fn get_by_name<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        object.getattr(memory::text(object.py(), self.name)?)
    }

    #[cold]
    fn set_by_name(&self, object: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        object.setattr(memory::text(object.py(), self.name)?, value)
    }
}

/// Whether nothing refers to `value`, which a slot's `get_if_set` returned, but the slot and that result.
#[inline]
#[must_use]
pub fn is_private(value: &Bound<'_, PyAny>) -> bool {
    // SAFETY: a live object.
    let count = unsafe { ffi::Py_REFCNT(value.as_ptr()) };
    count == 2
}

/// Where objects of `class` keep what `descriptor` describes, if that is a plain slot of the class itself.
fn offset_of(descriptor: &Bound<'_, PyAny>, class: &Bound<'_, PyType>) -> Option<usize> {
    if !std::ptr::eq(descriptor.get_type_ptr(), &raw const ffi::PyMemberDescr_Type) {
        return None;
    }
    // SAFETY: exactly a member descriptor.
    let descriptor = unsafe { &*descriptor.as_ptr().cast::<ffi::PyMemberDescrObject>() };
    // SAFETY: a descriptor's definition lives as long as it does.
    let member = unsafe { &*descriptor.d_member };
    let is_slot = member.type_code == ffi::Py_T_OBJECT_EX && member.flags == 0;
    let is_own = std::ptr::eq(descriptor.d_common.d_type, class.as_type_ptr());
    (is_slot && is_own).then(|| usize::try_from(member.offset).ok()).flatten()
}
