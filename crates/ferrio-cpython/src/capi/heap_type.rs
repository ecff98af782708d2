//! Creates heap types: their spec, and the entries of their tables.
//!
//! Tables given to a type live as long as the process, because types do.

use std::ffi::{CStr, c_int, c_ulong, c_void};

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

type Object = *mut ffi::PyObject;

/// Flags of a type that takes part in garbage collection and that Python cannot make instances of.
pub(crate) const COLLECTED: c_ulong = ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION;

/// Flags of a type that takes part in garbage collection and can be subclassed.
pub(crate) const EXTENSIBLE: c_ulong = ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_BASETYPE;

/// A type whose instances have `size` bytes, derived from `base` or from `object`.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn new(
    py: Python<'_>,
    name: &'static CStr,
    size: usize,
    mut slots: Vec<ffi::PyType_Slot>,
    flags: c_ulong,
    base: Option<&Bound<'_, PyType>>,
) -> PyResult<Py<PyType>> {
    slots.push(slot(0, std::ptr::null_mut()));
    let mut spec = ffi::PyType_Spec {
        name: name.as_ptr(),
        basicsize: c_int::try_from(size).unwrap_or(c_int::MAX),
        itemsize: 0,
        flags: u32::try_from(ffi::Py_TPFLAGS_DEFAULT | flags).unwrap_or(0),
        slots: slots.as_mut_ptr(),
    };
    let base = base.map_or(std::ptr::null_mut(), Bound::as_ptr);
    // SAFETY: a complete spec that ends with a null slot; its tables live as long as the process; null or a type.
    let class = unsafe { ffi::PyType_FromSpecWithBases(&raw mut spec, base) };
    // SAFETY: a new reference or null with an exception set.
    let class = unsafe { Bound::from_owned_ptr_or_err(py, class) }?;
    Ok(class.cast_into::<PyType>()?.unbind())
}

/// Makes calls of `class` itself go to `constructor`; subclasses go through `tp_new` and `tp_init`.
pub(crate) fn set_constructor(class: &Bound<'_, PyType>, constructor: ffi::vectorcallfunc) {
    // SAFETY: a new type that no code has called yet.
    let place = unsafe { &raw mut (*class.as_type_ptr()).tp_vectorcall };
    // SAFETY: in bounds; the field owns nothing.
    unsafe { place.write(Some(constructor)) };
}

/// `object.__class__ = value`, or its deletion, where `object` is of a ferrio class or a subclass. `is_own` recognises
/// the classes that programs may not assign from or to, as they cannot with asyncio's in C.
///
/// # Errors
/// `TypeError`, with the interpreter's message.
pub(crate) fn assign_class(
    object: &Bound<'_, PyAny>,
    value: Option<&Bound<'_, PyAny>>,
    is_own: fn(&Bound<'_, PyType>) -> bool,
) -> PyResult<()> {
    let py = object.py();
    let class_attribute = py.get_type::<PyAny>().getattr(name!("__dict__"))?.get_item(name!("__class__"))?;
    let Some(value) = value else { return class_attribute.call_method1(name!("__delete__"), (object,)).map(drop) };
    if let Ok(class) = value.cast::<PyType>()
        && (is_own(&object.get_type()) || is_own(class))
    {
        return Err(crate::capi::raise::error::<PyTypeError>(
            "__class__ assignment only supported for mutable types or ModuleType subclasses",
        ));
    }
    class_attribute.call_method1(name!("__set__"), (object, value)).map(drop)
}

/// An entry of a type's spec.
pub(crate) fn slot(slot: c_int, value: *mut c_void) -> ffi::PyType_Slot {
    ffi::PyType_Slot { slot, pfunc: value }
}

/// A method with the number of arguments that `flags` say.
pub(crate) fn method(
    name: &'static CStr,
    function: unsafe extern "C" fn(Object, Object) -> Object,
    flags: c_int,
    doc: &'static CStr,
) -> ffi::PyMethodDef {
    ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunction: function },
        ml_flags: flags,
        ml_doc: doc.as_ptr(),
    }
}

/// A method that takes positional and keyword arguments.
pub(crate) fn fastcall_keywords(
    name: &'static CStr,
    function: ffi::PyCFunctionFastWithKeywords,
    doc: &'static CStr,
) -> ffi::PyMethodDef {
    ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: function },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: doc.as_ptr(),
    }
}

/// An attribute that functions read and write.
pub(crate) fn attribute(name: &'static CStr, get: ffi::getter, set: Option<ffi::setter>) -> ffi::PyGetSetDef {
    ffi::PyGetSetDef { name: name.as_ptr(), get: Some(get), set, doc: std::ptr::null(), closure: std::ptr::null_mut() }
}

/// The table of offsets of the fields that the interpreter reads in an object: `__weaklistoffset__` and so on.
pub(crate) fn offsets(places: &[(&'static CStr, usize)]) -> *mut c_void {
    let entry = |name: *const _, type_code, offset, flags| ffi::PyMemberDef {
        name,
        type_code,
        offset,
        flags,
        doc: std::ptr::null(),
    };
    let mut table: Vec<_> = places
        .iter()
        .map(|(name, offset)| {
            let offset = ffi::Py_ssize_t::try_from(*offset).unwrap_or(0);
            entry(name.as_ptr(), ffi::Py_T_PYSSIZET, offset, ffi::Py_READONLY)
        })
        .collect();
    table.push(entry(std::ptr::null(), 0, 0, 0));
    Box::leak(table.into_boxed_slice()).as_mut_ptr().cast()
}
