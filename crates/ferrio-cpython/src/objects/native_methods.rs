//! Hot methods of `PyO3` classes, entered without `PyO3`'s bookkeeping and generated argument parsing.
//!
//! A method is a type that implements `Method`; `add` puts it into its class in place of a generated one (benchmarks
//! `queue_unbounded`, `lock_uncontended`). Such a method owns objects as `Bound` and `OwnedRef` only, as
//! `trampoline_attached` requires.

use std::ffi::CStr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;
use pyo3::{Borrowed, PyTypeInfo};

use crate::capi::arguments::Signature;
use crate::capi::heap_type::{fastcall_keywords, method};
use crate::capi::trampoline::trampoline_attached;
use crate::objects::scheduling::{add_method, method_descriptor};

type Object = *mut ffi::PyObject;

/// A method with `N` required arguments.
pub trait Method<const N: usize>: 'static {
    /// The class that defines it.
    type Class: PyTypeInfo;
    /// Its name.
    const NAME: &'static CStr;
    /// Its name again, for messages.
    const TEXT: &'static str;
    /// Its signature and documentation, in the interpreter's format.
    const DOC: &'static CStr;
    /// The names of its arguments.
    const ARGUMENTS: [&'static str; N];

    /// Calls the method.
    ///
    /// # Errors
    /// Any exception that the method raises.
    fn call<'py>(slf: &Bound<'py, Self::Class>, arguments: [Bound<'py, PyAny>; N]) -> PyResult<Py<PyAny>>;
}

/// Adds `M` to its class.
///
/// # Errors
/// `MemoryError`.
pub fn add<const N: usize, M: Method<N>>(py: Python<'_>) -> PyResult<()> {
    add_method(&py.get_type::<M::Class>(), definition::<N, M>())
}

/// `M` as a method of a class that is made in Python. Its definition stays in memory for good.
///
/// # Errors
/// `MemoryError`.
pub fn of_class<'py, const N: usize, M: Method<N, Class = PyAny>>(
    class: &Bound<'py, PyType>,
) -> PyResult<Bound<'py, PyAny>> {
    method_descriptor(class, definition::<N, M>())
}

fn definition<const N: usize, M: Method<N>>() -> ffi::PyMethodDef {
    if N == 0 {
        method(M::NAME, without_arguments::<N, M>, ffi::METH_NOARGS, M::DOC)
    } else {
        fastcall_keywords(M::NAME, with_arguments::<N, M>, M::DOC)
    }
}

/// The object whose method is called.
///
/// # Safety
/// An instance of `T`, alive as long as `'a`.
#[inline]
unsafe fn receiver<'a, T>(py: Python<'_>, object: Object) -> Borrowed<'a, '_, T> {
    // SAFETY: the caller guarantees it.
    let object = unsafe { Borrowed::from_ptr(py, object) };
    // SAFETY: the caller guarantees it.
    unsafe { object.cast_unchecked() }
}

unsafe extern "C" fn without_arguments<const N: usize, M: Method<N>>(object: Object, _: Object) -> Object {
    trampoline_attached(|py| {
        // SAFETY: the method descriptor belongs to that class, and checked it.
        let slf = unsafe { receiver::<M::Class>(py, object) };
        M::call(&slf, M::ARGUMENTS.map(|_| py.None().into_bound(py)))
    })
}

unsafe extern "C" fn with_arguments<const N: usize, M: Method<N>>(
    object: Object,
    stack: *const Object,
    count: isize,
    names: Object,
) -> Object {
    trampoline_attached(|py| {
        // SAFETY: the method descriptor belongs to that class, and checked it.
        let slf = unsafe { receiver::<M::Class>(py, object) };
        if names.is_null() && usize::try_from(count) == Ok(N) {
            // SAFETY: an array of as many arguments as the check above counted.
            let given = unsafe { stack.cast::<[Object; N]>().read() };
            // SAFETY: arguments, alive during the call.
            return M::call(&slf, given.map(|argument| unsafe { Bound::from_borrowed_ptr(py, argument) }));
        }
        // SAFETY: this very call's arguments.
        M::call(&slf, unsafe { sorted::<N, M>(py, stack, count, names) }?)
    })
}

/// The arguments of a call that passes some by name, or has the wrong number.
///
/// # Safety
/// `stack`, `count` and `names` are a vectorcall's arguments, alive during the call.
#[cold]
unsafe fn sorted<const N: usize, M: Method<N>>(
    py: Python<'_>,
    stack: *const Object,
    count: isize,
    names: Object,
) -> PyResult<[Bound<'_, PyAny>; N]> {
    let signature = Signature { method: M::TEXT, names: M::ARGUMENTS, positional: N, required: N };
    // SAFETY: the caller guarantees it.
    let given = unsafe { signature.vectorcall(py, stack, count, names) }?;
    Ok(given.map(|argument| argument.unwrap_or_else(|| py.None().into_bound(py))))
}
