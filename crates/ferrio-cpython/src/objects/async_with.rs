//! `__aenter__` and `__aexit__`, bound without allocating memory.
//!
//! `async with` looks both up on the type, binds them, calls each once and drops it; binding a builtin method costs as
//! much as taking a free lock (benchmark `lock_uncontended`). The descriptor defined here returns a bound object whose
//! memory is recycled. The garbage collector tracks that object, because before Python 3.14 the bound `__aexit__` lies
//! on the frame's stack while the body runs. Like an unbound method, the descriptor itself can be called with an
//! instance.

use std::ffi::{c_int, c_ulong, c_void};
use std::mem::offset_of;
use std::ptr::NonNull;

use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyType};
use pyo3::{Borrowed, PyTypeInfo};

use crate::capi::coroutine_function::make_pattern;
use crate::capi::freelist::FreeList;
use crate::capi::heap_type::{self, attribute, offsets, slot};
use crate::capi::memory;
use crate::capi::trampoline::{assume_attached, trampoline, trampoline_attached};

type Object = *mut ffi::PyObject;

/// What entering or leaving does: returns a coroutine. It owns objects as `Bound` and `OwnedRef` only.
pub type AsyncWithMethod = for<'py> fn(&Bound<'py, PyAny>) -> PyResult<Py<PyAny>>;

/// The layout of descriptors.
#[repr(C)]
struct Descriptor {
    head: ffi::PyObject,
    vectorcall: ffi::vectorcallfunc,
    method: AsyncWithMethod,
    name: &'static str,
    /// How many arguments it takes; their values are ignored.
    arity: usize,
    /// The class that defines it. An owned reference.
    class: *mut ffi::PyTypeObject,
}

/// The layout of bound descriptors.
#[repr(C)]
struct BoundDescriptor {
    head: ffi::PyObject,
    vectorcall: ffi::vectorcallfunc,
    /// An owned reference, as is `instance`.
    descriptor: *mut Descriptor,
    instance: Object,
}

static FREELIST: FreeList<BoundDescriptor> = FreeList::new(64);

/// Adds the methods `__aenter__` and `__aexit__` to `T`.
///
/// # Errors
/// `MemoryError`.
pub fn add<T: PyTypeInfo>(py: Python<'_>, enter: AsyncWithMethod, exit: AsyncWithMethod) -> PyResult<()> {
    bound_type(py)?;
    for (name, arity, method) in [("__aenter__", 0, enter), ("__aexit__", 3, exit)] {
        let class = descriptor_type(py)?;
        // SAFETY: a type without a collector's head, of the layout's size; zeroed memory or null with an exception set.
        let object = unsafe { ffi::PyType_GenericAlloc(class.as_type_ptr(), 0) };
        // SAFETY: a new reference or null with an exception set.
        let object = unsafe { Bound::from_owned_ptr_or_err(py, object) }?;
        let owner = py.get_type::<T>();
        owner.setattr(name, &object)?;
        let place = object.as_ptr().cast::<Descriptor>();
        // SAFETY: as above.
        let head = unsafe { std::ptr::read(place.cast::<ffi::PyObject>()) };
        let owner = owner.into_ptr().cast();
        // SAFETY: of our layout; plain values over zeroes, the head as it was.
        unsafe { place.write(Descriptor { head, vectorcall: call_unbound, method, name, arity, class: owner }) };
    }
    Ok(())
}

/// # Safety
/// A live object of that layout, whose fields no other code changes meanwhile.
#[inline]
unsafe fn fields<'a, T>(object: Object) -> &'a T {
    // SAFETY: the caller guarantees it.
    unsafe { &*object.cast::<T>() }
}

#[cold]
fn wrong_count(name: &str, arity: usize, given: usize) -> PyErr {
    crate::capi::raise::error::<PyTypeError>(format!("{name}() takes {arity} arguments but {given} were given"))
}

/// Calls `method` with the instance, if the number of arguments is right and none is named.
///
/// # Safety
/// A live descriptor and a live instance of its class.
#[inline]
unsafe fn perform(descriptor: *const Descriptor, instance: Object, given: usize, named: bool) -> Object {
    trampoline_attached(|py| {
        // SAFETY: the caller guarantees it.
        let Descriptor { method, name, arity, .. } = unsafe { &*descriptor };
        if given != *arity || named {
            return Err(wrong_count(name, *arity, given));
        }
        // SAFETY: the caller guarantees it.
        let instance = unsafe { Borrowed::from_ptr(py, instance) };
        method(&instance)
    })
}

