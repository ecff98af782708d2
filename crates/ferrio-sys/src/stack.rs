//! Where the calling thread's stack ends.
//!
//! The C library knows; on systems where it has no function for that nobody is told anything.

/// The lowest address of the calling thread's stack, which grows downwards. None where it cannot be found out.
///
/// This may read a file of the system's on the main thread: ask once for each thread.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[must_use]
pub fn lowest_address() -> Option<usize> {
    use std::mem::MaybeUninit;
    use std::ptr::null_mut;

    let mut attributes = MaybeUninit::uninit();
    // SAFETY: the calling thread exists.
    let this = unsafe { libc::pthread_self() };
    // SAFETY: a thread that exists, and a place for its attributes.
    if unsafe { libc::pthread_getattr_np(this, attributes.as_mut_ptr()) } != 0 {
        return None;
    }
    let mut lowest = null_mut();
    let mut size = 0;
    // SAFETY: initialised by the call above, which succeeded; places for both values.
    let outcome = unsafe { libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut lowest, &raw mut size) };
    // SAFETY: initialised, and not used afterwards.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    (outcome == 0).then_some(lowest.addr())
}

/// The lowest address of the calling thread's stack. None where it cannot be found out.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[must_use]
pub fn lowest_address() -> Option<usize> {
    None
}
