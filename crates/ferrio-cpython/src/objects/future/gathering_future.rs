//! `_GatheringFuture`, the future that `gather()` returns: the object, whose state `gather` itself (in ferrio-python)
//! updates.
//!
//! Its `cancel()` cancels the children only; their done callback then ends it. Python can neither make nor subclass it,
//! so each one has the layout of `GatheringObject` and a body that is whole. The list of children is shared with Python
//! as asyncio's is; it does not exist until all children are known.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyList, PyType};

use super::methods::{CANCEL, boolean};
use super::types::finalize;
use super::{FutureBody, FutureObject, FutureRef, dealloc_base, release_slots, traverse_base};
use crate::capi::deallocation::within_bounds;
use crate::capi::finalizer::finalizing;
use crate::capi::heap_type::{self, COLLECTED, attribute, fastcall_keywords, slot};
use crate::capi::owned_ref::OwnedRef;
use crate::capi::recursion::enter_recursive_call;
use crate::capi::trampoline::trampoline;
use crate::objects::loop_base::LoopBase;
use crate::objects::task::cancel_any;

type Object = *mut ffi::PyObject;

#[repr(C)]
struct GatheringObject {
    base: FutureObject,
    extra: GatheringBody,
}

#[derive(Default)]
struct GatheringBody {
    /// A list of all children in order, one that was given twice appearing twice; None until all are known.
    children: Option<OwnedRef>,
    /// The task that called `gather()`, where asyncio records waiters.
    waiter: Option<OwnedRef>,
    /// How many different children there are, once all are known.
    expected: usize,
    /// How many of them are done.
    finished: usize,
    returns_exceptions: bool,
    /// A child was cancelled by `cancel()`: the gathering future ends as cancelled.
    cancel_requested: bool,
}

static TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static POINTER: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(std::ptr::null_mut());

#[inline]
pub(crate) fn is_exact(class: *mut ffi::PyTypeObject) -> bool {
    // Relaxed: written with the GIL held.
    std::ptr::eq(class, POINTER.load(Ordering::Relaxed))
}

/// A counted reference to a gathering future.
pub struct GatheringFuture<'py>(FutureRef<'py>);

impl<'py> GatheringFuture<'py> {
    /// A pending gathering future without children, on `owner`.
    ///
    /// # Errors
    /// Any exception that reading a foreign loop's debug mode raises; `MemoryError`.
    pub fn new(
        owner: &Bound<'py, PyAny>,
        returns_exceptions: bool,
        waiter: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        let native = owner.cast::<LoopBase>().ok();
        let body = native.map_or_else(FutureBody::default, FutureBody::on);
        let waiter = waiter.map(OwnedRef::from);
        let this =
            Self(allocate(owner.py(), body, GatheringBody { waiter, returns_exceptions, ..Default::default() })?);
        match native {
            None => this.0.initialize(Some(owner.clone()))?,
            Some(native) if native.get().debug.get() => this.0.note_source()?,
            Some(_) => {}
        }
        Ok(this)
    }

    /// The gathering future behind `object`, if it is one.
    #[inline]
    #[must_use]
    pub fn of(object: &Bound<'py, PyAny>) -> Option<Self> {
        let exact = is_exact(object.get_type_ptr());
        // SAFETY: of our type, as just seen.
        exact.then(|| Self(unsafe { FutureRef::new_unchecked(object.clone()) }))
    }

