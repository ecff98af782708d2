//! Names of functions, by which the flight recorder's records tell what ran: each is kept once, under its address, or
//! under that of what defines a function of C, whose name the interpreter makes anew each time.
//!
//! Invariant: reading a name runs no code of the program: only attributes of the interpreter's own types are read.

use std::ffi::CStr;
use std::sync::OnceLock;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyFunction, PyString};

use super::records::RECORDS;
use crate::capi::memory;
use crate::capi::method;
use crate::capi::resume;
use crate::objects::coroutine;

/// How many names are kept; what comes after them has none.
const MOST: usize = 4096;

/// How deep an await chain is followed.
const DEEPEST: usize = 32;

/// The label of what a task drives; 0 for none.
pub(super) fn of_coroutine(object: &Bound<'_, PyAny>) -> u64 {
    let py = object.py();
    if let Some(name) = coroutine::name_of(object) {
        return keep(py, name.as_ptr().addr(), || memory::text(py, name).ok().map(Bound::unbind));
    }
    if resume::is_python_coroutine(object) { qualified_name(object).map_or(0, of_text) } else { 0 }
}

/// The name of a coroutine of an `async def`, by calling what its type has for it: to look the attribute up takes ten
/// times as long.
fn qualified_name<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    static GETTER: OnceLock<Option<Getter>> = OnceLock::new();
    let (get, closure) = (*GETTER.get_or_init(find_getter))?;
    // SAFETY: the getter of the type of coroutines, of which this is one, with what belongs to it.
    let name = unsafe { get(object.as_ptr(), std::ptr::with_exposed_provenance_mut(closure)) };
    // SAFETY: a new reference, or null with an error set.
    unsafe { Bound::from_owned_ptr_or_err(object.py(), name) }.ok()
}

/// A getter, and the address that it is called with.
type Getter = (ffi::getter, usize);

fn find_getter() -> Option<Getter> {
    let class = &raw const ffi::PyCoro_Type;
    // SAFETY: a type of the interpreter's own, which no code changes.
    let mut entry = unsafe { (*class).tp_getset };
    while !entry.is_null() {
        // SAFETY: an entry of the table, at most the last one, which has no name.
        let ffi::PyGetSetDef { name, get, closure, .. } = unsafe { *entry };
        if name.is_null() {
            break;
        }
        // SAFETY: a string, as long as the type lives.
        if unsafe { CStr::from_ptr(name) } == c"__qualname__" {
            return Some((get?, closure.expose_provenance()));
        }
        // SAFETY: not the last entry.
        entry = unsafe { entry.add(1) };
    }
    None
}

/// The label of a callback or of an executor's job; 0 for none.
pub fn of_callable(object: &Bound<'_, PyAny>) -> u64 {
    let py = object.py();
    if let Some(function) = method::function_of(object) {
        return of_callable(&function);
    }
    let qualified = crate::intern!(py, "__qualname__");
    if object.is_exact_instance_of::<PyFunction>() {
        let function = object.as_ptr().cast::<ffi::PyFunctionObject>();
        // SAFETY: a live object, exactly a function.
        let name = unsafe { (*function).func_qualname };
        // SAFETY: a string that the function refers to.
        let name = unsafe { Bound::from_borrowed_ptr(py, name) };
        return keep(py, name.as_ptr().addr(), || name.cast_into_exact().ok().map(Bound::unbind));
    }
    if object.is_exact_instance_of::<PyCFunction>() {
        let function = object.as_ptr().cast::<ffi::PyCFunctionObject>();
        // SAFETY: a live object, exactly a built-in function.
        let definition = unsafe { (*function).m_ml };
        return keep(py, definition.addr(), || object.getattr(qualified).ok()?.cast_into().ok().map(Bound::unbind));
    }
    let class = object.get_type_ptr();
    // The attribute `__name__` would be looked up in the metaclass, which may be the program's.
    // SAFETY: a type, which is alive as long as its instance.
    let name = unsafe { ffi::PyType_GetName(class) };
    // SAFETY: null with an error set, or a new reference.
    let name = unsafe { Bound::from_owned_ptr_or_err(py, name) };
    name.map_or(0, of_text)
}

/// What the innermost coroutine waits for, or that coroutine if it waits for a bare future; 0 for none.
pub(super) fn of_awaited(outermost: &Bound<'_, PyAny>) -> u64 {
    let is_known =
        |object: &Bound<'_, PyAny>| resume::is_python_coroutine(object) || coroutine::name_of(object).is_some();
    if !is_known(outermost) {
        return 0;
    }
    let name = crate::intern!(outermost.py(), "cr_await");
    let mut innermost = outermost.clone();
    for _ in 0..DEEPEST {
        match innermost.getattr(name) {
            Ok(next) if is_known(&next) => innermost = next,
            Ok(_) | Err(_) => break,
        }
    }
    of_coroutine(&innermost)
}

/// `text` is a string, or it has no label.
fn of_text(text: Bound<'_, PyAny>) -> u64 {
    let py = text.py();
    let Ok(text) = text.cast_into_exact::<PyString>() else { return 0 };
    let known = text.as_ptr().addr();
    if RECORDS.with(py, |records| records.as_ref().is_some_and(|records| records.labels.contains_key(&known))) {
        return known as u64;
    }
    let mut pointer = text.into_ptr();
    // Some types make their name anew each time.
    // SAFETY: an exact string, in exchange for which an equal one comes back.
    unsafe { ffi::PyUnicode_InternInPlace(&raw mut pointer) };
    // SAFETY: a new reference, as it was.
    let text = unsafe { Bound::from_owned_ptr(py, pointer) };
    keep(py, pointer.addr(), || text.cast_into_exact::<PyString>().ok().map(Bound::unbind))
}

fn keep(py: Python<'_>, address: usize, text: impl FnOnce() -> Option<Py<PyString>>) -> u64 {
    let label = address as u64;
    let state = RECORDS.with(py, |records| {
        let Some(records) = records else { return Some(0) };
        if records.labels.contains_key(&address) {
            return Some(label);
        }
        let fits = records.labels.len() < MOST && records.labels.try_reserve(1).is_ok();
        if fits { None } else { Some(0) }
    });
    if let Some(known) = state {
        return known;
    }
    let Some(text) = text() else { return 0 };
    let replaced = RECORDS.with(py, |records| records.as_mut().map(|records| records.labels.insert(address, text)));
    drop(replaced);
    label
}

/// All labels with their names.
pub fn all(py: Python<'_>) -> Vec<(u64, Py<PyString>)> {
    RECORDS.with(py, |records| {
        let labels = records.as_ref().map(|records| &records.labels);
        labels.into_iter().flatten().map(|(address, text)| (*address as u64, text.clone_ref(py))).collect()
    })
}
