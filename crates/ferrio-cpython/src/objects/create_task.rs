//! The raw entry points `create_future` and `create_task`: the common case without a dictionary of keyword arguments.
//!
//! They cost a third of generated ones (benchmark `task_seq`). Every other case (a task factory, further keyword
//! arguments, a program's own class in place of asyncio's) goes to the loop's general methods.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

use crate::capi::exact_type::ExactType;
use crate::capi::heap_type::{fastcall_keywords, method};
use crate::capi::trampoline::trampoline_attached;
use crate::objects::future;
use crate::objects::loop_base::LoopBase;
use crate::objects::scheduling::add_method;
use crate::objects::task::{self, Parts};
use crate::objects::task_factory::{self, Factory};
use crate::thread_identifier;

type Object = *mut ffi::PyObject;

/// The loop's general methods.
static GENERAL: PyOnceLock<(Py<PyAny>, Py<PyAny>)> = PyOnceLock::new();

static RAW_CREATE_TASK: PyOnceLock<RawMethod> = PyOnceLock::new();

/// A raw method and the class that defines it.
struct RawMethod {
    class: Py<PyType>,
    /// The class's own attributes.
    namespace: Py<PyAny>,
    name: Py<PyString>,
    descriptor: Py<PyAny>,
}

impl RawMethod {
    fn of_class(class: &Bound<'_, PyType>, name: &str) -> PyResult<Self> {
        let py = class.py();
        // SAFETY: a live heap type, whose dictionary lives as long as it.
        let namespace = unsafe { (*class.as_type_ptr()).tp_dict };
        // SAFETY: not null in a type that is ready.
        let namespace = unsafe { Bound::from_borrowed_ptr(py, namespace) }.unbind();
        let descriptor = class.getattr(name)?.unbind();
        Ok(Self { class: class.clone().unbind(), namespace, name: PyString::intern(py, name).unbind(), descriptor })
    }

    /// Whether `object` has this very method: it is exactly of the class, and the method was not replaced.
    #[inline]
    fn is_of(&self, object: &Bound<'_, PyAny>) -> bool {
        // SAFETY: reads the type of a live object.
        if !std::ptr::eq(unsafe { ffi::Py_TYPE(object.as_ptr()) }.cast(), self.class.as_ptr()) {
            return false;
        }
        // SAFETY: a dict and a string; the result is borrowed, and only its address is looked at.
        let found = unsafe { ffi::PyDict_GetItemWithError(self.namespace.as_ptr(), self.name.as_ptr()) };
        std::ptr::eq(found, self.descriptor.as_ptr())
    }
}

/// Adds the methods to `class`; `general` defines their general forms.
///
/// # Errors
/// `AttributeError` when `general` lacks them; `MemoryError`.
pub fn add_methods(class: &Bound<'_, PyType>, general: &Bound<'_, PyType>) -> PyResult<()> {
    let py = class.py();
    let methods = (general.getattr(name!("create_future"))?.unbind(), general.getattr(name!("create_task"))?.unbind());
    GENERAL.get_or_init(py, || methods);
    add_method(
        class,
        method(
            c"create_future",
            create_future,
            ffi::METH_NOARGS,
            c"create_future($self, /)\n--\n\nCreate a future attached to the loop.",
        ),
    )?;
    add_method(
        class,
        fastcall_keywords(
            c"create_task",
            create_task,
            c"create_task($self, /, coro, **kwargs)\n--\n\nSchedule a coroutine; gives its task.",
        ),
    )?;
    RAW_CREATE_TASK.get_or_try_init(py, || RawMethod::of_class(class, "create_task")).map(drop)
}

/// A class, and the namespace where asyncio looks it up to make instances.
struct PatchPoint {
    namespace: Py<PyDict>,
    name: Py<PyString>,
    /// asyncio's own class.
    stock: Py<PyAny>,
}

impl PatchPoint {
    fn find(py: Python<'_>, module: &str, name: &str) -> PyResult<Self> {
        let namespace = crate::capi::modules::module(py, module)?.dict().unbind();
        let stock = crate::capi::modules::module(py, name!("_asyncio"))?.getattr(name)?.unbind();
        Ok(Self { namespace, name: PyString::intern(py, name).unbind(), stock })
    }

    /// Whether the namespace still holds asyncio's own class or `ours`; a program may have replaced it.
    #[inline]
    fn is_unpatched(&self, ours: *mut ffi::PyTypeObject) -> bool {
        // SAFETY: a dict and a string; the result is borrowed, and only its address is looked at.
        let shown = unsafe { ffi::PyDict_GetItemWithError(self.namespace.as_ptr(), self.name.as_ptr()) };
        !shown.is_null() && (std::ptr::eq(shown, ours.cast()) || std::ptr::eq(shown, self.stock.as_ptr()))
    }
}

fn future_class_is_unpatched(py: Python<'_>) -> PyResult<bool> {
    static CELL: PyOnceLock<PatchPoint> = PyOnceLock::new();
    let exported = CELL.get_or_try_init(py, || PatchPoint::find(py, "asyncio.futures", "Future"))?;
    Ok(exported.is_unpatched(future::type_pointer()))
}

