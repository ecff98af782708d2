//! Interrupts the wait of another process's thread, without a signal that the process or its parent could notice.
//!
//! The tracing of a debugger is used for a moment: the thread stops, and goes on. That alone ends `epoll_wait` with
//! `EINTR`, and nothing else. Other waits go on as if nothing had been, so their result is written: the same `EINTR`
//! that each signal handler of Python's would bring about, which are installed to interrupt calls. That is done for
//! calls that may only be repeated then, never for a lock's wait, whose caller might take it for success.
//!
//! If this process dies meanwhile, the system lets the thread go on.

use std::io;

/// Interrupts the wait of the thread `number`, which belongs to a process that this one may trace.
///
/// # Errors
///
/// `PermissionDenied` if the process may not be traced or is traced already, `TimedOut` if the thread does not stop, as
/// when it waits for a disk, and what the system says otherwise.
pub fn interrupt(number: i32) -> io::Result<()> {
    // A thread of its own: what it traces is let go when it ends, whatever has failed.
    let work = std::thread::Builder::new().name("ferrio-interrupts".into()).spawn(move || system::interrupt(number));
    work?.join().unwrap_or_else(|_| Err(io::Error::other("the thread that interrupts failed")))
}

#[cfg(target_os = "linux")]
mod system {
    use std::io;
    use std::ptr::{null_mut, without_provenance_mut};
    use std::time::{Duration, Instant};

    /// How long the thread may take to stop.
    const PATIENCE: Duration = Duration::from_secs(1);

    pub(super) fn interrupt(number: i32) -> io::Result<()> {
        // SAFETY: takes no memory of this process's. The thread goes on running.
        check(unsafe { libc::ptrace(libc::PTRACE_SEIZE, number, NONE, NONE) })?;
        // SAFETY: as above. The thread stops before it returns to the program.
        check(unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, number, NONE, NONE) })?;
        let status = stopped(number)?;
        let is_ours = status >> 16 == libc::PTRACE_EVENT_STOP && libc::WSTOPSIG(status) == libc::SIGTRAP;
        if is_ours {
            result::end_wait(number)?;
        }
        // A signal that came first is passed on.
        let passed_on = if status >> 16 == 0 { libc::WSTOPSIG(status) } else { 0 };
        let signal = without_provenance_mut::<libc::c_void>(passed_on.unsigned_abs() as usize);
        // SAFETY: takes no memory of this process's. The thread is stopped, which this needs.
        check(unsafe { libc::ptrace(libc::PTRACE_DETACH, number, NONE, signal) })
    }

    const NONE: *mut libc::c_void = null_mut();

    fn check(answer: libc::c_long) -> io::Result<()> {
        if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// The status with which the thread has stopped.
    #[expect(
        clippy::disallowed_methods,
        reason = "what is waited for has no descriptor, and no loop runs in this thread"
    )]
    fn stopped(number: i32) -> io::Result<i32> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let mut status = 0;
            // SAFETY: a place for the status, for as long as the call takes.
            let found = unsafe { libc::waitpid(number, &raw mut status, libc::__WALL | libc::WNOHANG) };
            check(found.into())?;
            if found == number {
                let ended = io::ErrorKind::NotFound;
                return if libc::WIFSTOPPED(status) { Ok(status) } else { Err(ended.into()) };
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    #[cfg(target_arch = "x86_64")]
    mod result {
        use std::io;
        use std::mem::MaybeUninit;

        use super::{NONE, check};

        /// The calls that may be ended: sleeps, polls, reads, and the wait for a child.
        const ENDED: [i64; 16] = [
            libc::SYS_nanosleep,
            libc::SYS_clock_nanosleep,
            libc::SYS_pause,
            libc::SYS_poll,
            libc::SYS_ppoll,
            libc::SYS_select,
            libc::SYS_pselect6,
            libc::SYS_epoll_wait,
            libc::SYS_epoll_pwait,
            libc::SYS_epoll_pwait2,
            libc::SYS_read,
            libc::SYS_recvfrom,
            libc::SYS_recvmsg,
            libc::SYS_accept4,
            libc::SYS_wait4,
            libc::SYS_waitid,
        ];

        /// What the kernel keeps as the result of an interrupted call that it is to begin again: `ERESTARTSYS`,
        /// `ERESTARTNOHAND` and `ERESTART_RESTARTBLOCK` of its `errno.h`.
        const BEGUN_AGAIN: [i64; 3] = [-512, -514, -516];

        /// Lets the stopped thread's call return `EINTR`, if it is one of those.
        pub(super) fn end_wait(number: i32) -> io::Result<()> {
            let mut registers = MaybeUninit::<libc::user_regs_struct>::uninit();
            // SAFETY: a place for all registers, which the kernel fills.
            check(unsafe { libc::ptrace(libc::PTRACE_GETREGS, number, NONE, registers.as_mut_ptr()) })?;
            // SAFETY: the kernel has filled it.
            let mut registers = unsafe { registers.assume_init() };
            let (call, answer) = (registers.orig_rax.cast_signed(), registers.rax.cast_signed());
            if !ENDED.contains(&call) || !BEGUN_AGAIN.contains(&answer) {
                return Ok(());
            }
            registers.rax = i64::from(-libc::EINTR).cast_unsigned();
            // SAFETY: the registers as they were, but for the call's result, which the program has to expect.
            check(unsafe { libc::ptrace(libc::PTRACE_SETREGS, number, NONE, &raw mut registers) })
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    mod result {
        use std::io;

        /// Only `epoll_wait` ends here: other processors keep results elsewhere.
        pub(super) fn end_wait(_: i32) -> io::Result<()> {
            Ok(())
        }
    }

    #[cfg(test)]
    mod tests {
        use std::process::{Command, Stdio};

        use super::super::interrupt;

        #[test]
        fn a_process_that_is_not_there_is_an_error() {
            assert!(interrupt(i32::MAX).is_err());
        }

        #[test]
        fn a_program_that_is_interrupted_goes_on() {
            let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
            let mut child = child.expect("cat is everywhere");
            let outcome = interrupt(child.id().cast_signed());
            drop(child.stdin.take());
            assert!(child.wait().expect("a child").code().is_some());
            // Containers may forbid tracing.
            assert!(
                outcome.is_ok() || outcome.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
            );
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;

    /// Other systems trace differently.
    pub(super) fn interrupt(_: i32) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
