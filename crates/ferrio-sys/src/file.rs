//! Pipes, terminals and files: the calls on descriptors that need not be sockets, and on file names.
//!
//! As with sockets nothing is retried: `EAGAIN` and `EINTR` are returned as errors. Reading and writing wait unless the
//! descriptor is non-blocking, see [`crate::socket::set_nonblocking`].

use std::io::{self, IoSlice};
use std::os::fd::RawFd;

use rustix::fs::{FileType, SeekFrom};

use crate::descriptor::borrow;

/// The most slices one call takes (`IOV_MAX`).
const MOST_SLICES: usize = 1024;

/// The kind of file behind a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A pipe or a FIFO.
    Pipe,
    /// A socket.
    Socket,
    /// A terminal or another character device.
    CharacterDevice,
    /// A regular file, a directory, a block device or a kind unknown here.
    Other,
}

/// The kind of file behind `fd`.
pub fn kind(fd: RawFd) -> io::Result<Kind> {
    let status = rustix::fs::fstat(borrow(fd)?)?;
    Ok(match FileType::from_raw_mode(status.st_mode) {
        FileType::Fifo => Kind::Pipe,
        FileType::Socket => Kind::Socket,
        FileType::CharacterDevice => Kind::CharacterDevice,
        _ => Kind::Other,
    })
}

/// The file at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whether it is a socket.
    pub is_socket: bool,
    /// Its number in its file system.
    pub inode: u64,
}

/// The file at `path`, symbolic links followed.
pub fn find(path: &[u8]) -> io::Result<Found> {
    let status = rustix::fs::stat(path)?;
    let is_socket = FileType::from_raw_mode(status.st_mode) == FileType::Socket;
    Ok(Found { is_socket, inode: status.st_ino })
}

/// Removes the name `path`.
pub fn remove(path: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::unlink(path)?)
}

/// The size of the file in bytes; 0 for a file that has no size.
pub fn size(fd: RawFd) -> io::Result<u64> {
    let status = rustix::fs::fstat(borrow(fd)?)?;
    Ok(u64::try_from(status.st_size).unwrap_or(0))
}

/// Reads into `buffer` and returns the number of bytes; 0 is the end of data.
pub fn read(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    let count = rustix::io::read(borrow(fd)?, buffer)?;
    Ok(count)
}

/// Writes as much of `data` as there is space for and returns the number of bytes.
pub fn write(fd: RawFd, data: &[u8]) -> io::Result<usize> {
    Ok(rustix::io::write(borrow(fd)?, data)?)
}

/// Writes as much of `slices`, in order, as there is space for and returns the number of bytes.
pub fn write_vectored(fd: RawFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    Ok(rustix::io::writev(borrow(fd)?, &slices[..slices.len().min(MOST_SLICES)])?)
}

/// Sets the position that the file is read from next.
pub fn seek(fd: RawFd, position: u64) -> io::Result<()> {
    rustix::fs::seek(borrow(fd)?, SeekFrom::Start(position))?;
    Ok(())
}

/// Sends at most `count` bytes of the file `source`, from `offset` on, to the socket `target` and returns how many; 0
/// is the end of the file. The position of `source` does not change.
#[cfg(target_os = "linux")]
pub fn send_file(target: RawFd, source: RawFd, offset: u64, count: usize) -> io::Result<usize> {
    let mut offset = offset;
    Ok(rustix::fs::sendfile(borrow(target)?, borrow(source)?, Some(&mut offset), count)?)
}

/// Not supported on this system yet: callers copy the file themselves.
#[cfg(not(target_os = "linux"))]
pub fn send_file(_target: RawFd, _source: RawFd, _offset: u64, _count: usize) -> io::Result<usize> {
    Err(rustix::io::Errno::NOSYS.into())
}
