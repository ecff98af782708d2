//! System calls whose answers a recording notes, or gives.

use std::io::{self, IoSlice};
use std::os::fd::{OwnedFd, RawFd};

use ferrio_engine::{Operation, Recorded};
use ferrio_sys::SocketAddress;
use ferrio_sys::socket::{self, Kind};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::{Mode, Recording, is_any};
use crate::event_loop::Loop;

/// `socket::receive`, for a connection of this loop.
#[inline]
pub(crate) fn receive(slf: &Bound<'_, Loop>, fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    if slf.get().io.tape.is_on() { receive_recorded(slf, fd, buffer) } else { socket::receive(fd, buffer) }
}

#[cold]
fn receive_recorded(slf: &Bound<'_, Loop>, fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    let py = slf.py();
    let Some(recording) = slf.get().io.tape.get(py) else { return socket::receive(fd, buffer) };
    recording.get().receive(py, Operation::Receive, buffer, |buffer| socket::receive(fd, buffer))
}

/// `socket::send`, for a connection of the loop that `owner` gives.
#[inline]
pub(crate) fn send<'py>(
    py: Python<'py>,
    owner: impl FnOnce() -> Option<Bound<'py, Loop>>,
    fd: RawFd,
    data: &[u8],
) -> io::Result<usize> {
    if is_any() {
        number(py, owner, Operation::Send, data.len(), || socket::send(fd, data))
    } else {
        socket::send(fd, data)
    }
}

/// `socket::send_vectored`, for a connection of the loop that `owner` gives.
#[inline]
pub(crate) fn send_vectored<'py>(
    py: Python<'py>,
    owner: impl FnOnce() -> Option<Bound<'py, Loop>>,
    fd: RawFd,
    slices: &[IoSlice<'_>],
) -> io::Result<usize> {
    if is_any() {
        let offered = slices.iter().map(|slice| slice.len()).sum();
        number(py, owner, Operation::Send, offered, || socket::send_vectored(fd, slices))
    } else {
        socket::send_vectored(fd, slices)
    }
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

/// A descriptor in the place of a connection to this address. It is only a number that is nobody else's: the recording
/// speaks for it.
pub(crate) fn open_stand_in(peer: &SocketAddress) -> io::Result<OwnedFd> {
    let made = socket::open(peer, Kind::Stream);
    made.or_else(|_| socket::open(&SocketAddress::Unix(Vec::new()), Kind::Stream))
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
            let Some((length, rest)) = data.and_then(<[u8]>::split_first) else { return false };
            let Some((address, datagram)) = rest.split_at_checked(usize::from(*length)) else { return false };
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

impl Recording {
    /// Receives into a buffer: from the system, or what is recorded.
    pub(crate) fn receive(
        &self,
        py: Python<'_>,
        operation: Operation,
        buffer: &mut [u8],
        real: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if self.is_read(py) {
            return self.give(py, operation, 0, |count, data| match data {
                _ if count == 0 => true,
                Some(data) if data.len() as u64 == count && data.len() <= buffer.len() => {
                    buffer[..data.len()].copy_from_slice(data);
                    true
                }
                Some(_) | None => false,
            });
        }
        let answer = real(buffer);
        let count = *answer.as_ref().unwrap_or(&0);
        self.take(py, operation, 0, &answer, &buffer[..count]);
        answer
    }

    /// The recorded answer; "would block" once the program has left the recording.
    pub(crate) fn give(
        &self,
        py: Python<'_>,
        operation: Operation,
        offered: usize,
        receive: impl FnOnce(u64, Option<&[u8]>) -> bool,
    ) -> io::Result<usize> {
        let answer = self.read(py, |reader| reader.answer(operation, offered as u64, receive)).flatten();
        match answer {
            Some(Ok(number)) => Ok(usize::try_from(number).unwrap_or(usize::MAX)),
            Some(Err(number)) if number != 0 => Err(io::Error::from_raw_os_error(number)),
            Some(Err(_)) | None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Notes the system's answer.
    pub(crate) fn take(
        &self,
        py: Python<'_>,
        operation: Operation,
        offered: usize,
        answer: &io::Result<usize>,
        data: &[u8],
    ) {
        self.state.with(py, |state| {
            let Mode::Writing(writer) = &mut state.mode else { return };
            let answer = match answer {
                Ok(number) => Ok(*number as u64),
                Err(error) => Err(error.raw_os_error().unwrap_or(0)),
            };
            let is_kept = answer.is_ok()
                && (operation == Operation::Accept || (writer.keeps_data && super::operation_is_for_data(operation)));
            let data = if is_kept { data } else { &[] };
            writer.note_with(&Recorded::Answer(operation, offered as u64, answer, is_kept.then_some(data)), data);
        });
    }
}