fn task_class_is_unpatched(py: Python<'_>) -> PyResult<bool> {
    static CELL: PyOnceLock<PatchPoint> = PyOnceLock::new();
    let exported = CELL.get_or_try_init(py, || PatchPoint::find(py, "asyncio.tasks", "Task"))?;
    Ok(exported.is_unpatched(task::type_pointer()))
}

unsafe extern "C" fn create_future(slf: Object, _: Object) -> Object {
    trampoline_attached(|py| {
        // SAFETY: the method descriptor checked that `self` is a `LoopBase`; the caller holds a reference.
        let owner = unsafe { LoopBase::from_borrowed(py, slf) };
        Ok(direct_future(&owner)?.unbind())
    })
}

#[inline]
fn direct_future<'py>(owner: &Bound<'py, LoopBase>) -> PyResult<Bound<'py, PyAny>> {
    let py = owner.py();
    if !future_class_is_unpatched(py)?
        && let Some((general, _)) = GENERAL.get(py)
    {
        return general.bind(py).call1((owner,));
    }
    future::new_future(owner)
}

/// The class of loops whose `create_future` is known to be ferrio's.
pub static EVENT_LOOP: ExactType = ExactType::new();

/// A future of the loop `owner`, for a waiter of a primitive: `owner.create_future()`.
///
/// # Errors
/// Any exception that `create_future` raises.
#[inline]
pub fn waiter<'py>(owner: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if EVENT_LOOP.is_exact(owner)
        && let Ok(native) = owner.cast::<LoopBase>()
        && !native.get().patched.get()
    {
        return direct_future(native);
    }
    owner.call_method0(crate::intern!(owner.py(), "create_future"))
}

/// Whether `owner` is known to run in this thread. False means unknown.
#[inline]
#[must_use]
pub fn runs_here(owner: &Bound<'_, PyAny>) -> bool {
    EVENT_LOOP.is_exact(owner)
        && owner.cast::<LoopBase>().is_ok_and(|native| native.get().thread() == Some(thread_identifier(owner.py())))
}

unsafe extern "C" fn create_task(slf: Object, stack: *const Object, count: isize, names: Object) -> Object {
    trampoline_attached(|py| {
        // SAFETY: the method descriptor checked that `self` is a `LoopBase`; the caller holds a reference.
        let owner = unsafe { LoopBase::from_borrowed(py, slf) };
        // SAFETY: this very call's arguments.
        if let Some(parts) = unsafe { direct_parts(py, stack, count, names) }? {
            match make_directly(&owner, parts)? {
                Ok(task) => return Ok(task.unbind()),
                Err(parts) => {
                    if let Some(task) = task_factory::call(&owner, &parts)? {
                        return Ok(task.unbind());
                    }
                }
            }
        }
        // SAFETY: this very call's arguments.
        if let Some(task) = unsafe { task_factory::pass_on(&owner, stack, count, names) }? {
            return Ok(task.unbind());
        }
        // SAFETY: this very call's arguments.
        unsafe { call_general(py, slf, stack, count, names) }
    })
}

/// What `owner.create_task(coroutine, context=context)` returns, where that is known to be the raw method above:
/// `owner` is exactly of the class that defines it, and the method was not replaced.
///
/// # Errors
/// Any exception that the method raises.
#[inline]
pub fn create_task_directly<'py>(
    owner: &Bound<'py, PyAny>,
    coroutine: &Bound<'py, PyAny>,
    context: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Some(owner) = with_raw_method(owner) else { return Ok(None) };
    let context = context.cloned();
    let parts = Parts { coroutine: coroutine.clone(), name: None, context, eager_start: false };
    Ok(make_directly(owner, parts)?.ok())
}

/// What `owner.create_task(coroutine, name=name)` returns, where that is known to be the raw method above and there is
/// no task factory.
///
/// # Errors
/// Any exception that the method raises.
#[inline]
pub fn create_named_task_directly<'py>(
    owner: &Bound<'py, PyAny>,
    coroutine: &Bound<'py, PyAny>,
    name: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Some(owner) = with_raw_method(owner) else { return Ok(None) };
    if !matches!(owner.get().task_factory.kind(owner.py()), Factory::None) {
        return Ok(None);
    }
    let parts = Parts { coroutine: coroutine.clone(), name: Some(name.clone()), context: None, eager_start: false };
    Ok(make_directly(owner, parts)?.ok())
}

/// The loop, if its `create_task` is known to be the raw one.
#[inline]
fn with_raw_method<'a, 'py>(owner: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, LoopBase>> {
    if !RAW_CREATE_TASK.get(owner.py()).is_some_and(|raw| raw.is_of(owner)) {
        return None;
    }
    // SAFETY: the class that has the raw methods is a subtype of it.
    let owner = unsafe { owner.cast_unchecked::<LoopBase>() };
    (!owner.get().patched.get()).then_some(owner)
}

/// `owner.create_task` for many coroutines in a row: looked up once, and bypassed where it is the raw method above.
pub struct TaskMaker<'py> {
    method: Bound<'py, PyAny>,
    /// The loop, if its method is the raw one.
    ours: Option<Bound<'py, LoopBase>>,
}

