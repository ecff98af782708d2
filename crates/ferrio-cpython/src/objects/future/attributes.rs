//! The attributes of futures that programs and tools read, including private ones of asyncio.

use std::ffi::{c_int, c_void};

use pyo3::exceptions::{PyAttributeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::methods::{boolean, borrowed};
use super::{FutureRef, State, class_proxy};
use crate::capi::heap_type::{self, attribute};
use crate::capi::imports;
use crate::capi::owned_ref::OwnedRef;
use crate::capi::trampoline::{trampoline, trampoline_status};
use crate::objects::task::TaskRef;

type Object = *mut ffi::PyObject;
type Closure = *mut c_void;

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
        attribute(c"__class__", claimed_class, Some(set_class)),
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

/// Defines C entries whose Rust bodies take the future (and the new value).
macro_rules! accessors {
    (getter: $($name:ident = $body:path;)*) => {$(
        unsafe extern "C" fn $name(object: Object, _: Closure) -> Object {
            trampoline(|py| {
                // SAFETY: the interpreter checked the type of `self` and holds a reference during the call.
                let future = unsafe { borrowed(py, object) };
                $body(&future)
            })
        }
    )*};
    (setter: $($name:ident = $body:path;)*) => {$(
        unsafe extern "C" fn $name(object: Object, value: Object, _: Closure) -> c_int {
            trampoline_status(|py| {
                // SAFETY: the interpreter checked the type of `self` and holds a reference during the call.
                let future = unsafe { borrowed(py, object) };
                // SAFETY: null for deletion, or alive during the call.
                match unsafe { Bound::from_borrowed_ptr_or_opt(py, value) } {
                    Some(value) => $body(&future, value),
                    None => Err(crate::capi::raise::error::<PyAttributeError>("cannot delete attribute")),
                }
            })
        }
    )*};
}

accessors! { getter:
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
accessors! { setter:
    set_blocking = do_set_blocking;
    set_log_traceback = do_set_log_traceback;
    set_cancel_message = do_set_cancel_message;
}

unsafe extern "C" fn set_class(object: Object, value: Object, _: Closure) -> c_int {
    trampoline_status(|py| {
        // SAFETY: the interpreter checked the type of `self` and holds a reference during the call.
        let future = unsafe { borrowed(py, object) };
        // SAFETY: null for deletion, or alive during the call.
        let value = unsafe { Bound::from_borrowed_ptr_or_opt(py, value) };
        let value = value.map(|value| class_proxy::proxied_class(&value)).transpose()?;
        heap_type::assign_class(future.object(), value.as_ref(), is_own_class)
    })
}

/// Whether it is one of ferrio's classes, which may be changed no more than asyncio's class that it stands for.
fn is_own_class(class: &Bound<'_, PyType>) -> bool {
    let class = class.as_type_ptr();
    super::types::is_exact(class) || crate::objects::task::is_exact(class) || super::gathering_future::is_exact(class)
}

fn show_state(future: &FutureRef<'_>) -> PyResult<Py<PyAny>> {
    let py = future.py();
    let name = match future.body().state {
        State::Pending => crate::intern!(py, "PENDING"),
        State::Cancelled => crate::intern!(py, "CANCELLED"),
        State::Finished => crate::intern!(py, "FINISHED"),
    };
    Ok(name.clone().into_any().unbind())
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
        return Err(crate::capi::raise::error::<PyValueError>("_log_traceback can only be set to False"));
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
        return Ok(class_proxy::asyncio_future(py)?.unbind());
    }
    if crate::objects::task::is_exact(class.as_type_ptr()) {
        return Ok(class_proxy::asyncio_task(py)?.unbind());
    }
    if super::gathering_future::is_exact(class.as_type_ptr()) {
        return Ok(imports::asyncio_gathering_future(py)?.clone().unbind());
    }
    let is_task = TaskRef::of(future.object()).is_some();
    let claimed = if is_task { class_proxy::asyncio_task(py)? } else { class_proxy::asyncio_future(py)? };
    Ok(class_proxy::proxy_class(&class, &claimed)?.unbind())
}

pub(super) fn show(future: &FutureRef<'_>, field: Option<&OwnedRef>) -> PyResult<Py<PyAny>> {
    let py = future.py();
    Ok(field.map_or_else(|| py.None(), |owned| owned.get(py).unbind()))
}