    /// The object itself.
    #[must_use]
    pub fn as_any(&self) -> &Bound<'py, PyAny> {
        self.0.object()
    }

    /// What it holds. The reference must not be kept across Python code.
    #[inline]
    fn body(&self) -> &GatheringBody {
        // SAFETY: of our type, alive while counted; SAFETY.md, "Future".
        unsafe { &(*self.0.as_ptr().cast::<GatheringObject>()).extra }
    }

    #[inline]
    fn update<R>(&self, change: impl FnOnce(&mut GatheringBody) -> R) -> R {
        // SAFETY: the GIL is held and no caller keeps a reference into the body across Python code; SAFETY.md,
        // "Future".
        change(unsafe { &mut (*self.0.as_ptr().cast::<GatheringObject>()).extra })
    }

    /// Sets the children: those in `children`, of which `expected` are different objects.
    pub fn complete(&self, children: Bound<'py, PyList>, expected: usize) {
        let before = self.update(|body| {
            body.expected = expected;
            body.children.replace(children.into())
        });
        drop(before);
    }

    /// The children, once all are known.
    #[must_use]
    pub fn children(&self) -> Option<Bound<'py, PyList>> {
        let list = self.body().children.as_ref().map(|list| list.get(self.0.py()))?;
        list.cast_into::<PyList>().ok()
    }

    /// Counts a child that is done. True if it was the last one.
    #[inline]
    #[must_use]
    pub fn count_finished(&self) -> bool {
        self.update(|body| {
            body.finished += 1;
            body.finished == body.expected
        })
    }

    /// Whether the outcome of a child still matters: all are known and the gathering future is not done.
    #[inline]
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.0.is_pending() && self.body().children.is_some()
    }

    /// The task that waits, where asyncio records that.
    #[inline]
    #[must_use]
    pub fn waiter(&self) -> Option<Bound<'py, PyAny>> {
        self.body().waiter.as_ref().map(|waiter| waiter.get(self.0.py()))
    }

    /// Whether exceptions are results.
    #[inline]
    #[must_use]
    pub fn returns_exceptions(&self) -> bool {
        self.body().returns_exceptions
    }

    /// Whether it is to end as cancelled.
    #[must_use]
    pub fn cancel_requested(&self) -> bool {
        self.body().cancel_requested
    }

    /// `_GatheringFuture.cancel`.
    pub(crate) fn cancel(&self, message: Option<&Bound<'py, PyAny>>) -> PyResult<bool> {
        if !self.0.is_pending() {
            return Ok(false);
        }
        let py = self.0.py();
        let Some(children) = self.children() else { return Ok(false) };
        let mut any = false;
        // Python shares the list: code that runs during a cancellation may change it.
        for child in &children {
            any |= enter_recursive_call(py, c" while cancelling a future", || cancel_any(&child, message.cloned()))?;
        }
        if any {
            self.update(|body| body.cancel_requested = true);
        }
        Ok(any)
    }
}

