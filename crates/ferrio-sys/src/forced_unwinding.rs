//! Parks a thread that the C library ends in the middle of our code.
//!
//! Up to Python 3.13 the interpreter ends a daemon thread with `pthread_exit` when it requests the GIL after the main
//! thread has begun to finalize. glibc then unwinds the thread's stack by force, and Rust aborts the process for it:
//! most calls into C are assumed never to unwind, and `catch_unwind` rejects an unwinding that is not a panic. So the
//! thread is parked as soon as the unwinding reaches the first of our frames, before any code of that frame runs, as
//! Python 3.14 parks such threads itself. The process ends without it.
//!
//! The unwinder calls each frame's personality routine, and finds the routine by a pointer that the compiler keeps in
//! this library's data. Pointing it at a routine that sees forced unwinding first covers every frame, also those whose
//! calls have no landing pad, and costs nothing until a stack is unwound.

#[cfg(all(target_os = "linux", target_env = "gnu", not(target_arch = "arm")))]
pub use self::parking::park_threads_ended_by_force;

/// Does nothing: on this system a thread is ended without unwinding, or the means are unknown.
#[cfg(not(all(target_os = "linux", target_env = "gnu", not(target_arch = "arm"))))]
pub fn park_threads_ended_by_force() {}

#[cfg(all(target_os = "linux", target_env = "gnu", not(target_arch = "arm")))]
mod parking {
    use std::ffi::{c_int, c_void};
    use std::sync::OnceLock;

    /// `_Unwind_Personality_Fn` of the Itanium C++ ABI.
    type Personality = unsafe extern "C" fn(c_int, c_int, u64, *mut c_void, *mut c_void) -> c_int;

    /// `_UA_FORCE_UNWIND`, one of the actions that a personality routine is called with.
    const FORCED: c_int = 8;

    unsafe extern "C" {
        /// The address that the unwind tables of this library name for their personality routine.
        #[link_name = "DW.ref.rust_eh_personality"]
        static mut PLACE: Personality;
    }

    /// The original routine, the one of Rust's library.
    static ORIGINAL: OnceLock<Personality> = OnceLock::new();

    /// From now on a thread that is unwound by force is parked at the first of our frames. Another call changes
    /// nothing.
    pub fn park_threads_ended_by_force() {
        ORIGINAL.get_or_init(|| {
            let place = &raw mut PLACE;
            // SAFETY: the compiler puts the pointer into each library with Rust frames, aligned and filled by the
            // loader.
            let original = unsafe { place.read() };
            // SAFETY: in writable data; the pointer is replaced whole, and either routine works for every frame.
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
        // A panic of another thread in the very moment of the exchange waits until the original is stored.
        let original = ORIGINAL.wait();
        // SAFETY: Rust's own routine with the unwinder's own arguments.
        unsafe { original(version, actions, class, exception, context) }
    }

    /// The thread has no GIL, and none of our code holds a lock while it waits for it.
    fn park() -> ! {
        loop {
            std::thread::park();
        }
    }
}
