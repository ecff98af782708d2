//! All pending tasks, so that `asyncio.all_tasks()` finds them.
//!
//! Intrusive, circular lists through the tasks, without references: a task is in one of them from its first scheduling
//! to its end or its deallocation. 3.14 and later keep a list of asyncio's own tasks in each thread's state, for
//! `all_tasks` and for tools that read it from outside; ferrio's tasks go into the same lists (`capi/task_lists.rs`)
//! where they have the form that the running `_asyncio` declares. Elsewhere they have a list of ferrio's own.
//!
//! asyncio also iterates over a `WeakSet`; that set gets a class whose `__iter__` continues with ferrio's own list, so
//! that `all_tasks` sees it however and whenever it was imported. Adding a ferrio task to the set lists it, and
//! discarding it takes it off the list, so asyncio's `_register_task` and `_unregister_task` work on ferrio tasks too.

use std::cell::UnsafeCell;
#[cfg(Py_3_14)]
use std::ffi::c_void;
use std::mem::offset_of;
use std::ptr::null_mut;

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
use crate::capi::owned_ref::OwnedRef;
#[cfg(Py_3_14)]
use crate::capi::task_lists;
use crate::capi::trampoline::trampoline_attached;
use crate::objects::future::{FutureRef, boolean, future_like};
use crate::objects::loop_base::LoopBase;
use crate::objects::scheduling::add_method;

type Object = *mut ffi::PyObject;

/// A task's place in a list, and a list's head: `struct llist_node`. Read and written with the GIL held.
#[repr(C)]
pub(crate) struct Link {
    /// Null in no list.
    next: *mut Link,
    previous: *mut Link,
}

impl Default for Link {
    fn default() -> Self {
        Self { next: null_mut(), previous: null_mut() }
    }
}

/// The head of ferrio's own list.
struct Head(UnsafeCell<Link>);

// SAFETY: read and written with the GIL held only.
unsafe impl Sync for Head {}

static OWN: Head = Head(UnsafeCell::new(Link {
    next: (&raw const OWN).cast_mut().cast(),
    previous: (&raw const OWN).cast_mut().cast(),
}));

/// Where the calling thread's new tasks are listed.
#[inline]
fn head(py: Python<'_>) -> *mut Link {
    shared_head(py).unwrap_or_else(|| OWN.0.get())
}

#[cfg(Py_3_14)]
#[inline]
fn shared_head(py: Python<'_>) -> Option<*mut Link> {
    task_lists::of_this_thread(py).map(<*mut c_void>::cast)
}

#[cfg(not(Py_3_14))]
#[inline]
fn shared_head(_: Python<'_>) -> Option<*mut Link> {
    None
}

#[cfg(Py_3_14)]
fn shared_heads(py: Python<'_>) -> Vec<*mut Link> {
    task_lists::all(py).into_iter().map(<*mut c_void>::cast).collect()
}

#[cfg(not(Py_3_14))]
fn shared_heads(_: Python<'_>) -> Vec<*mut Link> {
    Vec::new()
}

/// Lists `task`, unless it is listed already.
#[inline]
pub(crate) fn add(task: &TaskRef<'_>) {
    let head = head(task.py());
    let pointer = task.object().as_ptr().cast::<TaskObject>();
    // SAFETY: alive while counted.
    let own = unsafe { &raw mut (*pointer).task.link };
    // SAFETY: as above, and the GIL is held.
    if !unsafe { (*own).next }.is_null() {
        return;
    }
    // SAFETY: a head lives as long as its list is used.
    let previous = unsafe { std::mem::replace(&mut (*head).previous, own) };
    // SAFETY: alive while counted.
    unsafe { *own = Link { next: head, previous } };
    // SAFETY: the head, or in a listed task, which is alive.
    unsafe { (*previous).next = own };
}

/// Takes a task out, if it is listed.
///
/// # Safety
/// A task's memory whose body is still there, and the GIL is held.
#[inline]
pub(crate) unsafe fn remove(task: *mut TaskObject) {
    // SAFETY: the caller guarantees it.
    let Link { previous, next } = std::mem::take(unsafe { &mut (*task).task.link });
    if next.is_null() {
        return;
    }
    // SAFETY: a head, or in a listed task, which is alive.
    unsafe { (*previous).next = next };
    // SAFETY: as above.
    unsafe { (*next).previous = previous };
}

