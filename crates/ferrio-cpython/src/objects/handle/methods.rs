//! The Python interface of handles: methods, attributes, repr; names and results are asyncio's.

use pyo3::ffi;
use pyo3::prelude::*;

use super::types;
use super::types::borrowed;
use super::{Arity, DebugNotes, HandleRef, Kind, argument_tuple, format_callback_source};
use crate::capi::heap_type;
use crate::capi::memory;
use crate::capi::memory::BoxSpace;
use crate::capi::trampoline::{trampoline, trampoline_status};

type Object = *mut ffi::PyObject;

pub(super) fn method_table(timer: bool) -> *mut ffi::PyMethodDef {
    let mut methods = vec![
        method(c"cancel", cancel, c"Cancel the callback; it will not be called."),
        method(c"cancelled", cancelled, c"Whether the callback was cancelled."),
        method(c"get_context", get_context, c"The contextvars.Context the callback runs in."),
        method(c"_run", run, c"Call the callback now, as the loop does."),
    ];
    if timer {
        methods.push(method(c"when", when, c"The absolute time, in seconds of loop.time(), at which it is due."));
    }
    // SAFETY: a table ends with a zeroed entry.
    methods.push(unsafe { std::mem::zeroed() });
    Box::leak(methods.into_boxed_slice()).as_mut_ptr()
}

fn method(
    name: &'static std::ffi::CStr,
    function: unsafe extern "C" fn(Object, Object) -> Object,
    doc: &'static std::ffi::CStr,
) -> ffi::PyMethodDef {
    ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunction: function },
        ml_flags: ffi::METH_NOARGS,
        ml_doc: doc.as_ptr(),
    }
}

pub(super) fn attribute_table(timer: bool) -> *mut ffi::PyGetSetDef {
    let mut attributes = vec![
        attribute(c"_callback", callback),
        attribute(c"_args", arguments),
        attribute(c"_cancelled", cancelled_attribute),
        attribute(c"_context", context_attribute),
        attribute(c"_loop", owner),
        attribute(c"_source_traceback", source_traceback),
        attribute(c"_repr", cancelled_repr),
        ffi::PyGetSetDef { set: Some(set_class), ..attribute(c"__class__", claimed_class) },
    ];
    if timer {
        attributes.push(attribute(c"_when", when_attribute));
        attributes.push(attribute(c"_scheduled", scheduled));
    }
    // SAFETY: a table ends with a zeroed entry.
    attributes.push(unsafe { std::mem::zeroed() });
    Box::leak(attributes.into_boxed_slice()).as_mut_ptr()
}

fn attribute(
    name: &'static std::ffi::CStr,
    getter: unsafe extern "C" fn(Object, *mut std::ffi::c_void) -> Object,
) -> ffi::PyGetSetDef {
    ffi::PyGetSetDef {
        name: name.as_ptr(),
        get: Some(getter),
        set: None,
        doc: std::ptr::null(),
        closure: std::ptr::null_mut(),
    }
}

/// Defines the C entry of a method or getter whose Rust body takes the handle.
macro_rules! entries {
    ($($name:ident($second:ty) = $body:path;)*) => {$(
        unsafe extern "C" fn $name(object: Object, _: $second) -> Object {
            trampoline(|py| {
                // SAFETY: the interpreter checked the type of `self` and holds a reference during the call.
                let handle = unsafe { borrowed(object) };
                $body(py, &handle)
            })
        }
    )*};
}

entries! {
    cancel(Object) = do_cancel;
    cancelled(Object) = ask_cancelled;
    get_context(Object) = show_context;
    run(Object) = do_run;
    when(Object) = show_when;
    callback(*mut std::ffi::c_void) = show_callback;
    arguments(*mut std::ffi::c_void) = show_arguments;
    cancelled_attribute(*mut std::ffi::c_void) = is_cancelled;
    context_attribute(*mut std::ffi::c_void) = show_context;
    owner(*mut std::ffi::c_void) = show_owner;
    source_traceback(*mut std::ffi::c_void) = show_source_traceback;
    cancelled_repr(*mut std::ffi::c_void) = show_cancelled_repr;
    claimed_class(*mut std::ffi::c_void) = show_class;
    when_attribute(*mut std::ffi::c_void) = show_when;
    scheduled(*mut std::ffi::c_void) = show_scheduled;
}

/// Lets a handle be assigned the class that it already claims to have; no other class has its layout.
unsafe extern "C" fn set_class(object: Object, value: Object, _: *mut std::ffi::c_void) -> std::ffi::c_int {
    trampoline_status(|py| {
        // SAFETY: the interpreter checked the type of `self` and holds a reference during the call.
        let handle = unsafe { borrowed(object) };
        // SAFETY: null for deletion, or alive during the call.
        let value = unsafe { Bound::from_borrowed_ptr_or_opt(py, value) };
        if let Some(value) = &value
            && value.is(types::asyncio_class(py, handle.body().kind)?)
        {
            return Ok(());
        }
        heap_type::assign_class(&handle.bind(py), value.as_ref(), |_| false)
    })
}

pub(super) unsafe extern "C" fn repr(object: Object) -> Object {
    trampoline(|py| {
        // SAFETY: the interpreter checked the type of `self` and holds a reference during the call.
        let handle = unsafe { borrowed(object) };
        Ok(memory::text(py, &describe(py, &handle)?)?.into_any().unbind())
    })
}

fn do_cancel(py: Python<'_>, handle: &HandleRef) -> PyResult<Py<PyAny>> {
    handle.wait_until_idle(py)?;
    cancel_handle(py, handle)?;
    Ok(py.None())
}

