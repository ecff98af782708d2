//! Names for Python, made when the module is imported.
//!
//! `PyO3`'s macro of the same name makes a name at its first use. That panics where there is no memory, in the middle
//! of the code that needs the name, and work in progress is lost, for example bytes that were read.

use std::convert::Infallible;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;
use pyo3::{Borrowed, PyTypeCheck};

#[doc(hidden)]
pub use inventory;
#[doc(hidden)]
pub use pyo3::sync::Interned;

/// A name used in one place of the code.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Name(pub &'static Interned);

impl<'py> IntoPyObject<'py> for Name {
    type Target = PyString;
    type Output = Borrowed<'py, 'py, PyString>;
    type Error = Infallible;

    #[inline]
    fn into_pyobject(self, py: Python<'py>) -> Result<Self::Output, Infallible> {
        Ok(self.0.get(py).as_borrowed())
    }
}

inventory::collect!(Name);

/// The interned string of a literal, made when the module is imported.
#[macro_export]
#[doc(hidden)]
macro_rules! intern {
    ($py:expr, $text:expr) => {{
        static NAME: $crate::capi::interned::Interned = $crate::capi::interned::Interned::new($text);
        $crate::capi::interned::inventory::submit!($crate::capi::interned::Name(&NAME));
        NAME.get($py)
    }};
}

/// The same as an argument, where no token is at hand.
#[macro_export]
#[doc(hidden)]
macro_rules! name {
    ($text:expr) => {{
        static NAME: $crate::capi::interned::Interned = $crate::capi::interned::Interned::new($text);
        $crate::capi::interned::inventory::submit!($crate::capi::interned::Name(&NAME));
        $crate::capi::interned::Name(&NAME)
    }};
}

/// Defines functions that return what a module has under a name, imported on first use and then kept.
#[macro_export]
#[doc(hidden)]
macro_rules! imported {
    ($($(#[$doc:meta])? $name:ident = $module:literal . $attribute:literal;)*) => {$(
        #[doc = concat!("`", $module, ".", $attribute, "`.")]
        $(///
        #[$doc])?
        pub(crate) fn $name(py: ::pyo3::Python<'_>) -> ::pyo3::PyResult<&::pyo3::Bound<'_, ::pyo3::PyAny>> {
            static CELL: ::pyo3::sync::PyOnceLock<::pyo3::Py<::pyo3::PyAny>> = ::pyo3::sync::PyOnceLock::new();
            $crate::capi::interned::import(py, &CELL, $crate::name!($module), $crate::name!($attribute))
        }
    )*};
}

/// What a module has under a name, taken once.
///
/// # Errors
/// What importing raises; `AttributeError`; `TypeError` for what is not a `T`.
pub fn import<'py, T: PyTypeCheck>(
    py: Python<'py>,
    place: &'static PyOnceLock<Py<T>>,
    module: Name,
    attribute: Name,
) -> PyResult<&'py Bound<'py, T>> {
    let find = || Ok(crate::capi::modules::module(py, module)?.getattr(attribute)?.cast_into::<T>()?.unbind());
    place.get_or_try_init(py, find).map(|found| found.bind(py))
}

/// Makes all names.
pub(crate) fn prepare(py: Python<'_>) {
    for Name(interned) in inventory::iter::<Name> {
        interned.get(py);
    }
}
