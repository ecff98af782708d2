//! A coroutine's body without its type, stored in place when it is small.
//!
//! Invariant: `storage` holds a live value of the type that `table` was made for, until `release`.

use std::mem::{MaybeUninit, align_of, size_of};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use pyo3::ffi;
use pyo3::prelude::*;

use super::object::without_stop;
use super::{Awaiting, Body, Visitor};
use crate::capi::memory::BoxSpace;
use crate::capi::resume::Step;
use crate::capi::trampoline::{normalized, panicked, restore_panic};

/// Bodies of up to this many words need no allocation of their own.
const WORDS: usize = 7;

type Storage = MaybeUninit<[usize; WORDS]>;

/// A body of any type.
pub(super) struct Erased {
    table: &'static Table,
    storage: Storage,
}

/// The result of trying to complete a body without suspending it.
#[must_use]
pub(super) enum EagerOutcome {
    /// It returned this new reference, and is dropped.
    Returned(NonNull<ffi::PyObject>),
    /// It raised the exception that is set, and is dropped.
    Raised,
    /// It is unchanged and has to be resumed.
    Pending,
}

/// The operations on a body, given its address.
struct Table {
    try_complete: unsafe fn(*mut Storage, Python<'_>) -> EagerOutcome,
    resume: for<'py> unsafe fn(*mut Storage, Python<'py>, PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>>,
    traverse: unsafe fn(*const Storage, &Visitor<'_>),
    awaiting: unsafe fn(*const Storage) -> Option<*const Awaiting>,
    release: unsafe fn(*mut Storage),
}

struct Methods<B>(std::marker::PhantomData<B>);

impl<B: Body> Methods<B> {
    const FITS: bool = size_of::<B>() <= size_of::<Storage>() && align_of::<B>() <= align_of::<Storage>();
    const TABLE: Table = Table {
        try_complete: Self::try_complete,
        resume: Self::resume,
        traverse: Self::traverse,
        awaiting: Self::awaiting,
        release: Self::release,
    };

    /// The outcome becomes a pointer inside the trampoline, and the body is dropped where its type is known.
    unsafe fn try_complete(storage: *mut Storage, py: Python<'_>) -> EagerOutcome {
        let body = storage.cast::<B>();
        let answer = || {
            // SAFETY: holds a live B, which no other code touches meanwhile: `Erased::try_complete`.
            let outcome = unsafe { &mut *body }.try_complete(py);
            if let Ok(None) = outcome {
                return EagerOutcome::Pending;
            }
            // SAFETY: it has ended, and is dropped once: `Erased::try_complete`.
            unsafe { body.drop_in_place() };
            match outcome {
                Ok(Some(value)) => match NonNull::new(value.into_ptr()) {
                    Some(value) => EagerOutcome::Returned(value),
                    None => EagerOutcome::Raised,
                },
                Ok(None) => EagerOutcome::Pending,
                Err(error) => {
                    without_stop(py, error).restore(py);
                    EagerOutcome::Raised
                }
            }
        };
        catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|payload| {
            restore_panic(py, payload.as_ref());
            EagerOutcome::Raised
        })
    }

    /// A panic is caught where the body's type is known, so that its result need not be moved once more.
    unsafe fn resume<'py>(
        storage: *mut Storage,
        py: Python<'py>,
        input: PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Step<'py>> {
        // SAFETY: holds a live B, which no other code touches meanwhile: `Erased::resume`.
        let body = unsafe { &mut *storage.cast::<B>() };
        match catch_unwind(AssertUnwindSafe(|| body.resume(py, input))) {
            Ok(Ok(step)) => Ok(step),
            Ok(Err(error)) => Err(normalized(py, error)),
            Err(payload) => Err(panicked(py, payload.as_ref())),
        }
    }

    unsafe fn traverse(storage: *const Storage, visitor: &Visitor<'_>) {
        // SAFETY: holds a live B, not running: `Erased::traverse`.
        unsafe { &*storage.cast::<B>() }.traverse(visitor);
    }

    unsafe fn awaiting(storage: *const Storage) -> Option<*const Awaiting> {
        // SAFETY: holds a live B, not running: `Erased::awaiting`.
        unsafe { &*storage.cast::<B>() }.awaiting().map(std::ptr::from_ref)
    }

