//! The functions that other extensions call through ferrio's capsule: loops, tasks and futures as ferrio-bridge needs
//! them, and bells, which threads ring without the GIL.

use std::ffi::c_int;
use std::ptr::null;
use std::sync::{Arc, OnceLock};

pub use ferrio_capsule::ATTRIBUTE;
use ferrio_capsule::{Header, RawBell, Table};
use ferrio_sys::Waker;
use pyo3::ffi;
use pyo3::prelude::*;

use super::create_task;
use super::current;
use super::future::FutureRef;
use super::waiter::FutureWaiter;
use crate::capi::trampoline::trampoline_attached;

type Object = *mut ffi::PyObject;

/// A bell of a ferrio loop.
pub type Bell = ferrio_sys::Bell<Arc<Waker>>;

/// Hangs a bell whose rings a loop answers by calling an object; None if the loop has no bells.
pub type HangBell = fn(&Bound<'_, PyAny>, &Bound<'_, PyAny>) -> PyResult<Option<Arc<Bell>>>;

/// The loop's part, which is not this crate's.
static HANG_BELL: OnceLock<HangBell> = OnceLock::new();

static TABLE: Table = Table {
    header: Header::CURRENT,
    running_loop,
    create_task: create,
    new_future,
    complete: complete_future,
    hang_bell,
    ring,
    drop_bell,
};

/// The capsule.
///
/// # Errors
/// `MemoryError`.
pub fn capsule(py: Python<'_>, hang_bell: HangBell) -> PyResult<Bound<'_, PyAny>> {
    HANG_BELL.get_or_init(|| hang_bell);
    ferrio_capsule::capsule(py, &TABLE)
}

unsafe extern "C" fn running_loop() -> Object {
    trampoline_attached(|py| current::get_running_loop(py).map(Bound::unbind))
}

unsafe extern "C" fn create(event_loop: Object, coroutine: Object) -> Object {
    trampoline_attached(|py| {
        // SAFETY: a live object, as the table's callers promise.
        let event_loop = unsafe { Bound::from_borrowed_ptr(py, event_loop) };
        // SAFETY: as above.
        let coroutine = unsafe { Bound::from_borrowed_ptr(py, coroutine) };
        if let Some(task) = create_task::create_task_directly(&event_loop, &coroutine, None)? {
            return Ok(task.unbind());
        }
        event_loop.call_method1(crate::intern!(py, "create_task"), (coroutine,)).map(Bound::unbind)
    })
}

unsafe extern "C" fn new_future(event_loop: Object) -> Object {
    trampoline_attached(|py| {
        // SAFETY: a live object, as the table's callers promise.
        let event_loop = unsafe { Bound::from_borrowed_ptr(py, event_loop) };
        blocking_future(&event_loop).map(Bound::unbind)
    })
}

/// `owner.create_future()`, marked as yielded by `await`: a coroutine hands it to its task as it is.
fn blocking_future<'py>(owner: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let future = create_task::waiter(owner)?;
    match FutureRef::exact_ref(&future) {
        Some(exact) => exact.update(|body| body.blocking = true),
        None => future.setattr(crate::intern!(owner.py(), "_asyncio_future_blocking"), true)?,
    }
    Ok(future)
}

unsafe extern "C" fn complete_future(future: Object) -> c_int {
    status(|py| {
        // SAFETY: a live object, as the table's callers promise.
        let future = unsafe { Bound::from_borrowed_ptr(py, future) };
        FutureWaiter::new(&future).wake(py, py.None().into_bound(py))
    })
}

unsafe extern "C" fn hang_bell(event_loop: Object, callback: Object, bell: *mut *const RawBell) -> c_int {
    status(|py| {
        // SAFETY: a live object, as the table's callers promise.
        let event_loop = unsafe { Bound::from_borrowed_ptr(py, event_loop) };
        // SAFETY: as above.
        let callback = unsafe { Bound::from_borrowed_ptr(py, callback) };
        let hang = HANG_BELL.get().expect("set before the table is offered");
        let made = hang(&event_loop, &callback)?.map_or(null(), |made| Arc::into_raw(made).cast());
        // SAFETY: a place for a pointer, as the table's callers promise.
        unsafe { *bell = made };
        Ok(())
    })
}

unsafe extern "C" fn ring(bell: *const RawBell) {
    // SAFETY: from `hang_bell` and not given back, as the table's callers promise, so an `Arc` of theirs keeps it.
    unsafe { &*bell.cast::<Bell>() }.ring();
}

unsafe extern "C" fn drop_bell(bell: *const RawBell) {
    // SAFETY: the `Arc` of `hang_bell`, which the caller gives back once.
    drop(unsafe { Arc::from_raw(bell.cast::<Bell>()) });
}

/// 0, or -1 with an exception set.
fn status(body: impl FnOnce(Python<'_>) -> PyResult<()>) -> c_int {
    let outcome = trampoline_attached(|py| body(py).map(|()| py.None()));
    if outcome.is_null() {
        return -1;
    }
    // SAFETY: the reference to None that was just made.
    unsafe { ffi::Py_DECREF(outcome) };
    0
}
