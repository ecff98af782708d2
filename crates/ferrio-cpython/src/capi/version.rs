//! What differs between interpreter versions, or holds in one without being documented.
//!
//! Each such fact is verified against the running interpreter before it is used; where it does not hold, the slower
//! documented way is taken.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

unsafe extern "C" {
    /// Documented since Python 2, exported by all versions; `PyO3` leaves it out because of its name.
    pub(crate) fn _PyBytes_Resize(bytes: *mut *mut ffi::PyObject, length: ffi::Py_ssize_t) -> std::ffi::c_int;

    /// As in 3.11; its successor costs a third as much (benchmark `queue_unbounded`).
    #[cfg(not(Py_3_12))]
    fn PyErr_Restore(kind: *mut ffi::PyObject, value: *mut ffi::PyObject, traceback: *mut ffi::PyObject);

    /// As in 3.11, where its successor is missing.
    #[cfg(not(Py_3_12))]
    fn PyErr_Fetch(kind: *mut *mut ffi::PyObject, value: *mut *mut ffi::PyObject, traceback: *mut *mut ffi::PyObject);

    /// Documented; returns a bound method.
    pub(crate) fn PyMethod_New(function: *mut ffi::PyObject, instance: *mut ffi::PyObject) -> *mut ffi::PyObject;
}

/// Sets an exception without a traceback as the one being raised; takes the reference.
///
/// # Safety
/// `exception` is an owned reference to an instance of `BaseException`.
#[inline]
pub(crate) unsafe fn set_raised(exception: *mut ffi::PyObject) {
    #[cfg(Py_3_12)]
    // SAFETY: the caller guarantees it.
    unsafe {
        ffi::PyErr_SetRaisedException(exception);
    }
    #[cfg(not(Py_3_12))]
    {
        // SAFETY: a live object.
        let class: *mut ffi::PyObject = unsafe { ffi::Py_TYPE(exception) }.cast();
        // SAFETY: the type of a live object; the error state takes the reference.
        unsafe { ffi::Py_INCREF(class) };
        // SAFETY: an exception and its type, with a reference to each.
        unsafe { PyErr_Restore(class, exception, std::ptr::null_mut()) };
    }
}

/// The exception that is on its way, as the interpreter keeps it, or none: owned pointers, which are null where there is
/// nothing. Not `PyErr`, which makes an exception that was not made yet, and for which there may be no memory.
pub(crate) struct Raised {
    #[cfg(Py_3_12)]
    exception: *mut ffi::PyObject,
    #[cfg(not(Py_3_12))]
    parts: [*mut ffi::PyObject; 3],
}

impl Raised {
    /// Takes the exception: none is on its way any more.
    #[inline]
    pub(crate) fn take(_py: Python<'_>) -> Self {
        #[cfg(Py_3_12)]
        // SAFETY: attached by token.
        return Self { exception: unsafe { ffi::PyErr_GetRaisedException() } };
        #[cfg(not(Py_3_12))]
        {
            let [mut kind, mut value, mut traceback] = [std::ptr::null_mut(); 3];
            // SAFETY: attached by token; the places are ours.
            unsafe { PyErr_Fetch(&raw mut kind, &raw mut value, &raw mut traceback) };
            Self { parts: [kind, value, traceback] }
        }
    }

    /// Puts the exception back, in place of any other, the first time that it is called.
    #[inline]
    pub(crate) fn restore(&mut self, _py: Python<'_>) {
        #[cfg(Py_3_12)]
        {
            let exception = std::mem::replace(&mut self.exception, std::ptr::null_mut());
            // SAFETY: attached by token; an owned reference or null.
            unsafe { ffi::PyErr_SetRaisedException(exception) };
        }
        #[cfg(not(Py_3_12))]
        {
            let [kind, value, traceback] = std::mem::replace(&mut self.parts, [std::ptr::null_mut(); 3]);
            // SAFETY: attached by token; what `PyErr_Fetch` gave, or null.
            unsafe { PyErr_Restore(kind, value, traceback) };
        }
    }
}

/// The beginning of a `contextvars.Context` as 3.11 to 3.14 have it (`struct _pycontextobject`).
#[repr(C)]
struct ContextHead {
    object: ffi::PyObject,
    previous: *mut ffi::PyObject,
    /// An immutable mapping: equal pointers mean equal variables.
    variables: *mut ffi::PyObject,
}

/// Whether two contexts are known to hold the same variables; false when in doubt.
#[inline]
pub(crate) fn same_variables(left: &Bound<'_, PyAny>, right: &Bound<'_, PyAny>) -> bool {
    layout_is_known(left.py()) && std::ptr::eq(variables(left), variables(right))
}

fn variables(context: &Bound<'_, PyAny>) -> *mut ffi::PyObject {
    // SAFETY: callers pass contexts only, whose layout `layout_is_known` has verified or is verifying: contexts are
    // larger than this head on all supported versions.
    unsafe { (*context.as_ptr().cast::<ContextHead>()).variables }
}

/// Sets a variable in one of two equal contexts and checks that the pointers change as they should.
fn layout_is_known(py: Python<'_>) -> bool {
    static CELL: PyOnceLock<bool> = PyOnceLock::new();
    *CELL.get_or_init(py, || verify(py).unwrap_or(false))
}

#[cold]
fn verify(py: Python<'_>) -> PyResult<bool> {
    let module = crate::capi::modules::module(py, name!("contextvars"))?;
    let class = module.getattr(name!("Context"))?;
    if class.getattr(name!("__basicsize__"))?.extract::<usize>()? < size_of::<ContextHead>() {
        return Ok(false);
    }
    let first = class.call0()?;
    let variable = module.getattr(name!("ContextVar"))?.call1(("ferrio_probe",))?;
    first.call_method1(name!("run"), (variable.getattr(name!("set"))?, 1))?;
    let copy = first.call_method0(name!("copy"))?;
    let shares = std::ptr::eq(variables(&first), variables(&copy));
    copy.call_method1(name!("run"), (variable.getattr(name!("set"))?, 2))?;
    Ok(shares && !std::ptr::eq(variables(&first), variables(&copy)))
}
