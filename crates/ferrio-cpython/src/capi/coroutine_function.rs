//! Functions that return ferrio coroutines, and look like `async def` to introspection.
//!
//! `inspect.iscoroutinefunction`, `inspect.signature` and similar functions read a function's code object. So a builtin
//! function or method is wrapped in an object that forwards calls and shows the attributes of an `async def` with the
//! same signature (`pattern`), which is made on first use and never runs.

use std::ffi::{CString, c_int, c_void};
use std::mem::offset_of;

use pyo3::exceptions::PyAttributeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyType};

use crate::capi::heap_type::{self, attribute, method, offsets, slot};
use crate::capi::memory;
use crate::capi::trampoline::{trampoline, trampoline_status};
use crate::capi::version;

type Object = *mut ffi::PyObject;

#[repr(C)]
struct FunctionObject {
    head: ffi::PyObject,
    vectorcall: ffi::vectorcallfunc,
    /// The builtin function or method descriptor that does the work. An owned reference.
    builtin: Object,
    /// The `async def`, or null until it is first needed. An owned reference.
    pattern: Object,
    /// A direct way to call `builtin`, if it is a method of a common kind.
    direct: Direct,
}

/// A way around a method descriptor, which costs a tenth of an await that ends at once (benchmark `queue_unbounded`).
#[derive(Clone, Copy)]
enum Direct {
    None,
    WithoutArguments(*mut ffi::PyTypeObject, ffi::PyCFunction),
    WithKeywords(*mut ffi::PyTypeObject, ffi::PyCFunctionFastWithKeywords),
}

impl Direct {
    /// The class is the descriptor's; it outlives the descriptor, and its method definitions do too.
    fn of(builtin: &Bound<'_, PyAny>) -> Self {
        if !std::ptr::eq(builtin.get_type_ptr(), &raw const ffi::PyMethodDescr_Type) {
            return Self::None;
        }
        // SAFETY: exactly a method descriptor.
        let descriptor = unsafe { &*builtin.as_ptr().cast::<ffi::PyMethodDescrObject>() };
        // SAFETY: a descriptor's definition outlives it.
        let definition = unsafe { &*descriptor.d_method };
        let class = descriptor.d_common.d_type;
        match definition.ml_flags {
            // SAFETY: the flags say which function it is.
            ffi::METH_NOARGS => Self::WithoutArguments(class, unsafe { definition.ml_meth.PyCFunction }),
            flags if flags == ffi::METH_FASTCALL | ffi::METH_KEYWORDS => {
                // SAFETY: as above.
                Self::WithKeywords(class, unsafe { definition.ml_meth.PyCFunctionFastWithKeywords })
            }
            _ => Self::None,
        }
    }
}

/// Replaces the attributes `names` of a class or module, which are builtin, by functions that count as `async def`.
///
/// # Errors
/// `AttributeError` when one is missing.
pub fn mark(owner: &Bound<'_, PyAny>, names: &[&str]) -> PyResult<()> {
    let py = owner.py();
    for name in names {
        let builtin = match owner.cast::<PyType>() {
            // Not getattr: the descriptor is needed, not what its `__get__` returns.
            Ok(class) => class.getattr(name!("__dict__"))?.get_item(name)?,
            Err(_) => owner.getattr(*name)?,
        };
        owner.setattr(*name, wrap(py, &builtin)?)?;
    }
    Ok(())
}

/// A builtin method in the place of `original`, a function in Python: it shows that function's attributes.
///
/// # Errors
/// `MemoryError`.
pub fn stand_in<'py>(builtin: &Bound<'py, PyAny>, original: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let object = wrap(builtin.py(), builtin)?;
    // SAFETY: of our layout, and no other code has seen it.
    unsafe { (*object.as_ptr().cast::<FunctionObject>()).pattern = original.clone().into_ptr() };
    Ok(object)
}

/// Whether an object is such a function.
pub(crate) fn is_marked(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(object.get_type().is(function_type(object.py())?))
}

fn wrap<'py>(py: Python<'py>, builtin: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let class = function_type(py)?;
    // SAFETY: a type without a collector's head, of the layout's size; zeroed memory or null with an exception set.
    let object = unsafe { ffi::PyType_GenericAlloc(class.as_type_ptr(), 0) };
    // SAFETY: a new reference or null with an exception set.
    let object = unsafe { Bound::from_owned_ptr_or_err(py, object) }?;
    let function = object.as_ptr().cast::<FunctionObject>();
    // SAFETY: of our layout, and no other pointer to it exists.
    unsafe { (*function).vectorcall = call };
    // SAFETY: as above; the field held null.
    unsafe { (*function).builtin = builtin.clone().into_ptr() };
    // SAFETY: as above.
    let place = unsafe { &raw mut (*function).direct };
    // SAFETY: in bounds; the zeroed memory holds nothing.
    unsafe { place.write(Direct::of(builtin)) };
    Ok(object)
}

