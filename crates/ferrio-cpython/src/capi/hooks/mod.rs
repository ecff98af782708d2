//! Functions that asyncio's Python code looks up in a module each time it calls them, so that a program can replace
//! them: trio-asyncio's `get_running_loop`, freezegun's `time.monotonic`.
//!
//! Looking them up costs more than what they do. So the module's dictionary is watched: from Python 3.12 on by a
//! dictionary watcher, on 3.11 by the dictionary's version, which every change of it raises. Where the interpreter has
//! no watcher free, each call looks the name up.
//!
//! Invariant: `Hook::is_replaced` is false only while the module holds asyncio's function or ferrio's. Before each
//! change of one of these names a watcher notes the new value.

use std::ffi::CStr;
use std::ptr::null_mut;
#[cfg(not(Py_3_12))]
use std::sync::atomic::AtomicU64;
use std::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

use pyo3::exceptions::PyAttributeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

#[cfg(not(Py_3_12))]
mod dict_version;
#[cfg(Py_3_12)]
mod dict_watcher;

#[cfg(not(Py_3_12))]
use dict_version::Watcher;
#[cfg(Py_3_12)]
use dict_watcher::Watcher;

type Object = *mut ffi::PyObject;

/// A name in a module, and what is known of the function there.
pub struct Hook {
    module: &'static str,
    name: &'static str,
    /// The module's dictionary, which lives as long as the process; null until `watch`.
    dictionary: AtomicPtr<ffi::PyObject>,
    /// The interned name, kept forever.
    key: AtomicPtr<ffi::PyObject>,
    /// asyncio's own function where that is one in Python, null where it is not known.
    stock: AtomicPtr<ffi::PyObject>,
    /// ferrio's function that `install()` puts there, null for none.
    ours: AtomicPtr<ffi::PyObject>,
    state: AtomicU8,
    /// The dictionary's version for which `state` holds, where versions are used.
    #[cfg(not(Py_3_12))]
    version: AtomicU64,
}

/// asyncio's function or ferrio's is there.
const STOCK: u8 = 0;
/// Another one is there, or none.
const REPLACED: u8 = 1;
/// The dictionary is not watched.
const UNWATCHED: u8 = 2;

