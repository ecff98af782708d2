//! `PythonClass`: a class made in Python whose instances are made here without calling its constructor.

use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::capi::memory::out_of_memory;

/// A class for whose instances `object.__new__` may be called.
pub struct PythonClass(Py<PyType>);

impl PythonClass {
    /// `class`, if it is one.
    ///
    /// # Errors
    /// `TypeError` for any other class.
    pub fn new(class: &Bound<'_, PyType>) -> PyResult<Self> {
        Self::with_trial(class, |_| Ok(()))
    }

    /// As `new`; `prepare` is for the instance that is made on trial, before its end.
    ///
    /// # Errors
    /// `TypeError` for any other class, and what `prepare` raises.
    pub fn with_trial(
        class: &Bound<'_, PyType>,
        prepare: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<()>,
    ) -> PyResult<Self> {
        // The interpreter itself checks that the instances are nothing but what `object.__new__` makes.
        let trial = class.py().get_type::<PyAny>().call_method1(crate::intern!(class.py(), "__new__"), (class,))?;
        prepare(&trial)?;
        Ok(Self(class.clone().unbind()))
    }

    /// A second reference.
    #[must_use]
    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        Self(self.0.clone_ref(py))
    }

    /// A new instance, as `object.__new__(class)`.
    ///
    /// # Errors
    /// `MemoryError`.
    #[inline]
    pub fn instance<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let class = self.0.bind(py).as_type_ptr();
        // SAFETY: a live type.
        let allocate = unsafe { (*class).tp_alloc };
        let Some(allocate) = allocate else {
            return Err(out_of_memory(py));
        };
        // SAFETY: what `object.__new__` does, which `new` found to be allowed for the class.
        let instance = unsafe { allocate(class, 0) };
        // SAFETY: a new reference or null with an exception set.
        unsafe { Bound::from_owned_ptr_or_err(py, instance) }
    }
}
