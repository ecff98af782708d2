//! Where the calling thread's stack ends.
//!
//! The C library returns it; on systems whose library has no function for that, the end is unknown.

/// The lowest address of the calling thread's stack, which grows downwards. None if it cannot be found out.
///
/// On the main thread this may read one of the system's files: call it once for each thread.
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

/// The lowest address of the calling thread's stack. None if it cannot be found out.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[must_use]
pub fn lowest_address() -> Option<usize> {
    None
}
