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
use crate::capi::resume::Step;
use crate::capi::trampoline::{made, panicked, restore_panic};

/// Bodies of up to this many words need no memory of their own.
const WORDS: usize = 7;

type Storage = MaybeUninit<[usize; WORDS]>;

/// A body of any type.
pub(super) struct Erased {
    table: &'static Table,
    storage: Storage,
}

/// What became of asking a body to end at once.
#[must_use]
pub(super) enum AtOnce {
    /// It returned this, a new reference, and is dropped.
    Returned(NonNull<ffi::PyObject>),
    /// It raised what is set, and is dropped.
    Raised,
    /// It is as before and has to be resumed.
    Later,
}

/// What can be done with a body, given where it is.
struct Table {
    try_complete: unsafe fn(*mut Storage, Python<'_>) -> AtOnce,
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

    /// The outcome is a pointer before it leaves the guarded call, and the body is dropped where its type is known.
    unsafe fn try_complete(storage: *mut Storage, py: Python<'_>) -> AtOnce {
        let body = storage.cast::<B>();
        let answer = || {
            // SAFETY: holds a live B, which nobody else touches meanwhile: `Erased::at_once`.
            let outcome = unsafe { &mut *body }.try_complete(py);
            if let Ok(None) = outcome {
                return AtOnce::Later;
            }
            // SAFETY: it has ended, and is dropped once: `Erased::at_once`.
            unsafe { body.drop_in_place() };
            match outcome {
                Ok(Some(value)) => match NonNull::new(value.into_ptr()) {
                    Some(value) => AtOnce::Returned(value),
                    None => AtOnce::Raised,
                },
                Ok(None) => AtOnce::Later,
                Err(error) => {
                    without_stop(py, error).restore(py);
                    AtOnce::Raised
                }
            }
        };
        catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|payload| {
            restore_panic(py, payload.as_ref());
            AtOnce::Raised
        })
    }

    /// A panic is caught where the body is known, so that what it returns need not be moved once more.
    unsafe fn resume<'py>(
        storage: *mut Storage,
        py: Python<'py>,
        input: PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Step<'py>> {
        // SAFETY: holds a live B, which nobody else touches meanwhile: `Erased::resume`.
        let body = unsafe { &mut *storage.cast::<B>() };
        match catch_unwind(AssertUnwindSafe(|| body.resume(py, input))) {
            Ok(Ok(step)) => Ok(step),
            Ok(Err(error)) => Err(made(py, error)),
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
    /// Puts a body where nothing is so far.
    ///
    /// # Safety
    /// `place` is memory for an `Erased`, which may hold nothing.
    #[inline]
    pub(super) unsafe fn put<B: Body>(place: *mut Self, body: B) {
        if Methods::<B>::FITS {
            // SAFETY: by the caller's promise.
            unsafe { Self::put_in_place(place, body) };
        } else {
            // SAFETY: by the caller's promise.
            unsafe { Self::put_in_place(place, Box::new(body)) };
        }
    }

    /// # Safety
    /// As for `put`.
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

    /// Asks the body behind `erased` to end at once. It is gone, unless the answer is `Later`.
    ///
    /// # Safety
    /// `erased` is live and nobody else touches it until this returns, and nobody drops it if it is gone.
    #[inline]
    pub(super) unsafe fn try_complete(erased: *mut Self, py: Python<'_>) -> AtOnce {
        // SAFETY: live, by the caller's promise.
        let table = unsafe { (*erased).table };
        // SAFETY: in bounds of a live value.
        let storage = unsafe { &raw mut (*erased).storage };
        // SAFETY: the table is of the stored type; exclusive by the caller's promise.
        unsafe { (table.try_complete)(storage, py) }
    }

    /// Resumes the body behind `erased`. A panic is an error.
    ///
    /// # Safety
    /// `erased` is live and nobody else touches it until this returns.
    #[inline]
    pub(super) unsafe fn resume<'py>(
        erased: *mut Self,
        py: Python<'py>,
        input: PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Step<'py>> {
        // SAFETY: live, by the caller's promise.
        let table = unsafe { (*erased).table };
        // SAFETY: in bounds of a live value.
        let storage = unsafe { &raw mut (*erased).storage };
        // SAFETY: the table is of the stored type; exclusive by the caller's promise.
        unsafe { (table.resume)(storage, py, input) }
    }

    /// Shows `visitor` what the body refers to.
    pub(super) fn traverse(&self, visitor: &Visitor<'_>) {
        // SAFETY: the table is of the stored type; the caller's reference proves that it does not run.
        unsafe { (self.table.traverse)(&raw const self.storage, visitor) };
    }
}

impl Erased {
    /// The await that the body is in.
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
