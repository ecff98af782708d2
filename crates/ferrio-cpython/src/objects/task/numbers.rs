//! The numbers of tasks: `Task-<number>` is the name of an unnamed task, and a simulated loop's tasks have their number
//! for a hash.
//!
//! A set of tasks is iterated in the order of their hashes, which are addresses otherwise: a simulated program could
//! take another path each time it is run. The simulation chooses once in each run whether the order is that of creation
//! or the reverse, so that each two tasks of a set are met in both orders.

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;

use super::{TaskObject, TaskRef};
use crate::capi::trampoline::assume_attached;
use crate::objects::loop_base::LoopBase;

/// Numbers from here on are those of named tasks, which do not count as unnamed ones.
const NAMED: u64 = 1 << 32;

// A separate load and store, relaxed: the GIL orders all accesses.
static NEXT: AtomicU64 = AtomicU64::new(1);
/// How many loops are simulated: while none is, a hash costs no look at the loop.
static SIMULATED: AtomicUsize = AtomicUsize::new(0);
static NEXT_NAMED: AtomicU64 = AtomicU64::new(NAMED);

/// `SetOrder` of the run.
static SET_ORDER: AtomicU8 = AtomicU8::new(SetOrder::Creation as u8);

/// In which order the tasks of a simulated program are iterated in a set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SetOrder {
    /// As they were made.
    Creation,
    /// The last one first.
    Reverse,
    /// Chosen when the first task's hash is asked for.
    Open,
}

/// What a task's hash is. It stays what it was, also when the simulation ends.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum HashKind {
    /// Its address, unless its loop is simulated.
    #[default]
    Address,
    /// Its number.
    Number,
    /// The complement of its number: the order in a set's table is reversed.
    Complement,
}

/// Sets the order of sets for the run that begins, or the one that is chosen.
pub(crate) fn set_order_of_sets(_py: Python<'_>, order: SetOrder) {
    SET_ORDER.store(order as u8, Ordering::Relaxed);
}

/// Whether the order of sets is still to be chosen.
pub(crate) fn is_order_of_sets_open(_py: Python<'_>) -> bool {
    SET_ORDER.load(Ordering::Relaxed) == SetOrder::Open as u8
}

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
    let kind = whole.task.hash_kind;
    if kind != HashKind::Address || (SIMULATED.load(Ordering::Relaxed) > 0 && is_simulated()) {
        return assume_attached(|py| {
            // SAFETY: as above.
            let task = unsafe { TaskRef::from_borrowed(py, object) };
            let kind = if kind == HashKind::Address { fix_kind(py, &task) } else { kind };
            let number = number(&task).cast_signed();
            let hash = if kind == HashKind::Complement { !number } else { number };
            // The complement of no number is -1, which is reserved: they begin at 1.
            hash.try_into().unwrap_or(ffi::Py_hash_t::MAX)
        });
    }
    match object.addr().rotate_right(4).cast_signed() {
        -1 => -2,
        hash => hash,
    }
}

/// Decides what the hash of a simulated loop's task is.
#[cold]
fn fix_kind(py: Python<'_>, task: &TaskRef<'_>) -> HashKind {
    if is_order_of_sets_open(py) {
        set_order_of_sets(py, SetOrder::Creation);
        if let Ok(Some(owner)) = task.future().native_owner() {
            LoopBase::choose_order_of_sets(&owner);
        }
    }
    let is_reversed = SET_ORDER.load(Ordering::Relaxed) == SetOrder::Reverse as u8;
    let kind = if is_reversed { HashKind::Complement } else { HashKind::Number };
    task.update(|body| body.hash_kind = kind);
    kind
}
