//! The numbers of tasks: `Task-<number>` is the name of an unnamed task, and a simulated loop's tasks have their number
//! for a hash.
//!
//! A set of tasks is iterated in the order of their hashes, which are addresses otherwise: a simulated program could
//! take another path each time it is run.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;

use super::{TaskObject, TaskRef};
use crate::capi::trampoline::assume_attached;

/// Numbers from here on are those of named tasks, which do not count as unnamed ones.
const NAMED: u64 = 1 << 32;

// A separate load and store, relaxed: the GIL orders all accesses.
static NEXT: AtomicU64 = AtomicU64::new(1);
/// How many loops are simulated: while none is, a hash costs no look at the loop.
static SIMULATED: AtomicUsize = AtomicUsize::new(0);
static NEXT_NAMED: AtomicU64 = AtomicU64::new(NAMED);

/// A number for the next unnamed task.
#[inline]
pub(super) fn next_number() -> u64 {
    let number = NEXT.load(Ordering::Relaxed);
    NEXT.store(number + 1, Ordering::Relaxed);
    number
}

/// Sets the number of the next unnamed task; returns what it was to be.
pub(crate) fn restart_numbers(_py: Python<'_>, next: u64) -> u64 {
    NEXT_NAMED.store(NAMED, Ordering::Relaxed);
    NEXT.swap(next, Ordering::Relaxed)
}

/// The number of a ferrio task; a named one gets its own when it is first asked for.
pub(crate) fn number(task: &TaskRef<'_>) -> u64 {
    let known = task.task().number.value();
    if known != 0 {
        return known;
    }
    let number = NEXT_NAMED.load(Ordering::Relaxed);
    NEXT_NAMED.store(number + 1, Ordering::Relaxed);
    task.update(|body| body.number = number.into());
    number
}

/// Notes that one loop more, or one less, is simulated.
pub(crate) fn note_simulation(_py: Python<'_>, begins: bool) {
    let before = SIMULATED.load(Ordering::Relaxed);
    SIMULATED.store(if begins { before + 1 } else { before.saturating_sub(1) }, Ordering::Relaxed);
}

/// The type's `tp_hash`.
pub(super) unsafe extern "C" fn hash(object: *mut ffi::PyObject) -> ffi::Py_hash_t {
    // SAFETY: the interpreter passes a live object of our type.
    let whole = unsafe { &*object.cast::<TaskObject>() };
    let is_simulated = || assume_attached(|py| whole.base.future.is_simulated(py));
    if whole.task.hash_is_number || (SIMULATED.load(Ordering::Relaxed) > 0 && is_simulated()) {
        return assume_attached(|py| {
            // SAFETY: as above.
            let task = unsafe { TaskRef::from_borrowed(py, object) };
            let number = number(&task);
            // It keeps its hash when the simulation ends.
            task.update(|body| body.hash_is_number = true);
            number.cast_signed().try_into().unwrap_or(ffi::Py_hash_t::MAX)
        });
    }
    match object.addr().rotate_right(4).cast_signed() {
        -1 => -2,
        hash => hash,
    }
}