macro_rules! hooks {
    ($($(#[$doc:meta])* $hook:ident = $module:literal . $name:literal;)*) => {
        $($(#[$doc])* pub static $hook: Hook = Hook::new($module, $name);)*
        static ALL: &[&Hook] = &[$(&$hook),*];
    };
}

hooks! {
    /// Returns the running loop or raises.
    GET_RUNNING_LOOP = "asyncio.events" . "get_running_loop";
    /// Returns the running loop or None.
    RUNNING_LOOP = "asyncio.events" . "_get_running_loop";
    /// Returns the running loop or the policy's.
    GET_EVENT_LOOP = "asyncio.events" . "get_event_loop";
    /// The same as asyncio calls it before 3.12, where the public one warns.
    GET_EVENT_LOOP_INSIDE = "asyncio.events" . "_get_event_loop";
    /// Returns the task that runs on a loop.
    CURRENT_TASK = "asyncio.tasks" . "current_task";
    /// Returns a future or task for any awaitable.
    ENSURE_FUTURE = "asyncio.tasks" . "ensure_future";
    /// Returns a future of the loop for one of `concurrent.futures`.
    WRAP_FUTURE = "asyncio.futures" . "wrap_future";
    /// Whether an object is like a future.
    IS_FUTURE = "asyncio.futures" . "isfuture";
    /// Whether an object is a coroutine.
    IS_COROUTINE = "asyncio.coroutines" . "iscoroutine";
    /// The clock of loops.
    MONOTONIC = "time" . "monotonic";
    /// Returns the context that a callback will run in.
    COPY_CONTEXT = "contextvars" . "copy_context";
    /// Whether a delay is not a number.
    IS_NAN = "math" . "isnan";
}

impl Hook {
    const fn new(module: &'static str, name: &'static str) -> Self {
        Self {
            module,
            name,
            dictionary: AtomicPtr::new(null_mut()),
            key: AtomicPtr::new(null_mut()),
            stock: AtomicPtr::new(null_mut()),
            ours: AtomicPtr::new(null_mut()),
            state: AtomicU8::new(STOCK),
            #[cfg(not(Py_3_12))]
            version: AtomicU64::new(0),
        }
    }

    /// Whether a program's own function may be there.
    // Relaxed: the GIL orders all accesses.
    #[inline]
    #[must_use]
    pub fn is_replaced(&self, py: Python<'_>) -> bool {
        #[cfg(not(Py_3_12))]
        if self.is_outdated() {
            self.look(py);
        }
        match self.state.load(Ordering::Relaxed) {
            STOCK => false,
            state => state == REPLACED || self.look_unwatched(py),
        }
    }

    /// The program's own function, if it has replaced asyncio's.
    ///
    /// # Errors
    /// `AttributeError` when it has deleted the name.
    #[inline]
    pub fn replacement<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.is_replaced(py) { self.current_value(py).map(Some) } else { Ok(None) }
    }

    #[cold]
    fn current_value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (module, name) = (self.module, self.name);
        let missing =
            || crate::capi::raise::error::<PyAttributeError>(format!("module '{module}' has no attribute '{name}'"));
        self.current(py).ok_or_else(missing)
    }

    #[cold]
    fn look_unwatched(&self, py: Python<'_>) -> bool {
        self.current(py).is_none_or(|function| !self.is_stock(function.as_ptr()))
    }

    /// The object that the module holds under the name.
    fn current<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let dictionary = self.dictionary.load(Ordering::Relaxed);
        if dictionary.is_null() {
            return None;
        }
        // SAFETY: the dictionary of a module, which `watch` keeps for ever.
        let dictionary = unsafe { Bound::from_borrowed_ptr(py, dictionary) };
        // SAFETY: `watch` found it to be a dictionary.
        let dictionary = unsafe { dictionary.cast_into_unchecked::<PyDict>() };
        dictionary.get_item(self.name).ok().flatten()
    }

    fn note(&self, function: Object) {
        let state = if self.is_stock(function) { STOCK } else { REPLACED };
        self.state.store(state, Ordering::Relaxed);
    }

    /// Whether `function` is asyncio's or ferrio's. Runs no Python code.
    fn is_stock(&self, function: Object) -> bool {
        !function.is_null()
            && (std::ptr::eq(function, self.ours.load(Ordering::Relaxed))
                || std::ptr::eq(function, self.stock.load(Ordering::Relaxed))
                || is_builtin(function, self.name))
    }

    #[cfg(not(Py_3_12))]
    #[inline]
    fn is_outdated(&self) -> bool {
        let dictionary = self.dictionary.load(Ordering::Relaxed);
        !dictionary.is_null() && dict_version::version(dictionary) != self.version.load(Ordering::Relaxed)
    }

    #[cfg(not(Py_3_12))]
    #[cold]
    fn look(&self, py: Python<'_>) {
        // The version first: the look-up may run code that changes the dictionary again.
        self.version.store(dict_version::version(self.dictionary.load(Ordering::Relaxed)), Ordering::Relaxed);
        self.note(self.current(py).map_or(null_mut(), |function| function.as_ptr()));
    }
}

/// Begins to watch; `ours` holds the functions that `install()` puts in the place of asyncio's.
///
/// # Errors
/// `ImportError` when a module is missing.
pub fn watch(ours: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = ours.py();
    let watcher = Watcher::find(py);
    for hook in ALL {
        let key = PyString::intern(py, hook.name);
        hook.key.store(key.clone().into_ptr(), Ordering::Relaxed);
        if hook.module.starts_with("asyncio.")
            && let Some(function) = ours.getattr_opt(&key)?
        {
            hook.ours.store(function.into_ptr(), Ordering::Relaxed);
        }
        let dictionary = crate::capi::modules::module(py, hook.module)?.dict();
        if let Some(function) = dictionary.get_item(&key)?
            && is_of_asyncio(&function)?
        {
            hook.stock.store(function.into_ptr(), Ordering::Relaxed);
        }
        hook.dictionary.store(dictionary.clone().into_ptr(), Ordering::Relaxed);
        if watcher.watch(&dictionary) {
            hook.note(hook.current(py).map_or(null_mut(), |function| function.as_ptr()));
        } else {
            hook.state.store(UNWATCHED, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// Whether the function is defined in one of asyncio's modules; another library may have replaced it first.
fn is_of_asyncio(function: &Bound<'_, PyAny>) -> PyResult<bool> {
    let Some(globals) = function.getattr_opt(name!("__globals__"))? else { return Ok(false) };
    let module_name: String = globals.get_item(name!("__name__"))?.extract()?;
    Ok(module_name.starts_with("asyncio."))
}

/// Whether `function` is the builtin one of that name: in C, of a module in C.
fn is_builtin(function: Object, name: &str) -> bool {
    // SAFETY: a live object, of which the type is read.
    if unsafe { ffi::PyCFunction_CheckExact(function) } == 0 {
        return false;
    }
    let builtin: *const ffi::PyCFunctionObject = function.cast();
    // SAFETY: exactly a builtin function.
    let definition = unsafe { (*builtin).m_ml };
    // SAFETY: a builtin function has a definition for as long as it lives.
    let its_name = unsafe { (*definition).ml_name };
    // SAFETY: the name of a definition is a C string.
    let its_name = unsafe { CStr::from_ptr(its_name) };
    its_name.to_bytes() == name.as_bytes()
}
