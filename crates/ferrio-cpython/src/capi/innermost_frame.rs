//! Where the running code of this thread is, without a frame object: making one, and taking its content over when the
//! frame ends, takes some 500 instructions.
//!
//! A thread's state has the address of its innermost frame from 3.13 on. Where in it, is searched for when somebody needs
//! it (`learn`), compared with frame objects that are made anyway (`confirm`), and used once it was right several times.
//! Once it was wrong it is never used.

use pyo3::prelude::*;

#[cfg(Py_3_13)]
pub(crate) use direct::{confirm, learn, place};

/// The code that runs in this thread and the offset of its instruction in bytes.
pub(crate) type Place<'py> = (Bound<'py, PyAny>, std::ffi::c_int);

#[cfg(not(Py_3_13))]
pub(crate) fn learn(_: Python<'_>) {}

#[cfg(not(Py_3_13))]
pub(crate) fn confirm(_: &Bound<'_, PyAny>) {}

#[cfg(not(Py_3_13))]
pub(crate) fn place(_: Python<'_>) -> Option<Place<'_>> {
    None
}

#[cfg(Py_3_13)]
mod direct {
    use std::ffi::{c_int, c_void};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use pyo3::ffi;
    use pyo3::prelude::*;

    use super::Place;
    use crate::capi::raw_stack::{self, words};

    unsafe extern "C" {
        /// Documented, for what evaluates frames; a new reference to what the frame runs. Never fails.
        fn PyUnstable_InterpreterFrame_GetCode(frame: *mut c_void) -> *mut ffi::PyObject;
        /// The same for the offset of its instruction.
        fn PyUnstable_InterpreterFrame_GetLasti(frame: *mut c_void) -> c_int;
    }

    /// So often it has to be right first.
    const ENOUGH: usize = 3;

    /// That it was wrong.
    const WRONG: usize = usize::MAX;

    /// What is known. Relaxed throughout: the GIL orders all accesses.
    static KNOWN: Known =
        Known { in_state: AtomicUsize::new(0), in_object: AtomicUsize::new(0), right: AtomicUsize::new(0) };

    struct Known {
        /// From a thread's state to the address of its innermost frame, in bytes; 0 if it is not known.
        in_state: AtomicUsize,
        /// From a frame object to the address of its frame.
        in_object: AtomicUsize,
        /// How often it was right; or `WRONG`.
        right: AtomicUsize,
    }

    /// Searches for it, if that has not been done.
    #[cold]
    pub(crate) fn learn(py: Python<'_>) {
        if KNOWN.in_state.load(Ordering::Relaxed) == 0
            && let Some((in_state, in_object)) = raw_stack::innermost(py)
        {
            KNOWN.in_object.store(in_object, Ordering::Relaxed);
            KNOWN.in_state.store(in_state, Ordering::Relaxed);
        }
    }

    /// Compares it with the object of the frame that runs.
    #[cold]
    pub(crate) fn confirm(frame: &Bound<'_, PyAny>) {
        let right = KNOWN.right.load(Ordering::Relaxed);
        let in_state = KNOWN.in_state.load(Ordering::Relaxed);
        if right == WRONG || right >= ENOUGH || in_state == 0 {
            return;
        }
        let in_object = KNOWN.in_object.load(Ordering::Relaxed);
        let expected = words::word(frame.as_ptr().addr() + in_object);
        let is_right = expected.is_some() && words::word(state() + in_state) == expected;
        KNOWN.right.store(if is_right { right + 1 } else { WRONG }, Ordering::Relaxed);
    }

    /// Where the running code is; None if it is not known how to find that, or if no function of Python's runs.
    #[inline]
    pub(crate) fn place(py: Python<'_>) -> Option<Place<'_>> {
        let right = KNOWN.right.load(Ordering::Relaxed);
        if right != WRONG && right >= ENOUGH { innermost(py) } else { None }
    }

    fn innermost(py: Python<'_>) -> Option<Place<'_>> {
        let in_state = KNOWN.in_state.load(Ordering::Relaxed);
        // SAFETY: the state of this thread, which is larger than what was searched (`raw_stack::innermost`).
        let place = unsafe { std::ptr::with_exposed_provenance::<*mut c_void>(state()).byte_add(in_state) };
        // SAFETY: a word of the state, which this thread alone writes.
        let frame = unsafe { place.read() };
        if frame.is_null() {
            return None;
        }
        // SAFETY: the innermost frame, as `confirm` has seen `ENOUGH` times; it cannot end while this code runs.
        let code = unsafe { PyUnstable_InterpreterFrame_GetCode(frame) };
        // SAFETY: a new reference, or null.
        let code = unsafe { Bound::from_owned_ptr_or_opt(py, code) }?;
        // SAFETY: a live object.
        if unsafe { ffi::PyCode_Check(code.as_ptr()) } == 0 {
            // Between functions of Python that C code calls there are frames of the interpreter's own.
            return None;
        }
        // SAFETY: as above, a frame that runs code.
        let offset = unsafe { PyUnstable_InterpreterFrame_GetLasti(frame) };
        Some((code, offset))
    }

    fn state() -> usize {
        // SAFETY: the GIL is held, so this thread has a state.
        unsafe { ffi::PyThreadState_Get() }.expose_provenance()
    }
}
