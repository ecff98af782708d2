//! The lists in which `CPython` 3.14 and later keep their own tasks, and what tools that read them from outside assume.
//!
//! `_asyncio` declares in a section of its file where the heads of the lists lie in the states of a thread and of the
//! interpreter, and where the parts of a task lie that `python -m asyncio ps` and profilers read. The lists are
//! intrusive and circular, and have no references. The thread's is moved to the interpreter's when the thread ends.
//!
//! Invariant: the places of the heads are known only after the running interpreter's declaration was read; they are
//! zero before, and stay zero where it cannot be read.

use std::ffi::c_void;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use ferrio_sys::program_section;
use pyo3::ffi;
use pyo3::prelude::*;

/// Where the parts of a task lie, counted in bytes from its beginning: `struct _asyncio_task_object`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TaskLayout {
    /// So much is read of a task.
    pub(crate) size: u64,
    pub(crate) name: u64,
    pub(crate) awaited_by: u64,
    pub(crate) is_task: u64,
    pub(crate) awaited_by_is_set: u64,
    pub(crate) coroutine: u64,
    pub(crate) node: u64,
}

/// Where the heads lie in a thread's and in the interpreter's state; zero until known. Relaxed: the GIL orders them.
static IN_THREAD: AtomicUsize = AtomicUsize::new(0);
static IN_INTERPRETER: AtomicUsize = AtomicUsize::new(0);

const SECTION: &[u8] = b".AsyncioDebug";
/// The length of a head: a pointer to the next and one to the previous place, `struct llist_node`.
const HEAD: u64 = 2 * size_of::<usize>() as u64;
/// The numbers of the section: seven of a task, two of an interpreter, four of a thread.
const NUMBERS: usize = 13;

/// Reads what the running `_asyncio` declares; the lists can be used if `fits` says so of its layout of tasks.
#[cold]
pub(crate) fn learn(py: Python<'_>, fits: impl FnOnce(&TaskLayout) -> bool) {
    let Some(numbers) = declaration(py) else { return };
    let [
        size,
        name,
        awaited_by,
        is_task,
        awaited_by_is_set,
        coroutine,
        node,
        whole_interpreter,
        in_interpreter,
        of_thread @ ..,
    ] = numbers;
    let [whole_thread, _, _, in_thread] = of_thread;
    let layout = TaskLayout { size, name, awaited_by, is_task, awaited_by_is_set, coroutine, node };
    let lies_within = |place: u64, size: u64| place != 0 && place.saturating_add(HEAD) <= size;
    if !lies_within(in_interpreter, whole_interpreter) || !lies_within(in_thread, whole_thread) || !fits(&layout) {
        return;
    }
    let (Ok(in_thread), Ok(in_interpreter)) = (usize::try_from(in_thread), usize::try_from(in_interpreter)) else {
        return;
    };
    IN_INTERPRETER.store(in_interpreter, Ordering::Relaxed);
    IN_THREAD.store(in_thread, Ordering::Relaxed);
}

fn declaration(py: Python<'_>) -> Option<[u64; NUMBERS]> {
    let module = crate::capi::modules::module(py, "_asyncio").ok()?;
    let places = if let Some(file) = module.getattr_opt("__file__").ok()? {
        vec![file.extract::<PathBuf>().ok()?]
    } else {
        // A part of the interpreter: of the program, or of its library.
        let library = program_section::file_of((&raw const ffi::PyLong_Type).addr());
        [Some(PathBuf::from("/proc/self/exe")), library].into_iter().flatten().collect()
    };
    let bytes = places.iter().find_map(|place| program_section::read(place, SECTION).ok().flatten())?;
    let mut numbers = bytes.chunks_exact(8).filter_map(|number| number.try_into().ok()).map(u64::from_ne_bytes);
    let found = [(); NUMBERS].map(|()| numbers.next());
    found.iter().all(Option::is_some).then(|| found.map(Option::unwrap_or_default))
}

/// The head of the calling thread's list, once the lists can be used.
#[inline]
pub(crate) fn of_this_thread(_py: Python<'_>) -> Option<*mut c_void> {
    let place = IN_THREAD.load(Ordering::Relaxed);
    if place == 0 {
        return None;
    }
    // SAFETY: attached, as the token says, so the thread has a state.
    let thread = unsafe { ffi::PyThreadState_GetUnchecked() };
    Some(thread.wrapping_byte_add(place).cast())
}

/// The heads of all lists of the interpreter, once they can be used.
pub(crate) fn all(_py: Python<'_>) -> Vec<*mut c_void> {
    let place = IN_THREAD.load(Ordering::Relaxed);
    if place == 0 {
        return Vec::new();
    }
    // SAFETY: attached, as the token says.
    let interpreter = unsafe { ffi::PyInterpreterState_Get() };
    let mut heads = vec![interpreter.wrapping_byte_add(IN_INTERPRETER.load(Ordering::Relaxed)).cast()];
    // SAFETY: the interpreter's state lives as long as it runs.
    let mut thread = unsafe { ffi::PyInterpreterState_ThreadHead(interpreter) };
    while !thread.is_null() {
        heads.push(thread.wrapping_byte_add(place).cast());
        // SAFETY: a thread's state stays while the GIL is held, except the caller's own, which lives.
        thread = unsafe { ffi::PyThreadState_Next(thread) };
    }
    heads
}
