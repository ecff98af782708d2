//! What a child process made by `fork` must not do to its parent.
//!
//! An epoll descriptor and a pipe are shared with the parent: if the child removes a registration, it removes the
//! parent's, and a byte that the child writes wakes the parent. So a process counts the forks it has come out of; a
//! poller or a waker made before the last fork belongs to the parent: the child leaves it alone, and the code that uses
//! it further replaces it.
//!
//! The C library counts, inside `fork` itself, once [`watch`] was called: before any of the child's code runs.

use std::ffi::c_int;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many forks lie between this process and the one that loaded the crate.
///
/// Relaxed is enough: the child has a single thread when it counts, and no other memory is published with the number.
static GENERATION: AtomicU32 = AtomicU32::new(0);

type AtFork = Option<unsafe extern "C" fn()>;

unsafe extern "C" {
    fn pthread_atfork(prepare: AtFork, parent: AtFork, child: AtFork) -> c_int;
}

/// Makes each child of this process count its fork from now on.
///
/// # Errors
///
/// `ENOMEM` if the C library has no memory for the request.
pub fn watch() -> io::Result<()> {
    static ASKED: OnceLock<()> = OnceLock::new();
    if ASKED.get().is_some() {
        return Ok(());
    }
    // SAFETY: the function is a static one, as long-lived as this code, which is never unloaded, and does nothing but
    // add to an atomic: a child of a process with threads may do that.
    let code = unsafe { pthread_atfork(None, None, Some(count_in_child)) };
    if code != 0 {
        return Err(io::Error::from_raw_os_error(code));
    }
    ASKED.get_or_init(|| ());
    Ok(())
}

unsafe extern "C" fn count_in_child() {
    note_child();
}

/// Counts a fork, in its child; the C library calls it after [`watch`].
pub fn note_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// The fork generation of this process.
#[inline]
#[must_use]
pub fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}