/// The tasks of ferrio in the list with this head, which may be dying.
fn tasks_in(py: Python<'_>, head: *mut Link) -> impl Iterator<Item = *mut TaskObject> + use<'_> {
    let class = super::type_pointer();
    // SAFETY: an object, if also one of asyncio's own; its type is read.
    all_in(py, head).filter(move |task| unsafe { ffi::PyObject_TypeCheck(task.cast(), class) } != 0)
}

/// The tasks in the list with this head, which may be asyncio's own and may be dying.
fn all_in(_py: Python<'_>, head: *mut Link) -> impl Iterator<Item = *mut TaskObject> + use<'_> {
    // SAFETY: a head of a list in use.
    let first = unsafe { (*head).next };
    // SAFETY: not the head, so in a listed task, which has its memory.
    let links = std::iter::successors(Some(first), |link| Some(unsafe { (**link).next }));
    let links = links.take_while(move |link| !std::ptr::eq(*link, head));
    links.map(|link| link.wrapping_byte_sub(offset_of!(TaskObject, task.link)).cast())
}

/// The heads of all lists that ferrio's tasks may be in.
fn heads(py: Python<'_>) -> Vec<*mut Link> {
    std::iter::once(OWN.0.get()).chain(shared_heads(py)).collect()
}

/// Whether a task of ferrio's is pending, on any loop.
#[must_use]
pub fn is_any_pending(py: Python<'_>) -> bool {
    heads(py).into_iter().any(|head| tasks_in(py, head).next().is_some())
}

/// The tasks in ferrio's own list.
fn listed(py: Python<'_>) -> Vec<Bound<'_, PyAny>> {
    alive(py, all_in(py, OWN.0.get())).collect()
}

/// The pending tasks of ferrio, of all loops and threads, and those of asyncio's own that are in the same lists.
#[must_use]
pub fn listed_anywhere(py: Python<'_>) -> Vec<Bound<'_, PyAny>> {
    heads(py).into_iter().flat_map(|head| alive(py, all_in(py, head))).collect()
}

/// Those that live. A task being deallocated is listed until its memory goes, and must not be revived.
fn alive(py: Python<'_>, tasks: impl Iterator<Item = *mut TaskObject>) -> impl Iterator<Item = Bound<'_, PyAny>> {
    // SAFETY: listed tasks have their memory.
    let alive = tasks.filter(|task| unsafe { ffi::Py_REFCNT(task.cast()) } > 0);
    // SAFETY: alive, as just seen.
    alive.map(move |task| unsafe { Bound::from_borrowed_ptr(py, task.cast()) })
}

/// How many tasks of ferrio's a loop has.
pub struct Count<'py> {
    /// The loop.
    pub owner: Bound<'py, PyAny>,
    /// Their step runs.
    pub running: usize,
    /// Their step is due.
    pub ready: usize,
    /// They wait for a future that is not done.
    pub waiting: usize,
}

/// The pending tasks of ferrio by their loop and state.
#[must_use]
pub fn counts(py: Python<'_>) -> Vec<Count<'_>> {
    let mut counts: Vec<Count<'_>> = Vec::new();
    for task in heads(py).into_iter().flat_map(|head| alive(py, tasks_in(py, head))) {
        let Some(task) = TaskRef::of(&task) else { continue };
        let Some(owner) = task.future().body().owner.as_ref().map(|owner| owner.get(py)) else { continue };
        let place = counts.iter().position(|count| count.owner.is(&owner)).unwrap_or_else(|| {
            counts.push(Count { owner: owner.clone(), running: 0, ready: 0, waiting: 0 });
            counts.len() - 1
        });
        let Some(count) = counts.get_mut(place) else { continue };
        let runs = owner.cast::<LoopBase>().is_ok_and(|owner| owner.get().runs(task.object()));
        let waits_for = task.task().waiting_for.as_ref();
        let is_done =
            |future: &OwnedRef| FutureRef::exact_ref(future.bind(py)).is_some_and(|future| !future.is_pending());
        if runs {
            count.running += 1;
        } else if waits_for.is_none_or(is_done) {
            count.ready += 1;
        } else {
            count.waiting += 1;
        }
    }
    counts
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
    let weak_set = crate::capi::modules::module(py, name!("weakref"))?.getattr(name!("WeakSet"))?;
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
    let weak_set = crate::capi::modules::module(py, name!("weakref"))?.getattr(name!("WeakSet"))?;
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
    if !is_listed(task) {
        return Err(crate::capi::raise::error::<PyKeyError>(task.object().clone().unbind()));
    }
    discard_own(task)
}

fn is_listed(task: &TaskRef<'_>) -> bool {
    !task.task().link.next.is_null()
}

fn has_own(task: &TaskRef<'_>) -> PyResult<Py<PyAny>> {
    boolean(task.py(), is_listed(task))
}

/// The set that `asyncio.all_tasks()` iterates over: `_all_tasks` in 3.11, `_scheduled_tasks` in 3.12 and 3.13, and an
/// unnamed one of the C module later.
fn stock_registry<'py>(py: Python<'py>, weak_set: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if py.version_info() >= (3, 14) {
        let referents = crate::capi::modules::module(py, name!("gc"))?
            .getattr(name!("get_referents"))?
            .call1((crate::capi::modules::module(py, name!("_asyncio"))?,))?;
        for referent in referents.try_iter()? {
            let referent = referent?;
            if referent.get_type().is(weak_set) {
                return Ok(Some(referent));
            }
        }
        return Ok(None);
    }
    let tasks = crate::capi::modules::module(py, name!("asyncio.tasks"))?;
    let name = if py.version_info() >= (3, 12) { "_scheduled_tasks" } else { "_all_tasks" };
    tasks.getattr_opt(name)
}
