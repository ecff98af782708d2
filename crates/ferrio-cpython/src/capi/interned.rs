//! Names for Python, made when the module is imported.
//!
//! `PyO3`'s macro of the same name makes a name at its first use. That panics where there is no memory, in the middle
//! of the code that needs the name, and work in progress is lost, for example bytes that were read.

use pyo3::prelude::*;

#[doc(hidden)]
pub use inventory;
#[doc(hidden)]
pub use pyo3::sync::Interned;

/// A name used in one place of the code.
#[doc(hidden)]
pub struct Name(pub &'static Interned);

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

/// Makes all names.
pub(crate) fn prepare(py: Python<'_>) {
    for Name(interned) in inventory::iter::<Name> {
        interned.get(py);
    }
}
