//! System calls whose answers a recording notes, or gives.

use std::io::{self, IoSlice};
use std::os::fd::{OwnedFd, RawFd};

use ferrio_engine::Operation;
use ferrio_sys::SocketAddress;
use ferrio_sys::file::{self, Kind};
use ferrio_sys::socket;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::event_loop::Loop;
use crate::event_loop::recording::is_any;

/// `socket::receive`, for a connection of this loop.
#[inline]
pub(crate) fn receive(slf: &Bound<'_, Loop>, fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    received(slf, buffer, |buffer| socket::receive(fd, buffer))
}

/// `file::read`, for a pipe of this loop.
#[inline]
pub(crate) fn read(slf: &Bound<'_, Loop>, fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    received(slf, buffer, |buffer| file::read(fd, buffer))
}

/// `socket::send`, for a connection of the loop that `owner` gives.
#[inline]
pub(crate) fn send<'py>(
    py: Python<'py>,
    owner: impl FnOnce() -> Option<Bound<'py, Loop>>,
    fd: RawFd,
    data: &[u8],
) -> io::Result<usize> {
    sent(py, owner, || data.len(), || socket::send(fd, data))
}

/// `socket::send_vectored`, for a connection of the loop that `owner` gives.
#[inline]
pub(crate) fn send_vectored<'py>(
    py: Python<'py>,
    owner: impl FnOnce() -> Option<Bound<'py, Loop>>,
    fd: RawFd,
    slices: &[IoSlice<'_>],
) -> io::Result<usize> {
    sent(py, owner, || length(slices), || socket::send_vectored(fd, slices))
}

/// `file::write`, for a pipe of the loop that `owner` gives.
#[inline]
pub(crate) fn write<'py>(
    py: Python<'py>,
    owner: impl FnOnce() -> Option<Bound<'py, Loop>>,
    fd: RawFd,
    data: &[u8],
) -> io::Result<usize> {
    sent(py, owner, || data.len(), || file::write(fd, data))
}

/// `file::write_vectored`, for a pipe of the loop that `owner` gives.
#[inline]
pub(crate) fn write_vectored<'py>(
    py: Python<'py>,
    owner: impl FnOnce() -> Option<Bound<'py, Loop>>,
    fd: RawFd,
    slices: &[IoSlice<'_>],
) -> io::Result<usize> {
    sent(py, owner, || length(slices), || file::write_vectored(fd, slices))
}

#[inline]
fn received(
    slf: &Bound<'_, Loop>,
    buffer: &mut [u8],
    real: impl FnOnce(&mut [u8]) -> io::Result<usize>,
) -> io::Result<usize> {
    if slf.get().io.tape.is_on() { received_recorded(slf, buffer, real) } else { real(buffer) }
}

#[cold]
fn received_recorded(
    slf: &Bound<'_, Loop>,
    buffer: &mut [u8],
    real: impl FnOnce(&mut [u8]) -> io::Result<usize>,
) -> io::Result<usize> {
    let py = slf.py();
    let Some(recording) = slf.get().io.tape.get(py) else { return real(buffer) };
    recording.get().receive(py, Operation::Receive, buffer, real)
}

#[inline]
fn sent<'py>(
    py: Python<'py>,
    owner: impl FnOnce() -> Option<Bound<'py, Loop>>,
    offered: impl FnOnce() -> usize,
    real: impl FnOnce() -> io::Result<usize>,
) -> io::Result<usize> {
    if is_any() { number(py, owner, Operation::Send, offered(), real) } else { real() }
}

fn length(slices: &[IoSlice<'_>]) -> usize {
    slices.iter().map(|slice| slice.len()).sum()
}

/// What kind of file a pipe of this loop is.
pub(crate) fn kind(slf: &Bound<'_, Loop>, fd: RawFd) -> io::Result<Kind> {
    if !slf.get().io.tape.is_on() {
        return file::kind(fd);
    }
    let look = || file::kind(fd).map(|kind| KINDS.iter().position(|known| *known == kind).unwrap_or(0));
    let number = number(slf.py(), || Some(slf.clone()), Operation::Kind, 0, look)?;
    Ok(KINDS.get(number).copied().unwrap_or(Kind::Other))
}

/// The kinds, by the number that a recording has for them.
const KINDS: [Kind; 4] = [Kind::Other, Kind::Pipe, Kind::Socket, Kind::CharacterDevice];

/// A descriptor in the place of a pipe, in a loop that repeats a recording.
pub(crate) fn pipe_stand_in(slf: &Bound<'_, Loop>) -> io::Result<Option<OwnedFd>> {
    if is_repeated(slf) { open_stand_in(&SocketAddress::Unix(Vec::new())).map(Some) } else { Ok(None) }
}

/// Whether the loop repeats a recording.
pub(crate) fn is_repeated(slf: &Bound<'_, Loop>) -> bool {
    slf.get().io.tape.is_on()
        && slf.get().io.tape.get(slf.py()).is_some_and(|recording| recording.get().is_read(slf.py()))
}

/// The functions in the place of those that start and end child processes, for a loop with a recording.
pub(crate) fn children<'py>(slf: &Bound<'py, Loop>) -> PyResult<Option<Bound<'py, PyAny>>> {
    slf.get().io.tape.is_on().then(|| children_of_recordings(slf.py())).transpose()
}

/// The same functions.
pub(crate) fn children_of_recordings(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    ferrio_cpython::module(py, name!("ferrio.testing._children")).map(Bound::into_any)
}

