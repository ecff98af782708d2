//! The raw entry points `get_debug`, `is_running` and `is_closed`.
//!
//! asyncio's own futures and tasks call `get_debug` when they are made; a generated method costs ten times as many
//! instructions as the answer (benchmark `eager_gather_1000`, tasks asyncio's).

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::capi::heap_type::method;
use crate::objects::loop_base::LoopBase;
use crate::objects::scheduling::add_method;

type Object = *mut ffi::PyObject;

/// Adds the methods to `class`, which is `LoopBase` or a subtype.
///
/// # Errors
/// `MemoryError`.
pub fn add_methods(class: &Bound<'_, PyType>) -> PyResult<()> {
    let methods = [
        method(
            c"get_debug",
            get_debug,
            ffi::METH_NOARGS,
            c"get_debug($self, /)\n--\n\nWhether the loop is in debug mode.",
        ),
        method(c"is_running", is_running, ffi::METH_NOARGS, c"is_running($self, /)\n--\n\nWhether the loop runs."),
        method(c"is_closed", is_closed, ffi::METH_NOARGS, c"is_closed($self, /)\n--\n\nWhether the loop was closed."),
    ];
    for definition in methods {
        add_method(class, definition)?;
    }
    Ok(())
}

/// Defines a C entry that reads a loop's flag, which runs no Python code and cannot fail.
macro_rules! entries {
    ($($name:ident = $read:expr;)*) => {$(
        unsafe extern "C" fn $name(slf: Object, _: Object) -> Object {
            // SAFETY: the interpreter calls methods with the GIL held.
            let py = unsafe { Python::assume_attached() };
            // SAFETY: the method descriptor checked that `self` is a LoopBase; the caller holds a reference.
            let owner = unsafe { LoopBase::from_borrowed(py, slf) };
            let read: fn(Python<'_>, &LoopBase) -> bool = $read;
            // SAFETY: the interpreter's own singletons.
            let answer = if read(py, owner.get()) { unsafe { ffi::Py_True() } } else { unsafe { ffi::Py_False() } };
            // SAFETY: alive for ever.
            unsafe { ffi::Py_NewRef(answer) }
        }
    )*};
}

entries! {
    get_debug = |_, base| base.debug.get();
    is_running = |_, base| base.thread().is_some();
    // On 3.11 the finalizer asks an instance that was never initialized.
    is_closed = |py, base| base.closed.get() || !base.is_initialized(py);
}