    unsafe fn release(storage: *mut Storage) {
        // SAFETY: holds a live B, released once: `Erased::release`.
        unsafe { storage.cast::<B>().drop_in_place() };
    }
}

impl Erased {
    /// Memory for a body that does not fit into an `Erased`; None for one that does.
    ///
    /// # Errors
    /// `MemoryError`.
    #[inline]
    pub(super) fn space<B: Body>(py: Python<'_>) -> PyResult<Option<BoxSpace<B>>> {
        if Methods::<B>::FITS { Ok(None) } else { BoxSpace::new(py).map(Some) }
    }

    /// Puts a body into empty memory; `space` is from the function of this name.
    ///
    /// # Safety
    /// `place` is memory for an `Erased`, which may be uninitialised.
    #[inline]
    pub(super) unsafe fn put<B: Body>(place: *mut Self, body: B, space: Option<BoxSpace<B>>) {
        if let Some(space) = space {
            // SAFETY: the caller guarantees it.
            unsafe { Self::put_in_place(place, space.fill(body)) };
        } else {
            // SAFETY: the caller guarantees it.
            unsafe { Self::put_in_place(place, body) };
        }
    }

    /// # Safety
    /// The same as for `put`.
    #[inline]
    unsafe fn put_in_place<B: Body>(erased: *mut Self, body: B) {
        // SAFETY: in bounds.
        let place = unsafe { &raw mut (*erased).table };
        // SAFETY: as above.
        unsafe { place.write(&Methods::<B>::TABLE) };
        // SAFETY: in bounds.
        let place = unsafe { &raw mut (*erased).storage };
        // SAFETY: large enough and aligned: small bodies by `FITS`, a box by its nature.
        unsafe { place.cast::<B>().write(body) };
    }

    /// Tries to complete the body behind `erased` without suspending it. The body is gone afterwards, unless the answer
    /// is `Later`.
    ///
    /// # Safety
    /// `erased` is live and no other code touches it until this returns, and no code drops it if it is gone.
    #[inline]
    pub(super) unsafe fn try_complete(erased: *mut Self, py: Python<'_>) -> EagerOutcome {
        // SAFETY: live, the caller guarantees it.
        let table = unsafe { (*erased).table };
        // SAFETY: in bounds of a live value.
        let storage = unsafe { &raw mut (*erased).storage };
        // SAFETY: the table is of the stored type; exclusive the caller guarantees it.
        unsafe { (table.try_complete)(storage, py) }
    }

    /// Resumes the body behind `erased`. A panic becomes an error.
    ///
    /// # Safety
    /// `erased` is live and no other code touches it until this returns.
    #[inline]
    pub(super) unsafe fn resume<'py>(
        erased: *mut Self,
        py: Python<'py>,
        input: PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Step<'py>> {
        // SAFETY: live, the caller guarantees it.
        let table = unsafe { (*erased).table };
        // SAFETY: in bounds of a live value.
        let storage = unsafe { &raw mut (*erased).storage };
        // SAFETY: the table is of the stored type; exclusive the caller guarantees it.
        unsafe { (table.resume)(storage, py, input) }
    }

    /// Shows `visitor` the objects that the body refers to.
    pub(super) fn traverse(&self, visitor: &Visitor<'_>) {
        // SAFETY: the table is of the stored type; the caller's reference proves that it does not run.
        unsafe { (self.table.traverse)(&raw const self.storage, visitor) };
    }
}

impl Erased {
    /// The await in progress in the body.
    pub(super) fn awaiting(&self) -> Option<&Awaiting> {
        // SAFETY: the table is of the stored type; the caller's reference proves that it does not run.
        let found = unsafe { (self.table.awaiting)(&raw const self.storage) };
        // SAFETY: part of the body, which this reference keeps in place.
        found.map(|awaiting| unsafe { &*awaiting })
    }
}

impl Drop for Erased {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the table is of the stored type, which is dropped once.
        unsafe { (self.table.release)(&raw mut self.storage) };
    }
}

impl<B: Body + ?Sized> Body for Box<B> {
    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        (**self).resume(py, input)
    }

    fn try_complete<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        (**self).try_complete(py)
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        (**self).traverse(visitor);
    }

    fn awaiting(&self) -> Option<&Awaiting> {
        (**self).awaiting()
    }
}