/// The functions in the place of methods of sockets, for a loop with a recording.
pub(crate) fn functions<'py>(slf: &Bound<'py, Loop>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let is_on = slf.get().io.tape.is_on();
    is_on.then(|| ferrio_cpython::module(slf.py(), name!("ferrio.testing._calls")).map(Bound::into_any)).transpose()
}

/// An operation whose answer is a number.
#[cold]
pub(crate) fn number<'py>(
    py: Python<'py>,
    owner: impl FnOnce() -> Option<Bound<'py, Loop>>,
    operation: Operation,
    offered: usize,
    real: impl FnOnce() -> io::Result<usize>,
) -> io::Result<usize> {
    let recording = owner().and_then(|owner| owner.get().io.tape.get(py));
    match recording {
        None => real(),
        Some(recording) if recording.get().is_read(py) => recording.get().give(py, operation, offered, |_, _| true),
        Some(recording) => {
            let answer = real();
            recording.get().take(py, operation, offered, &answer, &[]);
            answer
        }
    }
}

/// `socket::accept`, for a listener of this loop.
pub(crate) fn accept(slf: &Bound<'_, Loop>, fd: RawFd) -> io::Result<(OwnedFd, SocketAddress)> {
    let py = slf.py();
    let Some(recording) = slf.get().io.tape.get(py) else { return socket::accept(fd) };
    let recording = recording.get();
    if !recording.is_read(py) {
        let accepted = socket::accept(fd);
        let (answer, peer) = match &accepted {
            Ok((_, peer)) => (Ok(0), peer.to_bytes()),
            Err(error) => (Err(io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(0))), Vec::new()),
        };
        recording.take(py, Operation::Accept, 0, &answer, &peer);
        return accepted;
    }
    let mut peer = None;
    recording.give(py, Operation::Accept, 0, |_, data| {
        peer = data.and_then(SocketAddress::from_bytes);
        true
    })?;
    let peer = peer.unwrap_or(SocketAddress::Unix(Vec::new()));
    Ok((open_stand_in(&peer)?, peer))
}

/// The address that a socket of a loop with a recording is bound to.
#[cold]
pub(crate) fn local_address(slf: &Bound<'_, Loop>, fd: RawFd) -> Option<SocketAddress> {
    let py = slf.py();
    let Some(recording) = slf.get().io.tape.get(py) else { return socket::local_address(fd).ok() };
    let recording = recording.get();
    let mut address = None;
    if recording.is_read(py) {
        let _ = recording.give(py, Operation::Address, 0, |_, data| {
            address = data.and_then(SocketAddress::from_bytes);
            true
        });
        return address;
    }
    address = socket::local_address(fd).ok();
    let bytes = address.as_ref().map(SocketAddress::to_bytes).unwrap_or_default();
    recording.take(py, Operation::Address, 0, &Ok(0), &bytes);
    address
}

/// A descriptor in the place of a connection to this address. It is only a number that is nobody else's: the recording
/// speaks for it.
pub(crate) fn open_stand_in(peer: &SocketAddress) -> io::Result<OwnedFd> {
    let made = socket::open(peer, socket::Kind::Stream);
    made.or_else(|_| socket::open(&SocketAddress::Unix(Vec::new()), socket::Kind::Stream))
}

/// `socket::receive_from`, for a socket of this loop.
pub(crate) fn receive_from(
    slf: &Bound<'_, Loop>,
    fd: RawFd,
    buffer: &mut [u8],
) -> io::Result<(usize, Option<SocketAddress>)> {
    let py = slf.py();
    let recording = if slf.get().io.tape.is_on() { slf.get().io.tape.get(py) } else { None };
    let Some(recording) = recording else { return socket::receive_from(fd, buffer) };
    let recording = recording.get();
    if recording.is_read(py) {
        let mut sender = None;
        let count = recording.give(py, Operation::ReceiveFrom, 0, |count, data| {
            // The sender's address, with its length before it, then the datagram.
            let Some((length, remaining)) = data.and_then(<[u8]>::split_first) else { return false };
            let Some((address, datagram)) = remaining.split_at_checked(usize::from(*length)) else { return false };
            sender = SocketAddress::from_bytes(address);
            let Some(target) = buffer.get_mut(..datagram.len()) else { return false };
            target.copy_from_slice(datagram);
            datagram.len() as u64 == count
        })?;
        return Ok((count, sender));
    }
    let received = socket::receive_from(fd, buffer);
    let (answer, data) = match &received {
        Ok((count, sender)) => {
            let address = sender.as_ref().map(SocketAddress::to_bytes).unwrap_or_default();
            let length = [u8::try_from(address.len()).unwrap_or(0)];
            (Ok(*count), [&length, address.as_slice(), &buffer[..*count]].concat())
        }
        Err(error) => (Err(io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(0))), Vec::new()),
    };
    recording.take(py, Operation::ReceiveFrom, 0, &answer, &data);
    received
}

/// Refuses what a recording cannot give.
///
/// # Errors
/// `RuntimeError` in a loop that repeats a recording.
pub(crate) fn refuse(slf: &Bound<'_, Loop>, what: &str) -> PyResult<()> {
    let py = slf.py();
    let Some(recording) = slf.get().io.tape.get(py) else { return Ok(()) };
    if !recording.get().is_read(py) {
        return Ok(());
    }
    let text = format!("a recording does not have what is needed for {what}");
    recording.get().leave(py, text.clone());
    Err(ferrio_cpython::error::<PyRuntimeError>(text))
}