unsafe extern "C" fn call_bound(object: Object, _: *const Object, count: usize, names: Object) -> Object {
    // SAFETY: of our type, alive during the call.
    let BoundDescriptor { descriptor, instance, .. } = *unsafe { fields::<BoundDescriptor>(object) };
    let given = count & !ffi::PY_VECTORCALL_ARGUMENTS_OFFSET;
    // SAFETY: the bound object owns both, and the descriptor's class was checked.
    unsafe { perform(descriptor, instance, given, !names.is_null()) }
}

unsafe extern "C" fn call_unbound(object: Object, stack: *const Object, count: usize, names: Object) -> Object {
    let given = count & !ffi::PY_VECTORCALL_ARGUMENTS_OFFSET;
    // SAFETY: of our type, alive during the call.
    let descriptor = unsafe { fields::<Descriptor>(object) };
    let Descriptor { class, name, .. } = *descriptor;
    // SAFETY: the first argument exists if any was given.
    let instance = if given == 0 { std::ptr::null_mut() } else { unsafe { *stack } };
    // SAFETY: null, or a live object and a live type.
    if instance.is_null() || unsafe { ffi::PyObject_TypeCheck(instance, class) } == 0 {
        return trampoline(|_| {
            Err(crate::capi::raise::error::<PyTypeError>(format!("{name}() needs an instance of its class")))
        });
    }
    // SAFETY: an instance of the class, as was just checked.
    unsafe { perform(descriptor, instance, given - 1, !names.is_null()) }
}

unsafe extern "C" fn bind(object: Object, instance: Object, _: Object) -> Object {
    // SAFETY: the interpreter passes null or None when the attribute is read from a class.
    if instance.is_null() || std::ptr::eq(instance, unsafe { ffi::Py_None() }) {
        // SAFETY: alive during the call.
        return unsafe { ffi::Py_NewRef(object) };
    }
    trampoline_attached(|py| {
        // SAFETY: of our layout, alive during the call.
        let class = unsafe { (*object.cast::<Descriptor>()).class };
        // SAFETY: a live object and a live type.
        if unsafe { ffi::PyObject_TypeCheck(instance, class) } == 0 {
            return Err(crate::capi::raise::error::<PyTypeError>("the descriptor is for objects of another class"));
        }
        let class = bound_type(py)?.as_type_ptr();
        // SAFETY: the type of this free list's objects, of the layout's size.
        let memory = unsafe { FREELIST.take(py, class) }?.as_ptr();
        // SAFETY: alive; the reference goes into the new object.
        let descriptor = unsafe { ffi::Py_NewRef(object) }.cast();
        // SAFETY: as above.
        let instance = unsafe { ffi::Py_NewRef(instance) };
        // SAFETY: no other pointer to the memory exists.
        let place = unsafe { &raw mut (*memory).vectorcall };
        // SAFETY: in bounds.
        unsafe { place.write(call_bound) };
        // SAFETY: as above.
        let place = unsafe { &raw mut (*memory).descriptor };
        // SAFETY: in bounds, and it overwrites nothing that needs releasing.
        unsafe { place.write(descriptor) };
        // SAFETY: as above.
        let place = unsafe { &raw mut (*memory).instance };
        // SAFETY: in bounds, and it overwrites nothing that needs releasing.
        unsafe { place.write(instance) };
        // SAFETY: whole, and not tracked by the collector yet.
        unsafe { ffi::PyObject_GC_Track(memory.cast()) };
        // SAFETY: a new reference.
        Ok(unsafe { Bound::from_owned_ptr(py, memory.cast()) }.unbind())
    })
}

unsafe extern "C" fn traverse_bound(object: Object, visit: ffi::visitproc, argument: *mut c_void) -> c_int {
    // SAFETY: the collector passes a live object of our type.
    let BoundDescriptor { descriptor, instance, .. } = *unsafe { fields::<BoundDescriptor>(object) };
    // SAFETY: an instance of a heap type visits its type.
    let class = unsafe { ffi::Py_TYPE(object) };
    for owned in [class.cast(), descriptor.cast(), instance] {
        // SAFETY: the visitor with the argument that came with it, and an object that this one owns a reference to.
        let outcome = unsafe { visit(owned, argument) };
        if outcome != 0 {
            return outcome;
        }
    }
    0
}

