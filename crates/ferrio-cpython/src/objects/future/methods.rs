//! The Python interface of futures: methods and repr; names, texts and results are asyncio's.

use std::ffi::c_int;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyString};

use super::attributes::show;
use super::types::new_exact;
use super::{FutureBody, FutureRef, Outcome, State, iterator};
use crate::capi::arguments::{Signature, unless_none};
use crate::capi::heap_type::{fastcall_keywords, method};
use crate::capi::imports;
use crate::capi::raise::raised;
use crate::capi::trampoline::{trampoline, trampoline_attached, trampoline_status};

type Object = *mut ffi::PyObject;

pub(super) fn method_table() -> *mut ffi::PyMethodDef {
    let methods = vec![
        method(
            c"result",
            result,
            ffi::METH_NOARGS,
            c"result($self, /)\n--\n\nThe result; raises the exception that was set.",
        ),
        method(
            c"exception",
            exception,
            ffi::METH_NOARGS,
            c"exception($self, /)\n--\n\nThe exception that was set, or None.",
        ),
        method(
            c"set_result",
            set_result,
            ffi::METH_O,
            c"set_result($self, result, /)\n--\n\nMark the future done, with a result.",
        ),
        method(
            c"set_exception",
            set_exception,
            ffi::METH_O,
            c"set_exception($self, exception, /)\n--\n\nMark the future done, with an exception.",
        ),
        fastcall_keywords(
            c"add_done_callback",
            add_done_callback,
            c"add_done_callback($self, fn, /, *, context=None)\n--\n\nCall fn(future) when the future is done.",
        ),
        method(
            c"remove_done_callback",
            remove_done_callback,
            ffi::METH_O,
            c"remove_done_callback($self, fn, /)\n--\n\nForget a callback; gives how often it was there.",
        ),
        fastcall_keywords(
            c"cancel",
            cancel,
            c"cancel($self, /, msg=None)\n--\n\nCancel the future; false if it is done.",
        ),
        method(
            c"cancelled",
            cancelled,
            ffi::METH_NOARGS,
            c"cancelled($self, /)\n--\n\nWhether the future was cancelled.",
        ),
        method(
            c"done",
            done,
            ffi::METH_NOARGS,
            c"done($self, /)\n--\n\nWhether the future has a result or an exception, or was cancelled.",
        ),
        method(
            c"get_loop",
            get_loop,
            ffi::METH_NOARGS,
            c"get_loop($self, /)\n--\n\nThe event loop the future is bound to.",
        ),
        method(
            c"_make_cancelled_error",
            make_cancelled_error,
            ffi::METH_NOARGS,
            c"_make_cancelled_error($self, /)\n--\n\nThe CancelledError to raise.",
        ),
        method(c"__class_getitem__", class_getitem, ffi::METH_O | ffi::METH_CLASS, c"See PEP 585"),
        ffi::PyMethodDef::zeroed(),
    ];
    Box::leak(methods.into_boxed_slice()).as_mut_ptr()
}

