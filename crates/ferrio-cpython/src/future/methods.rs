//! The Python face of futures: methods, attributes, repr; names, texts and results are asyncio's.

use std::ffi::{c_int, c_void};

use pyo3::exceptions::{PyAttributeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyString};

use super::types::new_exact;
use super::{FutureBody, FutureRef, Outcome, State, claim, iterator};
use crate::arguments::{Signature, unless_none};
use crate::boundary::{guarded, guarded_status, guarded_unbooked};
use crate::heap_type::{attribute, keywords, method};
use crate::held::Held;
use crate::names;
use crate::raising::raised;
use crate::task::TaskRef;

type Object = *mut ffi::PyObject;
type Closure = *mut c_void;

pub(super) fn method_table() -> *mut ffi::PyMethodDef {
    let methods = vec![
        method(c"result", result, ffi::METH_NOARGS, c"The result; raises the exception that was set."),
        method(c"exception", exception, ffi::METH_NOARGS, c"The exception that was set, or None."),
        method(c"set_result", set_result, ffi::METH_O, c"Mark the future done, with a result."),
        method(c"set_exception", set_exception, ffi::METH_O, c"Mark the future done, with an exception."),
        keywords(
            c"add_done_callback",
            add_done_callback,
            c"add_done_callback($self, fn, /, *, context=None)\n--\n\nCall fn(future) when the future is done.",
        ),
        method(
            c"remove_done_callback",
            remove_done_callback,
            ffi::METH_O,
            c"Forget a callback; gives how often it was there.",
        ),
        keywords(c"cancel", cancel, c"cancel($self, /, msg=None)\n--\n\nCancel the future; false if it is done."),
        method(c"cancelled", cancelled, ffi::METH_NOARGS, c"Whether the future was cancelled."),
        method(c"done", done, ffi::METH_NOARGS, c"Whether the future has a result or an exception, or was cancelled."),
        method(c"get_loop", get_loop, ffi::METH_NOARGS, c"The event loop the future is bound to."),
        method(c"_make_cancelled_error", make_cancelled_error, ffi::METH_NOARGS, c"The CancelledError to raise."),
        method(c"__class_getitem__", class_getitem, ffi::METH_O | ffi::METH_CLASS, c"See PEP 585"),
        ffi::PyMethodDef::zeroed(),
    ];
    Box::leak(methods.into_boxed_slice()).as_mut_ptr()
}

pub(super) fn attribute_table() -> *mut ffi::PyGetSetDef {
    let attributes = vec![
        attribute(c"_state", state, None),
        attribute(c"_asyncio_future_blocking", blocking, Some(set_blocking)),
        attribute(c"_loop", owner, None),
        attribute(c"_callbacks", callbacks, None),
        attribute(c"_result", result_field, None),
        attribute(c"_exception", exception_field, None),
        attribute(c"_log_traceback", log_traceback, Some(set_log_traceback)),
        attribute(c"_source_traceback", source_traceback, None),
        attribute(c"_cancel_message", cancel_message, Some(set_cancel_message)),
        attribute(c"_asyncio_awaited_by", awaited_by, None),
        attribute(c"__class__", claimed_class, None),
        ffi::PyGetSetDef {
            name: c"__dict__".as_ptr(),
            get: Some(ffi::PyObject_GenericGetDict),
            set: Some(ffi::PyObject_GenericSetDict),
            doc: std::ptr::null(),
            closure: std::ptr::null_mut(),
        },
        ffi::PyGetSetDef::default(),
    ];
    Box::leak(attributes.into_boxed_slice()).as_mut_ptr()
}