unsafe extern "C" fn dealloc_bound(object: Object) {
    // SAFETY: tracked since it was made.
    unsafe { ffi::PyObject_GC_UnTrack(object.cast()) };
    // SAFETY: of our type, and no reference to it is left.
    let BoundDescriptor { descriptor, instance, .. } = *unsafe { fields::<BoundDescriptor>(object) };
    // SAFETY: not null.
    let memory = unsafe { NonNull::new_unchecked(object.cast::<BoundDescriptor>()) };
    // SAFETY: exactly of our type, which has no finalizer, and untracked; its references are taken out.
    assume_attached(|py| unsafe { FREELIST.put_unfinalized(py, memory) });
    for owned in [descriptor.cast(), instance] {
        // SAFETY: a reference that the object owned.
        unsafe { ffi::Py_DECREF(owned) };
    }
}

unsafe extern "C" fn name_of(object: Object, _: *mut c_void) -> Object {
    // SAFETY: of our layout, alive during the call.
    trampoline(|py| Ok(memory::text(py, unsafe { (*object.cast::<Descriptor>()).name })?.into_any().unbind()))
}

unsafe extern "C" fn qualified_name_of(object: Object, _: *mut c_void) -> Object {
    trampoline(|py| {
        // SAFETY: of our layout, alive during the call.
        let Descriptor { class, name, .. } = *unsafe { fields::<Descriptor>(object) };
        // SAFETY: the descriptor owns a reference.
        let class = unsafe { PyType::from_borrowed_type_ptr(py, class) };
        Ok(memory::text(py, &format!("{}.{name}", class.name()?))?.into_any().unbind())
    })
}

unsafe extern "C" fn signature_of(object: Object, _: *mut c_void) -> Object {
    // SAFETY: of our layout, alive during the call.
    let arity = unsafe { fields::<Descriptor>(object) }.arity;
    let text = if arity == 0 { "($self)" } else { "($self, exc_type, exc, tb)" };
    trampoline(|py| Ok(memory::text(py, text)?.into_any().unbind()))
}

/// Attributes that it lacks come from an `async def`, so that `inspect` and `unittest.mock` treat it as one.
unsafe extern "C" fn get_attribute(object: Object, name: Object) -> Object {
    // SAFETY: passed on from the interpreter.
    let found = unsafe { ffi::PyObject_GenericGetAttr(object, name) };
    if !found.is_null() {
        return found;
    }
    trampoline(|py| {
        let missing = PyErr::fetch(py);
        if !missing.is_instance_of::<PyAttributeError>(py) {
            return Err(missing);
        }
        // SAFETY: alive during the call.
        let object = unsafe { Bound::from_borrowed_ptr(py, object) };
        // SAFETY: as above.
        let name = unsafe { Bound::from_borrowed_ptr(py, name) };
        Ok(make_pattern(&object)?.getattr(name.cast::<PyString>()?)?.unbind())
    })
}

/// Flags of both types.
const CALLABLE: c_ulong = ffi::Py_TPFLAGS_HAVE_VECTORCALL | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION;

fn bound_type(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let class = TYPE.get_or_try_init(py, || {
        let slots = vec![
            slot(ffi::Py_tp_dealloc, dealloc_bound as *mut c_void),
            slot(ffi::Py_tp_traverse, traverse_bound as *mut c_void),
            slot(ffi::Py_tp_call, ffi::PyVectorcall_Call as *mut c_void),
            slot(ffi::Py_tp_members, offsets(&[(c"__vectorcalloffset__", offset_of!(BoundDescriptor, vectorcall))])),
        ];
        heap_type::new(
            py,
            c"ferrio.method",
            size_of::<BoundDescriptor>(),
            slots,
            CALLABLE | ffi::Py_TPFLAGS_HAVE_GC,
            None,
        )
    });
    Ok(class?.bind(py))
}

fn descriptor_type(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let class = TYPE.get_or_try_init(py, || {
        let attributes = Box::leak(Box::new([
            attribute(c"__name__", name_of, None),
            attribute(c"__qualname__", qualified_name_of, None),
            attribute(c"__text_signature__", signature_of, None),
            ffi::PyGetSetDef::default(),
        ]));
        let slots = vec![
            slot(ffi::Py_tp_descr_get, bind as *mut c_void),
            slot(ffi::Py_tp_getattro, get_attribute as *mut c_void),
            slot(ffi::Py_tp_call, ffi::PyVectorcall_Call as *mut c_void),
            slot(ffi::Py_tp_members, offsets(&[(c"__vectorcalloffset__", offset_of!(Descriptor, vectorcall))])),
            slot(ffi::Py_tp_getset, attributes.as_mut_ptr().cast()),
        ];
        let flags = CALLABLE | ffi::Py_TPFLAGS_METHOD_DESCRIPTOR;
        heap_type::new(py, c"ferrio.method_descriptor", size_of::<Descriptor>(), slots, flags, None)
    });
    Ok(class?.bind(py))
}