pub(super) fn cancel_handle(py: Python<'_>, handle: &HandleRef) -> PyResult<()> {
    if handle.body().cancelled {
        return Ok(());
    }
    let owner = handle.body().owner.as_ref().map(|owner| owner.bind(py).clone());
    let in_debug = owner.as_ref().is_some_and(|owner| owner.get().debug.get());
    let shown = if in_debug { Some(memory::text(py, &describe_as(py, handle, true)?)?) } else { None };
    let space = if in_debug { Some(BoxSpace::new(py)?) } else { None };
    let (callback, arguments, scheduled) = handle.update(py, |body| {
        body.cancelled = true;
        if let (Some(shown), Some(space)) = (shown, space) {
            let notes = body.notes.get_or_insert_with(|| space.fill(DebugNotes::default()));
            notes.cancelled_repr = Some(shown.into_any().unbind());
        }
        (body.callback.take(), body.arguments.take(), body.scheduled)
    });
    if let (true, Some(owner)) = (scheduled, &owner) {
        owner.get().timer_cancelled(py);
    }
    drop(callback.map(|callback| callback.into_bound(py)));
    drop(arguments.map(|arguments| arguments.into_bound(py)));
    Ok(())
}

fn do_run(py: Python<'_>, handle: &HandleRef) -> PyResult<Py<PyAny>> {
    handle.run(py)?;
    Ok(py.None())
}

fn ask_cancelled(py: Python<'_>, handle: &HandleRef) -> PyResult<Py<PyAny>> {
    handle.wait_until_idle(py)?;
    is_cancelled(py, handle)
}

fn is_cancelled(py: Python<'_>, handle: &HandleRef) -> PyResult<Py<PyAny>> {
    boolean(py, handle.body().cancelled)
}

fn show_scheduled(py: Python<'_>, handle: &HandleRef) -> PyResult<Py<PyAny>> {
    boolean(py, handle.body().scheduled)
}

fn show_context(py: Python<'_>, handle: &HandleRef) -> PyResult<Py<PyAny>> {
    Ok(handle.shown_context(py)?.map_or_else(|| py.None(), Bound::unbind))
}

fn show_when(py: Python<'_>, handle: &HandleRef) -> PyResult<Py<PyAny>> {
    Ok(handle.when(py).unbind())
}

fn show_callback(py: Python<'_>, handle: &HandleRef) -> PyResult<Py<PyAny>> {
    Ok(handle.body().callback.as_ref().map_or_else(|| py.None(), |callback| callback.clone_ref(py)))
}

fn show_arguments(py: Python<'_>, handle: &HandleRef) -> PyResult<Py<PyAny>> {
    if handle.body().cancelled {
        return Ok(py.None());
    }
    Ok(current_arguments(py, handle)?.unbind())
}

fn current_arguments<'py>(py: Python<'py>, handle: &HandleRef) -> PyResult<Bound<'py, PyAny>> {
    let (owned, arity): (_, Arity) = {
        let body = handle.body();
        (body.arguments.as_ref().map(|owned| owned.bind(py).clone()), body.arity)
    };
    Ok(argument_tuple(py, owned.as_ref(), arity)?.into_any())
}

fn show_owner(py: Python<'_>, handle: &HandleRef) -> PyResult<Py<PyAny>> {
    Ok(handle.body().owner.as_ref().map_or_else(|| py.None(), |owner| owner.clone_ref(py).into_any()))
}

fn show_source_traceback(py: Python<'_>, handle: &HandleRef) -> PyResult<Py<PyAny>> {
    Ok(handle.source_traceback(py).map_or_else(|| py.None(), Bound::unbind))
}

fn show_cancelled_repr(py: Python<'_>, handle: &HandleRef) -> PyResult<Py<PyAny>> {
    let notes = handle.body().notes.as_ref();
    let repr = notes.and_then(|notes| notes.cancelled_repr.as_ref());
    Ok(repr.map_or_else(|| py.None(), |repr| repr.clone_ref(py)))
}

fn show_class(py: Python<'_>, handle: &HandleRef) -> PyResult<Py<PyAny>> {
    Ok(types::asyncio_class(py, handle.body().kind)?.into_any().unbind())
}

fn boolean(py: Python<'_>, value: bool) -> PyResult<Py<PyAny>> {
    Ok(value.into_pyobject(py)?.to_owned().into_any().unbind())
}

fn describe(py: Python<'_>, handle: &HandleRef) -> PyResult<String> {
    if let Some(notes) = &handle.body().notes
        && let Some(repr) = &notes.cancelled_repr
    {
        return repr.bind(py).extract();
    }
    describe_as(py, handle, handle.body().cancelled)
}

/// asyncio's `Handle._repr_info`, joined.
fn describe_as(py: Python<'_>, handle: &HandleRef, cancelled: bool) -> PyResult<String> {
    let timer = handle.body().kind == Kind::Timer;
    let mut words = vec![types::asyncio_class(py, handle.body().kind)?.name()?.to_string()];
    if cancelled {
        words.push("cancelled".to_owned());
    }
    if timer {
        words.push(format!("when={}", handle.when(py).str()?));
    }
    let callback = handle.body().callback.as_ref().map(|callback| callback.bind(py).clone());
    if let Some(callback) = callback.filter(|callback| !callback.is_none()) {
        let debug = handle.body().owner.as_ref().is_some_and(|owner| owner.get().debug.get());
        words.push(format_callback_source(py, &callback, &current_arguments(py, handle)?, debug)?);
    }
    if let Some(traceback) = handle.source_traceback(py)
        && !traceback.is_empty()?
    {
        let frame = traceback.get_item(-1)?;
        words.push(format!("created at {}:{}", frame.get_item(0)?, frame.get_item(1)?));
    }
    Ok(format!("<{}>", words.join(" ")))
}
