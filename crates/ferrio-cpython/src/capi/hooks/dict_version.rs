//! Detects changes of a module's dictionary by its version: Python 3.11.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::Object;

/// Versions need no registration.
pub(super) struct Watcher;

impl Watcher {
    pub(super) fn find(_py: Python<'_>) -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "the other way of watching needs it")]
    pub(super) fn watch(&self, _dictionary: &Bound<'_, PyDict>) -> bool {
        true
    }
}

/// The version of a dictionary: each change of any dictionary takes a new, unique number.
#[inline]
pub(super) fn version(dictionary: Object) -> u64 {
    let dictionary: *const ffi::PyDictObject = dictionary.cast();
    // SAFETY: a live dictionary of a module, of which 3.11 keeps the version in this place (PEP 509).
    unsafe { (*dictionary).ma_version_tag }
}