/// The future that C code passed in.
///
/// # Safety
/// A live object of our type, and the GIL is held.
pub(super) unsafe fn borrowed(py: Python<'_>, object: Object) -> FutureRef<'_> {
    // SAFETY: alive, the caller guarantees it.
    let object = unsafe { Bound::from_borrowed_ptr(py, object) };
    // SAFETY: of our type, the caller guarantees it.
    unsafe { FutureRef::new_unchecked(object) }
}

/// Defines C entries whose Rust bodies take the future (and the argument).
macro_rules! entries {
    ($($name:ident = $body:path;)*) => {$(
        unsafe extern "C" fn $name(object: Object, _: Object) -> Object {
            trampoline_attached(|py| {
                // SAFETY: the interpreter checked the type of `self` and holds a reference during the call.
                let future = unsafe { borrowed(py, object) };
                $body(&future)
            })
        }
    )*};
    (argument: $($name:ident = $body:path;)*) => {$(
        unsafe extern "C" fn $name(object: Object, argument: Object) -> Object {
            trampoline_attached(|py| {
                // SAFETY: the interpreter checked the type of `self` and holds a reference during the call.
                let future = unsafe { borrowed(py, object) };
                // SAFETY: an argument, alive during the call.
                let argument = unsafe { Bound::from_borrowed_ptr(py, argument) };
                $body(&future, &argument)
            })
        }
    )*};
}

entries! {
    result = give_result;
    exception = give_exception;
    cancelled = is_cancelled;
    done = is_done;
    get_loop = give_loop;
    make_cancelled_error = give_cancelled_error;
}
entries! { argument:
    set_result = do_set_result;
    set_exception = do_set_exception;
    remove_done_callback = do_remove_done_callback;
}
const INIT: Signature<1> = Signature { method: "Future", names: ["loop"], positional: 0, required: 0 };

/// `Future(...)`, without a tuple and a dictionary of arguments.
pub(super) unsafe extern "C" fn construct(_: Object, stack: *const Object, flags: usize, names: Object) -> Object {
    trampoline_attached(|py| {
        // SAFETY: only takes a flag out of the number.
        let count = unsafe { ffi::PyVectorcall_NARGS(flags) };
        // SAFETY: this very call's arguments.
        let [owner] = unsafe { INIT.vectorcall(py, stack, count, names) }?;
        let future = new_exact(py, FutureBody::default())?;
        future.initialize(unless_none(owner))?;
        Ok(future.object().clone().unbind())
    })
}

pub(super) unsafe extern "C" fn init(object: Object, arguments: Object, given: Object) -> c_int {
    trampoline_status(|py| {
        // SAFETY: the interpreter passes an object of our type.
        let future = unsafe { borrowed(py, object) };
        // SAFETY: tp_init's arguments.
        let [owner] = unsafe { INIT.init(py, arguments, given) }?;
        future.initialize(unless_none(owner))
    })
}

pub(super) unsafe extern "C" fn repr(object: Object) -> Object {
    trampoline(|py| {
        // SAFETY: the interpreter checked the type of `self` and holds a reference during the call.
        let future = unsafe { borrowed(py, object) };
        future.check_initialized()?;
        Ok(imports::future_repr(py)?.call1((future.object(),))?.unbind())
    })
}

pub(super) unsafe extern "C" fn iterate(object: Object) -> Object {
    trampoline_attached(|py| {
        // SAFETY: the interpreter checked the type of `self` and holds a reference during the call.
        let future = unsafe { borrowed(py, object) };
        iterator::iterate(&future)
    })
}

/// `future` if `callable` is its method `set_result`.
#[inline]
pub(super) fn target_of_set_result<'py>(callable: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let py = callable.py();
    let callable = callable.cast_exact::<PyCFunction>().ok()?.as_ptr();
    // SAFETY: a function of C's making.
    let function = unsafe { ffi::PyCFunction_GetFunction(callable) }?;
    if function as *const () != set_result as *const () {
        return None;
    }
    // SAFETY: as above; the object that the method is bound to, borrowed from it.
    let target = unsafe { ffi::PyCFunction_GetSelf(callable) };
    // SAFETY: null, or alive as long as the method.
    unsafe { Bound::from_borrowed_ptr_or_opt(py, target) }
}

unsafe extern "C" fn class_getitem(class: Object, item: Object) -> Object {
    // SAFETY: a class method's own arguments.
    unsafe { ffi::Py_GenericAlias(class, item) }
}

unsafe extern "C" fn add_done_callback(object: Object, stack: *const Object, count: isize, names: Object) -> Object {
    const SIGNATURE: Signature<2> =
        Signature { method: "add_done_callback", names: ["fn", "context"], positional: 1, required: 1 };
    trampoline_attached(|py| {
        // SAFETY: the interpreter checked the type of `self` and holds a reference during the call.
        let future = unsafe { borrowed(py, object) };
        // SAFETY: this very call's arguments.
        let [callable, context] = unsafe { SIGNATURE.vectorcall(py, stack, count, names) }?;
        if let Some(callable) = callable {
            future.add_callback(&callable, unless_none(context))?;
        }
        Ok(py.None())
    })
}

