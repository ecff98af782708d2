//! Detects changes of a module's dictionary by a watcher: Python 3.12 and later.

use std::ffi::c_int;
use std::ptr::null_mut;
use std::sync::atomic::Ordering;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::{ALL, Hook, Object, REPLACED};

/// `PyDict_WatchEvent`, in its order.
const ADDED: c_int = 0;
const MODIFIED: c_int = 1;
const DELETED: c_int = 2;
const DEALLOCATED: c_int = 5;

unsafe extern "C" {
    /// Documented since 3.12; `PyO3` leaves it out.
    fn PyDict_AddWatcher(callback: unsafe extern "C" fn(c_int, Object, Object, Object) -> c_int) -> c_int;
}

/// The number of ferrio's dictionary watcher, None where the interpreter has none free.
pub(super) struct Watcher(Option<c_int>);

impl Watcher {
    pub(super) fn find(py: Python<'_>) -> Self {
        // SAFETY: attached by the token; the function lives as long as the process.
        let number = unsafe { PyDict_AddWatcher(note_change) };
        if number < 0 {
            drop(PyErr::fetch(py));
            return Self(None);
        }
        Self(Some(number))
    }

    /// Whether `dictionary` is watched from now on.
    pub(super) fn watch(&self, dictionary: &Bound<'_, PyDict>) -> bool {
        let Some(number) = self.0 else { return false };
        // SAFETY: one of our watchers and a live dictionary.
        let outcome = unsafe { ffi::PyDict_Watch(number, dictionary.as_ptr()) };
        if outcome < 0 {
            drop(PyErr::fetch(dictionary.py()));
        }
        outcome >= 0
    }
}

/// Called before the change. It neither runs Python code nor unwinds: it compares and stores.
unsafe extern "C" fn note_change(event: c_int, dictionary: Object, key: Object, value: Object) -> c_int {
    for hook in ALL {
        if !std::ptr::eq(hook.dictionary.load(Ordering::Relaxed), dictionary) {
            continue;
        }
        match event {
            ADDED | MODIFIED if is_name(hook, key) => hook.note(value),
            DELETED if is_name(hook, key) => hook.note(null_mut()),
            ADDED | MODIFIED | DELETED | DEALLOCATED => {}
            // The whole dictionary changes at once; the next call looks the name up.
            _ => hook.state.store(REPLACED, Ordering::Relaxed),
        }
    }
    0
}

fn is_name(hook: &Hook, key: Object) -> bool {
    let name = hook.key.load(Ordering::Relaxed);
    if std::ptr::eq(key, name) {
        return true;
    }
    // SAFETY: the key of a change is a live object.
    if unsafe { ffi::PyUnicode_CheckExact(key) } == 0 {
        return false;
    }
    // SAFETY: two live strings, of which one may not be interned.
    unsafe { ffi::PyUnicode_Compare(key, name) == 0 }
}
