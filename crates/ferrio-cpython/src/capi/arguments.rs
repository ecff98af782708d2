//! The arguments of raw methods: sorts positional and keyword arguments into the slots of a signature.

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// The parameters of a method: `names` in order, of which the first `positional` may be passed by position and the
/// first `required` must be passed.
pub(crate) struct Signature<const N: usize> {
    pub(crate) method: &'static str,
    pub(crate) names: [&'static str; N],
    pub(crate) positional: usize,
    pub(crate) required: usize,
}

impl<const N: usize> Signature<N> {
    /// Sorts a vectorcall's arguments.
    ///
    /// # Safety
    /// `stack`, `count` and `keywords` are a vectorcall's arguments, alive during the call.
    #[inline]
    pub(crate) unsafe fn vectorcall<'py>(
        &self,
        py: Python<'py>,
        stack: *const *mut ffi::PyObject,
        count: isize,
        keywords: *mut ffi::PyObject,
    ) -> PyResult<[Option<Bound<'py, PyAny>>; N]> {
        let mut slots = [const { None }; N];
        let given = usize::try_from(count).unwrap_or(0);
        if given > self.positional {
            return Err(self.too_many(given));
        }
        for (index, slot) in slots.iter_mut().enumerate().take(given) {
            // SAFETY: within the stack, by the calling convention.
            let place = unsafe { stack.add(index) };
            // SAFETY: as above.
            let pointer = unsafe { *place };
            // SAFETY: an argument, alive during the call.
            *slot = Some(unsafe { Bound::from_borrowed_ptr(py, pointer) });
        }
        // SAFETY: null or the tuple of names, alive during the call.
        if let Some(names) = unsafe { Bound::from_borrowed_ptr_or_opt(py, keywords) } {
            // SAFETY: the calling convention makes it a tuple.
            let names = unsafe { names.cast_into_unchecked::<PyTuple>() };
            for (index, name) in names.iter().enumerate() {
                // SAFETY: the values follow the positional arguments on the stack.
                let place = unsafe { stack.add(given + index) };
                // SAFETY: as above.
                let pointer = unsafe { *place };
                // SAFETY: an argument, alive during the call.
                let value = unsafe { Bound::from_borrowed_ptr(py, pointer) };
                self.place(&mut slots, &name, value)?;
            }
        }
        self.check(slots)
    }

    /// Sorts the arguments of `tp_init`.
    ///
    /// # Safety
    /// A tuple, and null or a dict, both alive during the call.
    pub(crate) unsafe fn init<'py>(
        &self,
        py: Python<'py>,
        arguments: *mut ffi::PyObject,
        keywords: *mut ffi::PyObject,
    ) -> PyResult<[Option<Bound<'py, PyAny>>; N]> {
        let mut slots = [const { None }; N];
        // SAFETY: a tuple the caller guarantees it.
        let arguments = unsafe { Bound::from_borrowed_ptr(py, arguments) };
        // SAFETY: as above.
        let arguments = unsafe { arguments.cast_into_unchecked::<PyTuple>() };
        if arguments.len() > self.positional {
            return Err(self.too_many(arguments.len()));
        }
        for (slot, value) in slots.iter_mut().zip(arguments.iter()) {
            *slot = Some(value);
        }
        // SAFETY: null or a dict the caller guarantees it.
        if let Some(keywords) = unsafe { Bound::from_borrowed_ptr_or_opt(py, keywords) } {
            // SAFETY: a dict the caller guarantees it.
            for (name, value) in unsafe { keywords.cast_into_unchecked::<PyDict>() } {
                self.place(&mut slots, &name, value)?;
            }
        }
        self.check(slots)
    }

    fn place<'py>(
        &self,
        slots: &mut [Option<Bound<'py, PyAny>>; N],
        name: &Bound<'py, PyAny>,
        value: Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let text = name.extract::<&str>()?;
        let Some(index) = self.names.iter().position(|known| *known == text) else {
            return Err(unexpected_keyword(self.method, text));
        };
        if slots[index].replace(value).is_some() {
            return Err(multiple_values(self.method, text));
        }
        Ok(())
    }

    #[inline]
    fn check<'py>(&self, slots: [Option<Bound<'py, PyAny>>; N]) -> PyResult<[Option<Bound<'py, PyAny>>; N]> {
        if let Some(missing) = slots.iter().take(self.required).position(Option::is_none) {
            return Err(self.missing(missing));
        }
        Ok(slots)
    }

    #[cold]
    fn too_many(&self, given: usize) -> PyErr {
        let Self { method, positional, .. } = self;
        if *positional == 0 {
            return crate::capi::raise::error::<PyTypeError>(format!("{method}() takes no positional arguments"));
        }
        crate::capi::raise::error::<PyTypeError>(format!(
            "{method}() takes at most {positional} positional arguments ({given} given)"
        ))
    }

    #[cold]
    fn missing(&self, index: usize) -> PyErr {
        let name = self.names[index];
        crate::capi::raise::error::<PyTypeError>(format!(
            "{}() missing required argument '{name}' (pos {})",
            self.method,
            index + 1
        ))
    }
}

/// The argument unless it is None.
#[inline]
pub(crate) fn unless_none(argument: Option<Bound<'_, PyAny>>) -> Option<Bound<'_, PyAny>> {
    argument.filter(|argument| !argument.is_none())
}

/// The error for a keyword argument that `method` does not take.
#[cold]
pub(crate) fn unexpected_keyword(method: &str, name: &str) -> PyErr {
    crate::capi::raise::error::<PyTypeError>(format!("{method}() got an unexpected keyword argument '{name}'"))
}

/// The error for an argument of `method` that is given twice.
#[cold]
pub(crate) fn multiple_values(method: &str, name: &str) -> PyErr {
    crate::capi::raise::error::<PyTypeError>(format!("{method}() got multiple values for argument '{name}'"))
}
