//! All pending tasks, so that `asyncio.all_tasks()` finds them.
//!
//! An intrusive list through the tasks, without references: a task is in it from its first scheduling to its end or its
//! deallocation. asyncio iterates over a `WeakSet` of its own; that set gets a class whose `__iter__` continues with
//! this list, so that `all_tasks` sees it however and whenever it was imported. Adding a ferrio task to the set lists
//! it, and discarding it takes it off the list, so asyncio's `_register_task` and `_unregister_task` work on ferrio
//! tasks too.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::exceptions::{PyKeyError, PyRuntimeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PySet, PyTuple, PyType};

use super::{TaskObject, TaskRef};
use crate::capi::heap_type::method;
use crate::capi::imports;
use crate::capi::interned;
use crate::capi::memory;
use crate::capi::trampoline::trampoline_attached;
use crate::objects::future::{boolean, future_like};
use crate::objects::scheduling::add_method;

type Object = *mut ffi::PyObject;

/// A task's place in the list; read and written with the GIL held.
pub(crate) struct Link {
    previous: *mut TaskObject,
    next: *mut TaskObject,
    listed: bool,
}

impl Default for Link {
    fn default() -> Self {
        Self { previous: null_mut(), next: null_mut(), listed: false }
    }
}

/// The newest pending task. Relaxed throughout: the GIL orders all accesses.
static HEAD: AtomicPtr<TaskObject> = AtomicPtr::new(null_mut());

/// # Safety
/// A listed or fresh task, and the GIL is held.
unsafe fn link<'a>(task: *mut TaskObject) -> &'a mut Link {
    // SAFETY: alive the caller guarantees it; borrows end at once.
    unsafe { &mut (*task).task.link }
}

/// Lists `task`, unless it is listed already.
#[inline]
pub(crate) fn add(task: &TaskRef<'_>) {
    let pointer = task.object().as_ptr().cast::<TaskObject>();
    // SAFETY: alive while counted.
    let own = unsafe { link(pointer) };
    if own.listed {
        return;
    }
    let next = HEAD.load(Ordering::Relaxed);
    *own = Link { previous: null_mut(), next, listed: true };
    if !next.is_null() {
        // SAFETY: listed tasks are alive.
        unsafe { link(next) }.previous = pointer;
    }
    HEAD.store(pointer, Ordering::Relaxed);
}

/// Takes a task out, if it is listed.
///
/// # Safety
/// A task's memory whose body is still there, and the GIL is held.
#[inline]
pub(crate) unsafe fn remove(task: *mut TaskObject) {
    // SAFETY: the caller guarantees it.
    let Link { previous, next, listed } = std::mem::take(unsafe { link(task) });
    if !listed {
        return;
    }
    if previous.is_null() {
        HEAD.store(next, Ordering::Relaxed);
    } else {
        // SAFETY: listed tasks are alive.
        unsafe { link(previous) }.next = next;
    }
    if !next.is_null() {
        // SAFETY: listed tasks are alive.
        unsafe { link(next) }.previous = previous;
    }
}

/// Whether a task of ferrio's is pending, on any loop.
#[must_use]
pub fn is_any_pending(_py: Python<'_>) -> bool {
    !HEAD.load(Ordering::Relaxed).is_null()
}

/// The addresses of all listed tasks.
pub(crate) fn addresses(_py: Python<'_>) -> Vec<usize> {
    let mut addresses = Vec::new();
    let mut task = HEAD.load(Ordering::Relaxed);
    while !task.is_null() {
        addresses.push(task.addr());
        // SAFETY: listed tasks have their memory.
        task = unsafe { link(task) }.next;
    }
    addresses
}

/// All listed tasks.
fn listed(py: Python<'_>) -> Vec<Bound<'_, PyAny>> {
    let mut tasks = Vec::new();
    let mut task = HEAD.load(Ordering::Relaxed);
    while !task.is_null() {
        // A task being deallocated is listed until its memory goes, and must not be revived.
        // SAFETY: listed tasks have their memory.
        if unsafe { ffi::Py_REFCNT(task.cast()) } > 0 {
            // SAFETY: alive, as just seen.
            tasks.push(unsafe { Bound::from_borrowed_ptr(py, task.cast()) });
        }
        // SAFETY: listed tasks have their memory.
        task = unsafe { link(task) }.next;
    }
    tasks
}

/// How many times to retry iterating over a set that another thread changes, as in asyncio.
const MAX_ATTEMPTS: usize = 1000;

/// `asyncio.all_tasks(owner)`: a set of all pending tasks, of ferrio and of other implementations.
///
/// # Errors
/// Any exception that reading a task's loop raises.
pub fn all_tasks<'py>(owner: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = owner.py();
    if py.version_info() >= (3, 14) {
        return imports::stock_all_tasks(py)?.call1((owner,));
    }
    let found = PySet::empty(py)?;
    for task in others(py)?.into_iter().chain(listed(py)) {
        if future_like::loop_of(&task)?.is(owner) && !future_like::is_done(&task)? {
            found.add(task)?;
        }
    }
    Ok(found.into_any())
}