unsafe extern "C" fn call(object: Object, stack: *const Object, count: usize, keywords: Object) -> Object {
    // SAFETY: a vectorcall's own count.
    let given = unsafe { ffi::PyVectorcall_NARGS(count) };
    if given >= 1 {
        // SAFETY: there is one at least.
        let receiver = unsafe { *stack };
        // SAFETY: of our type, alive during the call.
        match unsafe { (*object.cast::<FunctionObject>()).direct } {
            // SAFETY: live objects.
            Direct::WithKeywords(class, function) if unsafe { ffi::PyObject_TypeCheck(receiver, class) } != 0 => {
                // SAFETY: the arguments follow the object, or the end of the stack does.
                let arguments = unsafe { stack.add(1) };
                // SAFETY: an instance of the method's class, and the caller's own arguments.
                return unsafe { function(receiver, arguments, given - 1, keywords) };
            }
            Direct::WithoutArguments(class, function)
                // SAFETY: live objects.
                if given == 1 && keywords.is_null() && unsafe { ffi::PyObject_TypeCheck(receiver, class) } != 0 =>
            {
                // SAFETY: an instance of the method's class.
                return unsafe { function(receiver, std::ptr::null_mut()) };
            }
            _ => {}
        }
    }
    // SAFETY: of our type, alive during the call.
    let builtin = unsafe { (*object.cast::<FunctionObject>()).builtin };
    // SAFETY: the caller's own arguments, passed on.
    unsafe { ffi::PyObject_Vectorcall(builtin, stack, count, keywords) }
}

unsafe extern "C" fn bind(object: Object, instance: Object, _: Object) -> Object {
    // SAFETY: the interpreter passes null or None when the attribute is read from a class.
    if instance.is_null() || std::ptr::eq(instance, unsafe { ffi::Py_None() }) {
        // SAFETY: alive during the call.
        return unsafe { ffi::Py_NewRef(object) };
    }
    // SAFETY: a callable and its instance.
    unsafe { version::PyMethod_New(object, instance) }
}

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
        let name = unsafe { Bound::from_borrowed_ptr(py, name) };
        let name = name.cast::<PyString>()?;
        Ok(pattern(py, object)?.getattr(name)?.unbind())
    })
}

/// The `async def` of the function.
fn pattern(py: Python<'_>, object: Object) -> PyResult<Bound<'_, PyAny>> {
    let function = object.cast::<FunctionObject>();
    // SAFETY: of our type, alive during the call.
    let known = unsafe { (*function).pattern };
    // SAFETY: null or an owned reference.
    if let Some(pattern) = unsafe { Bound::from_borrowed_ptr_or_opt(py, known) } {
        return Ok(pattern);
    }
    // SAFETY: of our type, alive during the call.
    let builtin = unsafe { (*function).builtin };
    // SAFETY: an owned reference.
    let builtin = unsafe { Bound::from_borrowed_ptr(py, builtin) };
    let made = make_pattern(&builtin)?;
    // SAFETY: of our type; Python code may have run meanwhile and put another one there.
    let before = unsafe { std::mem::replace(&mut (*function).pattern, made.clone().into_ptr()) };
    // SAFETY: null or a reference that the object owned.
    unsafe { ffi::Py_XDECREF(before) };
    Ok(made)
}

/// An `async def` with the name, signature and documentation of a builtin function.
///
/// # Errors
/// `AttributeError` when it lacks one of them.
#[cold]
pub(crate) fn make_pattern<'py>(builtin: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = builtin.py();
    let name = builtin.getattr(name!("__name__"))?.extract::<String>()?;
    let qualified_name = builtin.getattr(name!("__qualname__"))?;
    let signature = builtin.getattr(name!("__text_signature__"))?;
    let signature = match signature.extract::<String>() {
        Ok(text) => of_running_version(py, &name, text.replace('$', "")),
        Err(_) => "(*args, **kwargs)".to_owned(),
    };
    let globals = memory::dict(py)?;
    globals.set_item(name!("__name__"), "ferrio")?;
    let source = CString::new(format!("async def {name}{signature}: pass"))?;
    py.run(&source, Some(&globals), None)?;
    let made = globals.as_any().get_item(name)?;
    made.setattr(name!("__qualname__"), qualified_name)?;
    made.setattr(name!("__doc__"), builtin.getattr(name!("__doc__"))?)?;
    Ok(made)
}