impl<'py> TaskMaker<'py> {
    /// # Errors
    /// `AttributeError` when `owner` has no such method.
    pub fn new(owner: &Bound<'py, PyAny>) -> PyResult<Self> {
        let method = owner.getattr(crate::intern!(owner.py(), "create_task"))?;
        let ours = owner.cast::<LoopBase>().ok().filter(|_| is_raw_method(&method)).cloned();
        Ok(Self { method, ours })
    }

    /// A task for `coroutine`.
    ///
    /// # Errors
    /// Any exception that the method raises.
    #[inline]
    pub fn make(&self, coroutine: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(owner) = &self.ours {
            let parts = Parts { coroutine: coroutine.clone(), name: None, context: None, eager_start: false };
            if let Ok(task) = make_directly(owner, parts)? {
                return Ok(task);
            }
        }
        self.method.call1((coroutine,))
    }
}

/// Whether `method` is the bound raw `create_task`.
fn is_raw_method(method: &Bound<'_, PyAny>) -> bool {
    // SAFETY: reads the type of a live object.
    if unsafe { ffi::PyCFunction_CheckExact(method.as_ptr()) } == 0 {
        return false;
    }
    // SAFETY: a builtin function, as just seen.
    let function = unsafe { ffi::PyCFunction_GetFunction(method.as_ptr()) };
    function.is_some_and(|function| function as usize == create_task as *const () as usize)
}

/// The task, unless a factory or the program's own class makes it; then the parts again.
#[inline]
fn make_directly<'py>(
    owner: &Bound<'py, LoopBase>,
    parts: Parts<'py>,
) -> PyResult<Result<Bound<'py, PyAny>, Parts<'py>>> {
    let py = owner.py();
    match owner.get().task_factory.kind(py) {
        Factory::None if task_class_is_unpatched(py)? => {
            owner.get().check_open()?;
            task::new_task(owner, parts).map(Ok)
        }
        Factory::Eager(naming) => {
            owner.get().check_open()?;
            task::new_eager_task(owner, parts, naming).map(Ok)
        }
        Factory::None | Factory::Other(_) => Ok(Err(parts)),
    }
}

/// The parts of the task, if the arguments are a coroutine and perhaps a name and a context.
///
/// # Safety
/// A vectorcall's arguments, alive during the call.
unsafe fn direct_parts(
    py: Python<'_>,
    stack: *const Object,
    count: isize,
    names: Object,
) -> PyResult<Option<Parts<'_>>> {
    if count != 1 {
        return Ok(None);
    }
    let argument = |index: usize| {
        // SAFETY: within the stack, by the calling convention.
        let place = unsafe { stack.add(index) };
        // SAFETY: as above.
        let pointer = unsafe { *place };
        // SAFETY: an argument, alive during the call.
        unsafe { Bound::from_borrowed_ptr(py, pointer) }
    };
    let mut parts = Parts { coroutine: argument(0), name: None, context: None, eager_start: false };
    // SAFETY: null or the tuple of names, alive during the call.
    if let Some(names) = unsafe { Bound::from_borrowed_ptr_or_opt(py, names) } {
        // SAFETY: the calling convention makes it a tuple.
        let names = unsafe { names.cast_into_unchecked::<PyTuple>() };
        for (index, name) in names.iter().enumerate() {
            let place = match name.extract::<&str>()? {
                "name" => &mut parts.name,
                "context" => &mut parts.context,
                _ => return Ok(None),
            };
            *place = Some(argument(index + 1)).filter(|value| !value.is_none());
        }
    }
    Ok(Some(parts))
}

/// Calls the general `create_task` with the same arguments.
///
/// # Safety
/// A vectorcall's arguments, alive during the call.
#[cold]
unsafe fn call_general(
    py: Python<'_>,
    slf: Object,
    stack: *const Object,
    count: isize,
    names: Object,
) -> PyResult<Py<PyAny>> {
    let positional = usize::try_from(count).unwrap_or(0);
    // SAFETY: null or the tuple of names, alive during the call.
    let keywords = unsafe { Bound::from_borrowed_ptr_or_opt(py, names) }.map_or(Ok(0), |names| names.len())?;
    let mut all = vec![slf];
    // SAFETY: a vectorcall's stack holds the positional and then the keyword arguments.
    let given = unsafe { std::slice::from_raw_parts(stack, positional + keywords) };
    all.extend_from_slice(given);
    let Some((_, general)) = GENERAL.get(py) else {
        return Err(crate::capi::raise::error::<pyo3::exceptions::PyRuntimeError>("the loop's class is not ready"));
    };
    // SAFETY: a callable and its arguments, `self` first.
    let outcome = unsafe { ffi::PyObject_Vectorcall(general.as_ptr(), all.as_ptr(), positional + 1, names) };
    // SAFETY: a new reference or null with an exception set.
    Ok(unsafe { Bound::from_owned_ptr_or_err(py, outcome) }?.unbind())
}