/// The tasks that asyncio's registry holds itself, up to 3.13.
fn others(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyAny>>> {
    let weak_set = py.import(name!("weakref"))?.getattr(name!("WeakSet"))?;
    let mut tasks = Vec::new();
    if let Some(eager) = imports::tasks_module(py)?.getattr_opt(name!("_eager_tasks"))? {
        for task in eager.cast::<PySet>()?.try_iter()? {
            tasks.push(task?);
        }
    }
    let Some(set) = stock_registry(py, &weak_set)? else { return Ok(tasks) };
    for attempts_left in (0..MAX_ATTEMPTS).rev() {
        let found = weak_set.call_method1(name!("__iter__"), (&set,))?.try_iter()?.collect::<PyResult<Vec<_>>>();
        match found {
            Err(error) if error.is_instance_of::<PyRuntimeError>(py) && attempts_left > 0 => {}
            found => {
                tasks.extend(found?);
                break;
            }
        }
    }
    Ok(tasks)
}

/// Makes asyncio's own registry show ferrio's tasks.
///
/// # Errors
/// Any exception that creating the class raises.
pub fn show_to_asyncio(py: Python<'_>) -> PyResult<()> {
    let weak_set = py.import(name!("weakref"))?.getattr(name!("WeakSet"))?;
    let Some(set) = stock_registry(py, &weak_set)? else { return Ok(()) };
    if !set.get_type().is(&weak_set) {
        return Ok(());
    }
    let namespace = memory::dict(py)?;
    namespace.set_item(name!("__slots__"), PyTuple::empty(py))?;
    namespace.set_item(name!("__module__"), "ferrio")?;
    namespace.set_item(name!("__doc__"), "asyncio's set of tasks, in which ferrio's tasks show as well.")?;
    let class = py.get_type::<PyType>().call1(("TaskSet", (&weak_set,), namespace))?;
    let class = class.cast_into::<PyType>()?;
    for definition in [
        method(c"__iter__", iterate, ffi::METH_NOARGS, c"Implement iter(self)."),
        method(c"__contains__", contains, ffi::METH_O, c"Whether the task is registered."),
        method(c"add", add_any, ffi::METH_O, c"Register a task."),
        method(c"discard", discard_any, ffi::METH_O, c"Forget a task, if it is registered."),
        method(c"remove", remove_any, ffi::METH_O, c"Forget a task."),
    ] {
        add_method(&class, definition)?;
    }
    set.setattr(name!("__class__"), class)
}

/// `WeakSet`'s own method.
fn inherited<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static CELL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    interned::import(py, &CELL, name!("weakref"), name!("WeakSet"))?.getattr(name)
}

unsafe extern "C" fn iterate(set: Object, _: Object) -> Object {
    trampoline_attached(|py| {
        // SAFETY: the object that the method was called on, alive during the call.
        let set = unsafe { Bound::from_borrowed_ptr(py, set) };
        let all = memory::empty_list(py)?;
        for task in inherited(py, "__iter__")?.call1((set,))?.try_iter()? {
            all.append(task?)?;
        }
        for task in listed(py) {
            all.append(task)?;
        }
        Ok(all.try_iter()?.into_any().unbind())
    })
}

/// Defines the C entry of a method of the set: `$own` for ferrio tasks, the inherited one for all others.
macro_rules! entries {
    ($($name:ident = $own:path, $inherited:literal;)*) => {$(
        unsafe extern "C" fn $name(set: Object, task: Object) -> Object {
            // Attaching selects the main interpreter. That is the wrong one when 3.11's `_asyncio`, whose state all
            // interpreters share, adds a task of another interpreter.
            trampoline_attached(|py| {
                // SAFETY: the object that the method was called on, alive during the call.
                let set = unsafe { Bound::from_borrowed_ptr(py, set) };
                // SAFETY: an argument, alive during the call.
                let task = unsafe { Bound::from_borrowed_ptr(py, task) };
                match TaskRef::of(&task) {
                    Some(task) => $own(&task),
                    None => {
                        static CELL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
                        let method = CELL.get_or_try_init(py, || inherited(py, $inherited).map(Bound::unbind))?;
                        method.call1(py, (set, task))
                    }
                }
            })
        }
    )*};
}

entries! {
    add_any = add_own, "add";
    discard_any = discard_own, "discard";
    remove_any = remove_own, "remove";
    contains = has_own, "__contains__";
}

fn add_own(task: &TaskRef<'_>) -> PyResult<Py<PyAny>> {
    add(task);
    Ok(task.py().None())
}

fn discard_own(task: &TaskRef<'_>) -> PyResult<Py<PyAny>> {
    // SAFETY: alive while counted.
    unsafe { remove(task.object().as_ptr().cast::<TaskObject>()) };
    Ok(task.py().None())
}

fn remove_own(task: &TaskRef<'_>) -> PyResult<Py<PyAny>> {
    if !task.task().link.listed {
        return Err(crate::capi::raise::error::<PyKeyError>(task.object().clone().unbind()));
    }
    discard_own(task)
}

fn has_own(task: &TaskRef<'_>) -> PyResult<Py<PyAny>> {
    boolean(task.py(), task.task().link.listed)
}

/// The set that `asyncio.all_tasks()` iterates over: `_all_tasks` in 3.11, `_scheduled_tasks` in 3.12 and 3.13, and an
/// unnamed one of the C module later.
fn stock_registry<'py>(py: Python<'py>, weak_set: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if py.version_info() >= (3, 14) {
        let referents =
            py.import(name!("gc"))?.getattr(name!("get_referents"))?.call1((py.import(name!("_asyncio"))?,))?;
        for referent in referents.try_iter()? {
            let referent = referent?;
            if referent.get_type().is(weak_set) {
                return Ok(Some(referent));
            }
        }
        return Ok(None);
    }
    let tasks = py.import(name!("asyncio.tasks"))?;
    let name = if py.version_info() >= (3, 12) { "_scheduled_tasks" } else { "_all_tasks" };
    tasks.getattr_opt(name)
}
