//! The `__class__` of an instance of a Python subclass of ferrio's future types, so that `isinstance(task,
//! asyncio.Task)` holds without `install()`.
//!
//! isinstance reads the object's `__class__` when its type does not derive from the class in question. It gets a
//! stand-in: derived from asyncio's class, and in everything else the subclass itself, to which it forwards attribute
//! access, assignment and calls. The subclass keeps its stand-in; memory layouts never mix, because a stand-in cannot
//! be instantiated.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyTuple, PyType};

use super::boolean;
use crate::capi::heap_type::{fastcall_keywords, method};
use crate::capi::imports;
use crate::capi::memory;
use crate::capi::trampoline::trampoline;
use crate::objects::scheduling::add_method;

type Object = *mut ffi::PyObject;

/// The attribute under which a subclass keeps its stand-in.
const KEPT: &str = "__ferrio_stand_in__";
/// The attribute under which a stand-in keeps its subclass.
const SUBJECT: &str = "__ferrio_subject__";

/// The `__class__` of instances of `class`, a Python subclass of a ferrio type: `claimed` is asyncio's class.
pub(super) fn proxy_class<'py>(class: &Bound<'py, PyType>, claimed: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    let Ok(claimed) = claimed.cast::<PyType>() else { return Ok(class.clone().into_any()) };
    if class.is_subclass(claimed)? {
        return Ok(class.clone().into_any());
    }
    let own = class.getattr(crate::intern!(py, "__dict__"))?;
    if let Ok(kept) = own.get_item(KEPT)
        && mro_holds(&kept, claimed)
    {
        return Ok(kept);
    }
    let namespace = memory::dict(py)?;
    namespace.set_item(name!("__slots__"), PyTuple::empty(py))?;
    namespace.set_item(SUBJECT, class)?;
    let made = kind(py)?.call1((class.name()?, (claimed,), namespace))?;
    class.setattr(KEPT, &made)?;
    Ok(made)
}

fn mro_holds(class: &Bound<'_, PyAny>, base: &Bound<'_, PyType>) -> bool {
    class.cast::<PyType>().is_ok_and(|class| {
        // SAFETY: two live types.
        unsafe { ffi::PyType_IsSubtype(class.as_type_ptr(), base.as_type_ptr()) != 0 }
    })
}

/// The class of stand-ins.
fn kind(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static CELL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let kind = CELL.get_or_try_init(py, || {
        let namespace = memory::dict(py)?;
        namespace.set_item(name!("__module__"), "ferrio")?;
        namespace.set_item(name!("__slots__"), PyTuple::empty(py))?;
        let bases = (py.get_type::<PyType>(),);
        let kind = py.get_type::<PyType>().call1(("StandIn", bases, namespace))?.cast_into::<PyType>()?;
        for definition in [
            method(c"__getattribute__", getattribute, ffi::METH_O, c"The subclass's attribute."),
            method(c"__setattr__", setattr, ffi::METH_VARARGS, c"Set the subclass's attribute."),
            method(c"__delattr__", delattr, ffi::METH_O, c"Delete the subclass's attribute."),
            method(c"__repr__", repr, ffi::METH_NOARGS, c"The subclass's."),
            method(c"__hash__", hash, ffi::METH_NOARGS, c"The subclass's."),
            method(c"__eq__", equals, ffi::METH_O, c"Whether it stands for the same."),
            method(c"__instancecheck__", instancecheck, ffi::METH_O, c"The subclass's."),
            method(c"__subclasscheck__", subclasscheck, ffi::METH_O, c"The subclass's."),
            fastcall_keywords(c"__call__", call, c"Make an instance of the subclass."),
        ] {
            add_method(&kind, definition)?;
        }
        Ok::<_, PyErr>(kind.into_any().unbind())
    })?;
    Ok(kind.bind(py))
}

/// The subclass that a stand-in stands for; any other object stands for itself.
pub(super) fn proxied_class<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    static CELL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = object.py();
    if !object.get_type().is(kind(py)?) {
        return Ok(object.clone());
    }
    let find =
        CELL.get_or_try_init(py, || py.get_type::<PyType>().getattr(name!("__getattribute__")).map(Bound::unbind))?;
    Ok(find.call1(py, (object, SUBJECT))?.into_bound(py))
}

/// Defines C entries whose Rust bodies take the subclass and the argument.
macro_rules! entries {
    ($($name:ident = $body:expr;)*) => {$(
        unsafe extern "C" fn $name(object: Object, argument: Object) -> Object {
            trampoline(|py| {
                // SAFETY: the stand-in that the method was called on, alive during the call.
                let proxied = proxied_class(&unsafe { Bound::from_borrowed_ptr(py, object) })?;
                // SAFETY: null, or an argument that is alive during the call.
                let argument = unsafe { Bound::from_borrowed_ptr_or_opt(py, argument) };
                let argument = argument.unwrap_or_else(|| py.None().into_bound(py));
                let body: fn(&Bound<'_, PyAny>, &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> = $body;
                body(&proxied, &argument)
            })
        }
    )*};
}

entries! {
    getattribute = |class, name| Ok(imports::getattr(class.py())?.call1((class, name))?.unbind());
    setattr = |class, pair| {
        let (name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair.extract()?;
        Ok(imports::setattr(class.py())?.call1((class, name, value))?.unbind())
    };
    delattr = |class, name| Ok(imports::delattr(class.py())?.call1((class, name))?.unbind());
    repr = |class, _| Ok(class.repr()?.into_any().unbind());
    hash = |class, _| Ok(class.hash()?.into_pyobject(class.py())?.into_any().unbind());
    equals = |class, other| boolean(class.py(), proxied_class(other)?.is(class));
    instancecheck = |class, object| boolean(class.py(), object.is_instance(class)?);
    subclasscheck = |class, other| {
        let other = proxied_class(other)?.cast_into::<PyType>()?;
        boolean(class.py(), other.is_subclass(class)?)
    };
}

unsafe extern "C" fn call(object: Object, stack: *const Object, count: isize, names: Object) -> Object {
    trampoline(|py| {
        // SAFETY: the stand-in that was called, alive during the call.
        let proxied = proxied_class(&unsafe { Bound::from_borrowed_ptr(py, object) })?;
        let count = usize::try_from(count).unwrap_or(0);
        // SAFETY: this very call's arguments.
        let made = unsafe { ffi::PyObject_Vectorcall(proxied.as_ptr(), stack, count, names) };
        // SAFETY: a new reference or null with an exception set.
        Ok(unsafe { Bound::from_owned_ptr_or_err(py, made) }?.unbind())
    })
}

/// The class that asyncio exports as `Future` now, which ferrio futures claim to be; asyncio's own class if the
/// exported one is ferrio's already, so that code which imported the name before `install()` recognises them too.
pub(crate) fn asyncio_future(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let now = imports::futures_module(py)?.getattr(crate::intern!(py, "Future"))?;
    if super::is_exact_future(now.as_ptr().cast()) { imports::stock_future(py).cloned() } else { Ok(now) }
}

/// The class that asyncio exports as `Task`, as with `asyncio_future`.
pub(crate) fn asyncio_task(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let now = imports::tasks_module(py)?.getattr(crate::intern!(py, "Task"))?;
    if crate::objects::task::is_exact(now.as_ptr().cast()) { imports::stock_task(py).cloned() } else { Ok(now) }
}
