//! The numbers of tasks: `Task-<number>` is the name of an unnamed task, and a simulated loop's tasks have their number
//! for a hash.
//!
//! A set of tasks is iterated in the order of their hashes, which are addresses otherwise: a simulated program could
//! take another path each time it is run. The simulation chooses once in each run in which order: `SetOrder`.

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

/// `SetOrder` of the run; `OPEN` until it is chosen.
static SET_ORDER: AtomicU8 = AtomicU8::new(0);

const OPEN: u8 = u8::MAX;

/// In which order the tasks of a simulated program are iterated in a set. Its eight values show each two tasks in both
/// orders, and three that were made one after the other in all six; sets with up to four tasks have a table of eight.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct SetOrder {
    /// The last one first.
    pub is_reversed: bool,
    /// Less than `MIXES`; 0 leaves the order of creation.
    pub mix: u8,
}

impl SetOrder {
    /// How many mixes there are.
    pub const MIXES: u8 = 4;

    const fn code(self) -> u8 {
        self.mix << 1 | self.is_reversed as u8
    }

    const fn from_code(code: u8) -> Self {
        Self { is_reversed: code & 1 != 0, mix: code >> 1 }
    }

    fn hash(self, number: u64) -> i64 {
        const FACTOR: u64 = 11;
        const OFFSETS: [u64; SetOrder::MIXES as usize] = [0, 1, 4, 6];
        let offset = OFFSETS[usize::from(self.mix % Self::MIXES)];
        let mixed = if self.mix == 0 { number } else { number.wrapping_mul(FACTOR).wrapping_add(offset) };
        // The complement of 0 is -1, which is reserved: numbers begin at 1.
        if self.is_reversed { !mixed.cast_signed() } else { mixed.cast_signed() }
    }
}

/// What a task's hash is: None for its address, unless its loop is simulated; otherwise made of its number. It stays
/// what it was, also when the simulation ends. In one byte: each task has one.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct HashKind(u8);

impl HashKind {
    const fn of(order: SetOrder) -> Self {
        Self(order.code() + 1)
    }

    const fn order(self) -> Option<SetOrder> {
        match self.0.checked_sub(1) {
            None => None,
            Some(code) => Some(SetOrder::from_code(code)),
        }
    }
}

/// Sets the order of sets for the run that begins, or the one that is chosen; None if it is to be chosen when the first
/// task's hash is asked for.
pub(crate) fn set_order_of_sets(_py: Python<'_>, order: Option<SetOrder>) {
    SET_ORDER.store(order.map_or(OPEN, SetOrder::code), Ordering::Relaxed);
}

/// Whether the order of sets is still to be chosen.
pub(crate) fn is_order_of_sets_open(_py: Python<'_>) -> bool {
    SET_ORDER.load(Ordering::Relaxed) == OPEN
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
    let known = whole.task.hash_kind.order();
    if known.is_some() || (SIMULATED.load(Ordering::Relaxed) > 0 && is_simulated()) {
        return assume_attached(|py| {
            // SAFETY: as above.
            let task = unsafe { TaskRef::from_borrowed(py, object) };
            let order = known.unwrap_or_else(|| fix_order(py, &task));
            order.hash(number(&task)).try_into().unwrap_or(ffi::Py_hash_t::MAX)
        });
    }
    match object.addr().rotate_right(4).cast_signed() {
        -1 => -2,
        hash => hash,
    }
}

/// Decides what the hash of a simulated loop's task is.
#[cold]
fn fix_order(py: Python<'_>, task: &TaskRef<'_>) -> SetOrder {
    if is_order_of_sets_open(py) {
        set_order_of_sets(py, Some(SetOrder::default()));
        if let Ok(Some(owner)) = task.future().native_owner() {
            LoopBase::choose_order_of_sets(&owner);
        }
    }
    let order = SetOrder::from_code(SET_ORDER.load(Ordering::Relaxed));
    task.update(|body| body.hash_kind = HashKind::of(order));
    order
}
