//! Names for Python, made when the module is imported.
//!
//! `PyO3`'s macro of the same name makes a name at its first use. That panics where there is no memory, in the middle of
//! whatever needs the name, and what was under way then is lost: bytes that were read, say.

use pyo3::prelude::*;

#[doc(hidden)]
pub use inventory;
#[doc(hidden)]
pub use pyo3::sync::Interned;

/// A name that some place of ours uses.
#[doc(hidden)]
pub struct Name(pub &'static Interned);

inventory::collect!(Name);

/// The interned string of a literal, which is there since the module was imported.
#[macro_export]
#[doc(hidden)]
macro_rules! intern {
    ($py:expr, $text:expr) => {{
        static NAME: $crate::capi::interned::Interned = $crate::capi::interned::Interned::new($text);
        $crate::capi::interned::inventory::submit!($crate::capi::interned::Name(&NAME));
        NAME.get($py)
    }};
}

/// Makes the names of all places.
pub(crate) fn prepare(py: Python<'_>) {
    for Name(interned) in inventory::iter::<Name> {
        interned.get(py);
    }
}
