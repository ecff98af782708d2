//! A thread that the C library ends in the middle of our code stays where it is.
//!
//! Up to Python 3.13 the interpreter ends a daemon thread with `pthread_exit` when it wants the GIL after the main thread has begun
//! to leave. glibc then unwinds the thread's stack by force, and Rust aborts the process for it: most calls into C are taken for
//! ones that never unwind, and `catch_unwind` refuses what is no panic. So the thread is parked as soon as the unwinding
//! meets the first frame of ours, before anything of it runs, as Python 3.14 parks such threads itself. The process ends without it.
//!
//! The unwinder asks each frame's personality routine what to do, and finds the routine by a pointer that the compiler keeps in
//! this library's data. Pointing it at a routine that sees forced unwinding first covers each frame there is,
//! also those whose calls have no landing pad, and costs nothing before somebody unwinds.

#[cfg(all(target_os = "linux", target_env = "gnu", not(target_arch = "arm")))]
pub use self::parking::park_threads_ended_by_force;

/// Nothing to do: here a thread is ended without unwinding, or by means that are not known.
#[cfg(not(all(target_os = "linux", target_env = "gnu", not(target_arch = "arm"))))]
pub fn park_threads_ended_by_force() {}

#[cfg(all(target_os = "linux", target_env = "gnu", not(target_arch = "arm")))]
mod parking {
    use std::ffi::{c_int, c_void};
    use std::sync::OnceLock;

    /// `_Unwind_Personality_Fn` of the Itanium C++ ABI.
    type Personality = unsafe extern "C" fn(c_int, c_int, u64, *mut c_void, *mut c_void) -> c_int;

    /// `_UA_FORCE_UNWIND`, among the actions that a personality routine is asked for.
    const FORCED: c_int = 8;

    unsafe extern "C" {
        /// What the unwind tables of this library name as the place of their personality routine.
        #[link_name = "DW.ref.rust_eh_personality"]
        static mut PLACE: Personality;
    }

    /// The routine that was there before, the one of Rust's library.
    static ORIGINAL: OnceLock<Personality> = OnceLock::new();

    /// From now on a thread that is unwound by force is parked at the first of our frames. Calling it again changes nothing.
    pub fn park_threads_ended_by_force() {
        ORIGINAL.get_or_init(|| {
            let place = &raw mut PLACE;
            // SAFETY: the compiler puts the pointer into each library with Rust frames, aligned and filled by the loader.
            let original = unsafe { place.read() };
            // SAFETY: in writable data; the pointer is replaced whole, and either routine answers for every frame.
            unsafe { place.write(personality) };
            original
        });
    }

    unsafe extern "C" fn personality(
        version: c_int,
        actions: c_int,
        class: u64,
        exception: *mut c_void,
        context: *mut c_void,
    ) -> c_int {
        if actions & FORCED != 0 {
            park();
        }
        // A panic of another thread in the very moment of the exchange waits for the original to be there.
        let original = ORIGINAL.wait();
        // SAFETY: Rust's own routine with the unwinder's own arguments.
        unsafe { original(version, actions, class, exception, context) }
    }

    /// The thread has no GIL, and no code of ours holds a lock while it waits for it.
    fn park() -> ! {
        loop {
            std::thread::park();
        }
    }
}
