//! What a child process made by `fork` must not do to its parent.
//!
//! An epoll descriptor is shared with the parent: the child removing a registration removes the parent's. So a process counts the forks
//! it has come out of, and a poller made before the last one leaves its registrations alone. Whether anyone calls
//! [`note_child`] is up to the crates above; without it nothing changes.

use std::sync::atomic::{AtomicU32, Ordering};

/// How many forks lie between this process and the one that loaded the crate.
///
/// Relaxed is enough: the child has a single thread when it counts, and no other memory is published with the number.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// To be called in the child, right after the fork.
pub fn note_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// The fork generation of this process.
#[inline]
#[must_use]
pub fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}
