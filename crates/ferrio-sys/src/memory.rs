//! Reads this process's own memory at addresses that may be wrong: what is not mapped is an error and no crash.

use std::io;

/// Fills `into` from `address`. The bytes may change while they are read.
///
/// # Errors
/// `EFAULT` if not all of it is mapped, `EPERM` or `ENOSYS` where the system does not allow it.
#[cfg(target_os = "linux")]
pub fn read(address: usize, into: &mut [u8]) -> io::Result<()> {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: std::ptr::without_provenance_mut(address), iov_len: into.len() };
    let process = std::process::id().cast_signed();
    // SAFETY: the kernel writes to `into`, which is borrowed exclusively, and nowhere else. It checks the other address
    // itself, and reads it as from another process: no Rust code reads that memory.
    let count = unsafe { libc::process_vm_readv(process, &raw const local, 1, &raw const remote, 1, 0) };
    match usize::try_from(count) {
        Ok(count) if count == into.len() => Ok(()),
        Ok(_) => Err(io::Error::from_raw_os_error(libc::EFAULT)),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// No system call for it is known.
///
/// # Errors
/// Always `Unsupported`.
#[cfg(not(target_os = "linux"))]
pub fn read(_: usize, _: &mut [u8]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mapped_is_read_and_what_is_not_is_an_error() {
        let source = *b"ferrio";
        let mut copy = [0; 6];
        read(source.as_ptr().addr(), &mut copy).unwrap();
        assert_eq!(copy, source);
        assert_eq!(read(8, &mut copy).unwrap_err().raw_os_error(), Some(libc::EFAULT));
    }
}
