//! The frames of the threads of this interpreter alone: `sys._current_frames` makes frame objects for those of all, which
//! run meanwhile where interpreters have locks of their own.
//!
//! Which thread a state belongs to has no function to ask: the place of its number in a state is looked for once in that
//! of the calling thread, where two numbers that are known stand side by side. States are read by a system call that
//! checks each address, so a layout that is another one means that there are no frames.

use std::sync::atomic::{AtomicUsize, Ordering};

use ferrio_sys::watching::this_thread;
use pyo3::ffi;
use pyo3::prelude::*;

use super::raw_stack::words::word;

const WORD: usize = size_of::<usize>();

/// How many words of a state are looked at.
const WORDS: usize = 48;

/// Where a state has its thread's number; 0 if it was not looked for, or not found. Relaxed: the GIL orders all accesses.
static PLACE: AtomicUsize = AtomicUsize::new(0);

/// The innermost frame of each thread of this interpreter that runs Python code, with the thread's number as `threading`
/// has it.
#[must_use]
pub fn of_this_interpreter(py: Python<'_>) -> Vec<(u64, Bound<'_, PyAny>)> {
    // SAFETY: attached, as the token says, so the thread has a state.
    let own = unsafe { ffi::PyThreadState_Get() };
    let mut found = Vec::new();
    let Some(place) = place(py, own.addr()) else { return found };
    // SAFETY: attached, as the token says.
    let interpreter = unsafe { ffi::PyInterpreterState_Get() };
    // Up to 3.11 making a frame may run the garbage collector, and with it anything, such as the end of a thread.
    // SAFETY: attached, as the token says.
    let collects = unsafe { ffi::PyGC_Disable() } != 0;
    // SAFETY: the interpreter's state lives as long as it runs.
    let mut state = unsafe { ffi::PyInterpreterState_ThreadHead(interpreter) };
    while !state.is_null() {
        let thread = word(state.addr() + place).unwrap_or(0) as u64;
        // SAFETY: as above. No thread of this interpreter runs while this one is attached.
        let frame = unsafe { ffi::PyThreadState_GetFrame(state) };
        // SAFETY: null, or a new reference.
        if let Some(frame) = unsafe { Bound::from_owned_ptr_or_opt(py, frame.cast()) }
            && thread != 0
            && found.try_reserve(1).is_ok()
        {
            found.push((thread, frame));
        }
        // SAFETY: a thread's state stays while the GIL is held, and no code has run since it was found.
        state = unsafe { ffi::PyThreadState_Next(state) };
    }
    if collects {
        // SAFETY: attached, as the token says.
        unsafe { ffi::PyGC_Enable() };
    }
    found
}

fn place(py: Python<'_>, own: usize) -> Option<usize> {
    let known = PLACE.load(Ordering::Relaxed);
    if known != 0 {
        return Some(known);
    }
    let thread = usize::try_from(crate::thread_identifier(py)).ok()?;
    let native = this_thread() as usize;
    let is_it = |at: &usize| word(own + at) == Some(thread) && word(own + at + WORD) == Some(native);
    let place = (1..WORDS).map(|number| number * WORD).find(is_it)?;
    PLACE.store(place, Ordering::Relaxed);
    Some(place)
}