/// Arguments that a later Python added. ferrio's functions have them on each version, and reject them where asyncio has
/// none; the signature shown is that of the running Python's asyncio.
const LATER: [(&str, &str, (u8, u8)); 4] = [
    ("create_connection", ", all_errors=False", (3, 12)),
    ("create_server", ", keep_alive=None", (3, 13)),
    ("create_unix_server", ", cleanup_socket=True", (3, 13)),
    ("shutdown_default_executor", ", timeout=None", (3, 12)),
];

fn of_running_version(py: Python<'_>, function: &str, signature: String) -> String {
    match LATER.iter().find(|(name, _, since)| *name == function && py.version_info() < *since) {
        Some((_, argument, _)) => signature.replace(argument, ""),
        None => signature,
    }
}

unsafe extern "C" fn repr(object: Object) -> Object {
    trampoline(|py| {
        let name = pattern(py, object)?.getattr(name!("__qualname__"))?;
        Ok(memory::text(py, &format!("<function {name} at {:#x}>", object.addr()))?.into_any().unbind())
    })
}

/// `__reduce__`: found again by name, like functions.
unsafe extern "C" fn reduce(object: Object, _: Object) -> Object {
    trampoline(|py| Ok(pattern(py, object)?.getattr(name!("__qualname__"))?.unbind()))
}

unsafe extern "C" fn documentation(object: Object, _: *mut c_void) -> Object {
    trampoline(|py| Ok(pattern(py, object)?.getattr(name!("__doc__"))?.unbind()))
}

unsafe extern "C" fn module(object: Object, _: *mut c_void) -> Object {
    trampoline(|py| Ok(pattern(py, object)?.getattr(name!("__module__"))?.unbind()))
}

/// Libraries make functions that they export name the module that exports them.
unsafe extern "C" fn set_module(object: Object, value: Object, _: *mut c_void) -> c_int {
    trampoline_status(|py| {
        // SAFETY: null at a deletion, otherwise alive during the call.
        match unsafe { Bound::from_borrowed_ptr_or_opt(py, value) } {
            Some(value) => pattern(py, object)?.setattr(name!("__module__"), value),
            None => pattern(py, object)?.delattr(name!("__module__")),
        }
    })
}

unsafe extern "C" fn dealloc(object: Object) {
    let function = object.cast::<FunctionObject>();
    // SAFETY: an instance of a heap type owns a reference to its type.
    let class = unsafe { ffi::Py_TYPE(object) };
    // SAFETY: null or an owned reference, read before the memory goes.
    let builtin = unsafe { (*function).builtin };
    // SAFETY: as above.
    let pattern = unsafe { (*function).pattern };
    // SAFETY: dead, of the plain allocator.
    unsafe { ffi::PyObject_Free(object.cast()) };
    for reference in [builtin, pattern] {
        // SAFETY: null or a reference that the object owned.
        unsafe { ffi::Py_XDECREF(reference) };
    }
    // SAFETY: the reference that the instance held.
    unsafe { ffi::Py_DECREF(class.cast()) };
}

fn function_type(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    Ok(TYPE.get_or_try_init(py, || new_type(py))?.bind(py))
}

fn new_type(py: Python<'_>) -> PyResult<Py<PyType>> {
    let methods = Box::leak(Box::new([
        method(c"__reduce__", reduce, ffi::METH_NOARGS, c"The name, for pickling."),
        ffi::PyMethodDef::zeroed(),
    ]));
    let read = |name, get| attribute(name, get, None);
    // The type itself has these attributes, so an instance's own would not be looked up.
    let attributes = Box::leak(Box::new([
        read(c"__doc__", documentation),
        attribute(c"__module__", module, Some(set_module)),
        ffi::PyGetSetDef::default(),
    ]));
    let members = offsets(&[(c"__vectorcalloffset__", offset_of!(FunctionObject, vectorcall))]);
    let slots = vec![
        slot(ffi::Py_tp_dealloc, dealloc as *mut c_void),
        slot(ffi::Py_tp_call, ffi::PyVectorcall_Call as *mut c_void),
        slot(ffi::Py_tp_descr_get, bind as *mut c_void),
        slot(ffi::Py_tp_getattro, get_attribute as *mut c_void),
        slot(ffi::Py_tp_repr, repr as *mut c_void),
        slot(ffi::Py_tp_methods, methods.as_mut_ptr().cast()),
        slot(ffi::Py_tp_getset, attributes.as_mut_ptr().cast()),
        slot(ffi::Py_tp_members, members),
    ];
    let flags = ffi::Py_TPFLAGS_HAVE_VECTORCALL
        | ffi::Py_TPFLAGS_METHOD_DESCRIPTOR
        // The interpreter specialises loading the method only with this flag (benchmark `queue_unbounded`).
        | ffi::Py_TPFLAGS_IMMUTABLETYPE
        | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION;
    heap_type::new(py, c"ferrio.coroutine_function", size_of::<FunctionObject>(), slots, flags, None)
}