unsafe extern "C" fn cancel(object: Object, stack: *const Object, count: isize, names: Object) -> Object {
    trampoline(|py| {
        // SAFETY: the interpreter checked the type of `self` and holds a reference during the call.
        let future = unsafe { borrowed(py, object) };
        // SAFETY: this very call's arguments.
        let [message] = unsafe { CANCEL.vectorcall(py, stack, count, names) }?;
        future.check_initialized()?;
        boolean(py, future.cancel_as_future(message)?)
    })
}

/// `cancel(msg=None)`, of futures and tasks.
pub(crate) const CANCEL: Signature<1> = Signature { method: "cancel", names: ["msg"], positional: 1, required: 0 };

fn give_result(future: &FutureRef<'_>) -> PyResult<Py<PyAny>> {
    check_begun(future)?;
    match future.outcome()? {
        Outcome::Result(result) => Ok(result.unbind()),
        Outcome::Exception(exception) => Err(raised(&exception)),
    }
}

/// Reading an outcome before `__init__` is an invalid state, while other methods raise `RuntimeError`.
fn check_begun(future: &FutureRef<'_>) -> PyResult<()> {
    if future.body().owner.is_some() {
        return Ok(());
    }
    Err(super::invalid_state(future.py(), "Future object is not initialized."))
}

fn give_exception(future: &FutureRef<'_>) -> PyResult<Py<PyAny>> {
    let py = future.py();
    check_begun(future)?;
    match future.body().state {
        State::Pending => Err(super::invalid_state(py, "Exception is not set.")),
        State::Cancelled => Err(raised(&future.cancelled_exception()?)),
        State::Finished => {
            future.update(|body| body.log_traceback = false);
            show(future, future.body().exception.as_ref())
        }
    }
}

fn is_cancelled(future: &FutureRef<'_>) -> PyResult<Py<PyAny>> {
    boolean(future.py(), future.body().state == State::Cancelled)
}

fn is_done(future: &FutureRef<'_>) -> PyResult<Py<PyAny>> {
    boolean(future.py(), !future.is_pending())
}

fn give_loop(future: &FutureRef<'_>) -> PyResult<Py<PyAny>> {
    Ok(future.owner()?.unbind())
}

fn give_cancelled_error(future: &FutureRef<'_>) -> PyResult<Py<PyAny>> {
    Ok(future.cancelled_exception()?.unbind())
}

fn do_set_result<'py>(future: &FutureRef<'py>, result: &Bound<'py, PyAny>) -> PyResult<Py<PyAny>> {
    future.check_initialized()?;
    future.finish(result.clone())?;
    Ok(future.py().None())
}

fn do_set_exception<'py>(future: &FutureRef<'py>, exception: &Bound<'py, PyAny>) -> PyResult<Py<PyAny>> {
    future.check_initialized()?;
    future.fail(exception)?;
    Ok(future.py().None())
}

fn do_remove_done_callback<'py>(future: &FutureRef<'py>, callable: &Bound<'py, PyAny>) -> PyResult<Py<PyAny>> {
    let removed = future.remove_callback(callable)?;
    Ok(removed.into_pyobject(future.py())?.into_any().unbind())
}

#[inline]
pub(crate) fn boolean(py: Python<'_>, value: bool) -> PyResult<Py<PyAny>> {
    Ok(value.into_pyobject(py)?.to_owned().into_any().unbind())
}

/// `str`, for names.
pub(crate) fn text<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
    match object.cast_exact::<PyString>() {
        Ok(text) => Ok(text.clone()),
        Err(_) => object.str(),
    }
}
