//! A second thread state for one thread of the system: what runs in it sees the locals, the context and the running loop
//! of a thread of its own, without a switch of threads.
//!
//! Python tells threads apart by their states, except for the identifier, which is the system's: see
//! `identifier_of_state`. From 3.12 on `PyThreadState_Swap` also changes the state that `PyGILState_Ensure` finds; on
//! 3.11 a C extension that calls it would wait for the GIL that its own thread holds, so there are no second states.

use std::cell::Cell;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::exceptions::{PyMemoryError, PyRuntimeError};
use pyo3::ffi;
use pyo3::prelude::*;

use crate::capi::raise::error;

/// The second state that runs, null for none.
// Relaxed: the GIL orders all accesses.
static ENTERED: AtomicPtr<ffi::PyThreadState> = AtomicPtr::new(null_mut());

/// Whether this version's interpreter lets a thread have two states.
pub const HAS_SECOND_STATES: bool = cfg!(Py_3_12);

/// A thread state beside the calling thread's own. It is to be closed; otherwise it lasts until the interpreter ends.
pub struct SecondState {
    state: Cell<Option<NonNull<ffi::PyThreadState>>>,
    thread: u64,
}

impl SecondState {
    /// A new state, for use by the calling thread only.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn new(py: Python<'_>) -> PyResult<Self> {
        // SAFETY: attached, as the token says.
        let interpreter = unsafe { ffi::PyInterpreterState_Get() };
        // SAFETY: the interpreter that runs.
        let state = unsafe { ffi::PyThreadState_New(interpreter) };
        let Some(state) = NonNull::new(state) else { return Err(error::<PyMemoryError>("no memory for a thread")) };
        Ok(Self { state: Cell::new(Some(state)), thread: crate::thread_identifier(py) })
    }

    /// What stands for the system's identifier while this state runs: no thread has the address of its state for it.
    #[must_use]
    pub fn identifier(&self) -> u64 {
        self.state.get().map_or(0, |state| state.as_ptr().addr() as u64)
    }

    /// Runs `body` in this state.
    ///
    /// # Errors
    /// `RuntimeError` if the state is closed, is another thread's, or some second state runs already.
    pub fn enter<R>(&self, py: Python<'_>, body: impl FnOnce() -> R) -> PyResult<R> {
        let Some(state) = self.state.get() else { return Err(error::<PyRuntimeError>("the thread state is closed")) };
        if self.thread != crate::thread_identifier(py) || !ENTERED.load(Ordering::Relaxed).is_null() {
            return Err(error::<PyRuntimeError>("a second thread state runs in one thread, once at a time"));
        }
        ENTERED.store(state.as_ptr(), Ordering::Relaxed);
        // SAFETY: attached; the state is this thread's, of the same interpreter, and not in use (`ENTERED` was null). The
        // GIL stays held, so the caller's token stays true.
        let own = unsafe { ffi::PyThreadState_Swap(state.as_ptr()) };
        let _back = Back(own);
        Ok(body())
    }

    /// Ends the state: releases its locals and its context.
    pub fn close(&self, _py: Python<'_>) {
        if self.state.get().is_some_and(|state| std::ptr::eq(ENTERED.load(Ordering::Relaxed), state.as_ptr())) {
            return;
        }
        let Some(state) = self.state.take() else { return };
        // SAFETY: attached; the state is not the current one, and nobody finds it any more.
        unsafe { ffi::PyThreadState_Clear(state.as_ptr()) };
        // SAFETY: cleared above.
        unsafe { ffi::PyThreadState_Delete(state.as_ptr()) };
    }
}

// SAFETY: the fields are touched with the GIL held (each method takes the token, `identifier` is called by owners that
// have it), and the state is entered by its own thread only.
unsafe impl Send for SecondState {}
// SAFETY: as above.
unsafe impl Sync for SecondState {}

/// Goes back to a thread's own state when dropped, also when a panic passes.
struct Back(*mut ffi::PyThreadState);

impl Drop for Back {
    fn drop(&mut self) {
        ENTERED.store(null_mut(), Ordering::Relaxed);
        // SAFETY: the state that ran before, which waits for this call; the GIL is held again when `body` has ended.
        unsafe { ffi::PyThreadState_Swap(self.0) };
    }
}

/// The identifier of the calling thread, or what stands for it while a second state runs.
#[must_use]
pub fn identifier_of_state(py: Python<'_>) -> u64 {
    let entered = ENTERED.load(Ordering::Relaxed);
    if !entered.is_null() {
        // SAFETY: attached, as the token says.
        let current = unsafe { ffi::PyThreadState_Get() };
        if std::ptr::eq(current, entered) {
            return entered.addr() as u64;
        }
    }
    crate::thread_identifier(py)
}
