//! Whether inspection records anything.

use std::sync::atomic::{AtomicBool, Ordering};

/// Relaxed throughout: the GIL orders all accesses.
static ON: AtomicBool = AtomicBool::new(false);

/// Whether anything is to be recorded.
#[inline]
#[must_use]
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Recording begins or ends.
pub(super) fn turn(on: bool) {
    ON.store(on, Ordering::Relaxed);
}
