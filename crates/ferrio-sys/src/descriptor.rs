//! Turns numbers into borrowed descriptors, and sets the flags that each of ferrio's descriptors has.

use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use rustix::io::Errno;

/// Borrows the descriptor with this number for one system call.
///
/// # Errors
///
/// `EBADF` for a negative number; the system itself reports other numbers that are not open.
#[inline]
pub(crate) fn borrow<'call>(fd: RawFd) -> io::Result<BorrowedFd<'call>> {
    if fd < 0 {
        return Err(Errno::BADF.into());
    }
    // SAFETY: the number is not -1, as checked above. The borrow is used for one system call and not kept; the caller
    // that passes the number owns the descriptor, and should it be closed all the same, the system returns `EBADF`: no
    // memory depends on it.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}