fn allocate(py: Python<'_>, future: FutureBody, extra: GatheringBody) -> PyResult<FutureRef<'_>> {
    let class = TYPE.get_or_try_init(py, || new_type(py))?.bind(py).as_type_ptr();
    // Relaxed: written with the GIL held.
    POINTER.store(class, Ordering::Relaxed);
    // SAFETY: a GC type whose basic size is that of GatheringObject.
    let memory = unsafe { ffi::PyObject_GC_New::<GatheringObject>(class) };
    let object = NonNull::new(memory).ok_or_else(|| PyErr::fetch(py))?.as_ptr();
    // SAFETY: no other pointer to the memory exists; its fields hold nothing yet.
    let place = unsafe { &raw mut (*object).base.attributes };
    // SAFETY: in bounds, and it overwrites nothing that needs releasing.
    unsafe { place.write(std::ptr::null_mut()) };
    // SAFETY: as above.
    let place = unsafe { &raw mut (*object).base.weak_references };
    // SAFETY: in bounds, and it overwrites nothing that needs releasing.
    unsafe { place.write(std::ptr::null_mut()) };
    // SAFETY: as above.
    let place = unsafe { &raw mut (*object).base.future };
    // SAFETY: in bounds, and it overwrites nothing that needs releasing.
    unsafe { place.write(future) };
    // SAFETY: as above.
    let place = unsafe { &raw mut (*object).extra };
    // SAFETY: in bounds, and it overwrites nothing that needs releasing.
    unsafe { place.write(extra) };
    // SAFETY: a whole object, not tracked so far.
    unsafe { ffi::PyObject_GC_Track(object.cast()) };
    // SAFETY: a new reference to an object of our type.
    Ok(unsafe { FutureRef::from_owned(py, object.cast()) })
}

/// The gathering future that C code passed in.
///
/// # Safety
/// A live object of our type, and the GIL is held.
unsafe fn borrowed(py: Python<'_>, object: Object) -> GatheringFuture<'_> {
    // SAFETY: alive and of our type, the caller guarantees it.
    GatheringFuture(unsafe { FutureRef::from_borrowed(py, object) })
}

unsafe extern "C" fn cancel(object: Object, stack: *const Object, count: isize, names: Object) -> Object {
    trampoline(|py| {
        // SAFETY: the interpreter checked the type of `self` and holds a reference during the call.
        let extra = unsafe { borrowed(py, object) };
        // SAFETY: this very call's arguments.
        let [message] = unsafe { CANCEL.vectorcall(py, stack, count, names) }?;
        boolean(py, extra.cancel(message.as_ref())?)
    })
}

unsafe extern "C" fn show_children(object: Object, _: *mut c_void) -> Object {
    trampoline(|py| {
        // SAFETY: the interpreter checked the type of `self` and holds a reference during the call.
        let extra = unsafe { borrowed(py, object) };
        Ok(extra.children().map_or_else(|| py.None(), |children| children.into_any().unbind()))
    })
}

unsafe extern "C" fn show_cancel_requested(object: Object, _: *mut c_void) -> Object {
    trampoline(|py| {
        // SAFETY: the interpreter checked the type of `self` and holds a reference during the call.
        let extra = unsafe { borrowed(py, object) };
        boolean(py, extra.cancel_requested())
    })
}

unsafe extern "C" fn dealloc(object: Object) {
    // SAFETY: dead and whole.
    let destroy = |object| unsafe { free(object) };
    // SAFETY: dead and whole, and this is the type's `tp_dealloc`.
    unsafe { within_bounds(object, dealloc, destroy) };
}

/// Frees a gathering future.
///
/// # Safety
/// It is dead and whole. The GIL is held.
#[inline(always)] // a part of `tp_dealloc`
unsafe fn free(object: Object) {
    finalizing(|_| {
        // SAFETY: a whole object of our type; read before anything is released.
        let must_log = unsafe { &(*object.cast::<FutureObject>()).future }.log_traceback;
        // SAFETY: called once, by tp_dealloc, as documented.
        if must_log && unsafe { ffi::PyObject_CallFinalizerFromDealloc(object) } < 0 {
            return;
        }
        // SAFETY: reads the type of a live object.
        let class = unsafe { ffi::Py_TYPE(object) };
        // SAFETY: the object is dead from here on.
        unsafe { dealloc_base(object) };
        // SAFETY: the object is unreachable; its body is moved out once.
        let place = unsafe { &raw const (*object.cast::<GatheringObject>()).extra };
        // SAFETY: in bounds; it is moved out once.
        let body = unsafe { place.read() };
        drop(body);
        // SAFETY: of the collector's allocator, untracked, and no object lives in it.
        unsafe { ffi::PyObject_GC_Del(object.cast()) };
        // SAFETY: the reference that the instance held.
        unsafe { ffi::Py_DECREF(class.cast()) };
    });
}

unsafe extern "C" fn traverse(object: Object, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
    // SAFETY: passed on from the collector; gathering futures begin as futures.
    let outcome = unsafe { traverse_base(object, visit, arg) };
    if outcome != 0 {
        return outcome;
    }
    // SAFETY: alive, of our layout, and no Python code runs meanwhile.
    let body = unsafe { &(*object.cast::<GatheringObject>()).extra };
    for owned in [&body.children, &body.waiter].into_iter().flatten() {
        // SAFETY: `visit` and `arg` are the collector's own.
        let outcome = unsafe { visit(owned.as_ptr(), arg) };
        if outcome != 0 {
            return outcome;
        }
    }
    0
}

unsafe extern "C" fn clear(object: Object) -> c_int {
    finalizing(|py| {
        // SAFETY: the collector passes a live object of our type.
        let extra = unsafe { borrowed(py, object) };
        release_slots(&extra.0);
        let owned = extra.update(|body| (body.children.take(), body.waiter.take()));
        drop(owned);
    });
    0
}

fn new_type(py: Python<'_>) -> PyResult<Py<PyType>> {
    let base = super::future_type(py)?;
    let methods = Box::leak(Box::new([
        fastcall_keywords(
            c"cancel",
            cancel,
            c"cancel($self, /, msg=None)\n--\n\nCancel the children that are not done.",
        ),
        ffi::PyMethodDef::zeroed(),
    ]));
    let attributes = Box::leak(Box::new([
        attribute(c"_children", show_children, None),
        attribute(c"_cancel_requested", show_cancel_requested, None),
        ffi::PyGetSetDef::default(),
    ]));
    let slots = vec![
        slot(ffi::Py_tp_finalize, finalize as *mut c_void),
        slot(ffi::Py_tp_dealloc, dealloc as *mut c_void),
        slot(ffi::Py_tp_traverse, traverse as *mut c_void),
        slot(ffi::Py_tp_clear, clear as *mut c_void),
        slot(ffi::Py_tp_methods, methods.as_mut_ptr().cast()),
        slot(ffi::Py_tp_getset, attributes.as_mut_ptr().cast()),
        slot(
            ffi::Py_tp_doc,
            c"What gather() gives: a future whose cancel() cancels the children.".as_ptr() as *mut c_void,
        ),
    ];
    let size = size_of::<GatheringObject>();
    heap_type::new(py, c"ferrio._GatheringFuture", size, slots, COLLECTED, Some(&base))
}