/// The future that C code passed in.
///
/// # Safety
/// A live object of our type, and the GIL is held.
unsafe fn borrowed(py: Python<'_>, object: Object) -> FutureRef<'_> {
    // SAFETY: alive, by the caller's promise.
    let object = unsafe { Bound::from_borrowed_ptr(py, object) };
    // SAFETY: of our type, by the caller's promise.
    unsafe { FutureRef::new_unchecked(object) }
}

/// Defines C entries whose Rust bodies take the future (and the argument).
macro_rules! entries {
    ($($name:ident = $body:path;)*) => {$(
        unsafe extern "C" fn $name(object: Object, _: Object) -> Object {
            guarded_unbooked(|py| {
                // SAFETY: the interpreter checked the type of `self` and holds a reference during the call.
                let future = unsafe { borrowed(py, object) };
                $body(&future)
            })
        }
    )*};
    (argument: $($name:ident = $body:path;)*) => {$(
        unsafe extern "C" fn $name(object: Object, argument: Object) -> Object {
            guarded_unbooked(|py| {
                // SAFETY: the interpreter checked the type of `self` and holds a reference during the call.
                let future = unsafe { borrowed(py, object) };
                // SAFETY: an argument, alive during the call.
                let argument = unsafe { Bound::from_borrowed_ptr(py, argument) };
                $body(&future, &argument)
            })
        }
    )*};
    (getter: $($name:ident = $body:path;)*) => {$(
        unsafe extern "C" fn $name(object: Object, _: Closure) -> Object {
            guarded(|py| {
                // SAFETY: the interpreter checked the type of `self` and holds a reference during the call.
                let future = unsafe { borrowed(py, object) };
                $body(&future)
            })
        }
    )*};
    (setter: $($name:ident = $body:path;)*) => {$(
        unsafe extern "C" fn $name(object: Object, value: Object, _: Closure) -> c_int {
            guarded_status(|py| {
                // SAFETY: the interpreter checked the type of `self` and holds a reference during the call.
                let future = unsafe { borrowed(py, object) };
                // SAFETY: null for deletion, or alive during the call.
                match unsafe { Bound::from_borrowed_ptr_or_opt(py, value) } {
                    Some(value) => $body(&future, value),
                    None => Err(PyAttributeError::new_err("cannot delete attribute")),
                }
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
entries! { getter:
    state = show_state;
    blocking = show_blocking;
    owner = show_owner;
    callbacks = show_callbacks;
    result_field = show_result;
    exception_field = show_exception;
    log_traceback = show_log_traceback;
    source_traceback = show_source_traceback;
    cancel_message = show_cancel_message;
    awaited_by = show_awaited_by;
    claimed_class = show_class;
}
entries! { setter:
    set_blocking = do_set_blocking;
    set_log_traceback = do_set_log_traceback;
    set_cancel_message = do_set_cancel_message;
}

const INIT: Signature<1> = Signature { method: "Future", names: ["loop"], positional: 0, required: 0 };

/// `Future(...)`, without a tuple and a dictionary of arguments.
pub(super) unsafe extern "C" fn construct(_: Object, stack: *const Object, flags: usize, names: Object) -> Object {
    guarded_unbooked(|py| {
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
    guarded_status(|py| {
        // SAFETY: the interpreter passes an object of our type.
        let future = unsafe { borrowed(py, object) };
        // SAFETY: tp_init's arguments.
        let [owner] = unsafe { INIT.init(py, arguments, given) }?;
        future.initialize(unless_none(owner))
    })
}

pub(super) unsafe extern "C" fn repr(object: Object) -> Object {
    guarded(|py| {
        // SAFETY: the interpreter checked the type of `self` and holds a reference during the call.
        let future = unsafe { borrowed(py, object) };
        future.check_initialized()?;
        Ok(names::future_repr(py)?.call1((future.object(),))?.unbind())
    })
}

pub(super) unsafe extern "C" fn iterate(object: Object) -> Object {
    guarded_unbooked(|py| {
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
    guarded_unbooked(|py| {
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
    guarded(|py| {
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

/// Asking for an outcome before `__init__` is an invalid state, while other methods raise `RuntimeError`.
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

fn show_state(future: &FutureRef<'_>) -> PyResult<Py<PyAny>> {
    let py = future.py();
    let word = match future.body().state {
        State::Pending => pyo3::intern!(py, "PENDING"),
        State::Cancelled => pyo3::intern!(py, "CANCELLED"),
        State::Finished => pyo3::intern!(py, "FINISHED"),
    };
    Ok(word.clone().into_any().unbind())
}

fn show_blocking(future: &FutureRef<'_>) -> PyResult<Py<PyAny>> {
    boolean(future.py(), future.body().owner.is_some() && future.body().blocking)
}

fn do_set_blocking(future: &FutureRef<'_>, value: Bound<'_, PyAny>) -> PyResult<()> {
    future.check_initialized()?;
    let blocking = value.is_truthy()?;
    future.update(|body| body.blocking = blocking);
    Ok(())
}

fn show_owner(future: &FutureRef<'_>) -> PyResult<Py<PyAny>> {
    show(future, future.body().owner.as_ref())
}

fn show_callbacks(future: &FutureRef<'_>) -> PyResult<Py<PyAny>> {
    future.check_initialized()?;
    Ok(future.show_callbacks()?.unbind())
}

fn show_result(future: &FutureRef<'_>) -> PyResult<Py<PyAny>> {
    show(future, future.body().result.as_ref())
}

fn show_exception(future: &FutureRef<'_>) -> PyResult<Py<PyAny>> {
    show(future, future.body().exception.as_ref())
}

fn show_log_traceback(future: &FutureRef<'_>) -> PyResult<Py<PyAny>> {
    future.check_initialized()?;
    boolean(future.py(), future.body().log_traceback)
}

fn do_set_log_traceback(future: &FutureRef<'_>, value: Bound<'_, PyAny>) -> PyResult<()> {
    if value.is_truthy()? {
        return Err(PyValueError::new_err("_log_traceback can only be set to False"));
    }
    future.update(|body| body.log_traceback = false);
    Ok(())
}

fn show_source_traceback(future: &FutureRef<'_>) -> PyResult<Py<PyAny>> {
    show(future, future.body().source_traceback.as_ref())
}

fn show_cancel_message(future: &FutureRef<'_>) -> PyResult<Py<PyAny>> {
    show(future, future.body().cancel_message.as_ref())
}

fn do_set_cancel_message(future: &FutureRef<'_>, value: Bound<'_, PyAny>) -> PyResult<()> {
    let before = future.update(|body| body.cancel_message.replace(value.into()));
    drop(before);
    Ok(())
}

fn show_awaited_by(future: &FutureRef<'_>) -> PyResult<Py<PyAny>> {
    Ok(future.show_awaited_by()?.unbind())
}

fn show_class(future: &FutureRef<'_>) -> PyResult<Py<PyAny>> {
    let py = future.py();
    let class = future.object().get_type();
    if super::types::is_exact(class.as_type_ptr()) {
        return Ok(names::asyncio_future(py)?.unbind());
    }
    if crate::task::is_exact(class.as_type_ptr()) {
        return Ok(names::asyncio_task(py)?.unbind());
    }
    if super::gathering::is_exact(class.as_type_ptr()) {
        return Ok(names::asyncio_gathering_future(py)?.clone().unbind());
    }
    let is_task = TaskRef::of(future.object()).is_some();
    let claimed = if is_task { names::asyncio_task(py)? } else { names::asyncio_future(py)? };
    Ok(claim::stand_in(&class, &claimed)?.unbind())
}

fn show(future: &FutureRef<'_>, field: Option<&Held>) -> PyResult<Py<PyAny>> {
    let py = future.py();
    Ok(field.map_or_else(|| py.None(), |held| held.get(py).unbind()))
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
