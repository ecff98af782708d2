//! One client of the listener: reads a line, waits for the answer, writes it, and closes.
//!
//! Invariant: a client holds at most [`LONGEST_REQUEST`] bytes of a request, and none lives without a deadline.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

/// The longest line that a client may send.
const LONGEST_REQUEST: usize = 64 * 1024;

/// How long a client may take to send its request, or to read a part of the answer.
const TO_TRANSFER: Duration = Duration::from_secs(5);

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    stream: UnixStream,
    pub(super) number: u64,
    stage: Stage,
    deadline: Instant,
}

#[derive(Debug)]
enum Stage {
    /// The part of the request that has come.
    Reading(Vec<u8>),
    /// For the collector, since then.
    Waiting(Instant),
    Writing {
        bytes: Vec<u8>,
        sent: usize,
    },
}

/// What became of a client.
#[must_use]
#[derive(Debug)]
pub(super) enum Outcome {
    /// It goes on.
    Stays,
    /// Its line has come, without the end of the line.
    Asks(Vec<u8>),
    /// It is done, has gone or was too slow.
    Leaves,
}

impl Client {
    pub(super) fn new(stream: UnixStream, number: u64, now: Instant) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, number, stage: Stage::Reading(Vec::new()), deadline: now + TO_TRANSFER })
    }

    /// What to poll for. The system reports a hang-up in any case.
    pub(super) fn interest(&self) -> PollFlags {
        match self.stage {
            Stage::Reading(_) => PollFlags::IN,
            Stage::Waiting(_) => PollFlags::empty(),
            Stage::Writing { .. } => PollFlags::OUT,
        }
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Since when it waits for the collector.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        match self.stage {
            Stage::Waiting(since) => Some(since),
            Stage::Reading(_) | Stage::Writing { .. } => None,
        }
    }

    /// Waits for the collector; looks again at `deadline`.
    pub(super) fn wait(&mut self, since: Instant, deadline: Instant) {
        self.stage = Stage::Waiting(since);
        self.deadline = deadline;
    }

    /// Gives it the answer.
    pub(super) fn answer(&mut self, mut bytes: Vec<u8>, now: Instant) -> Outcome {
        bytes.push(b'\n');
        self.stage = Stage::Writing { bytes, sent: 0 };
        self.deadline = now + TO_TRANSFER;
        self.write(now)
    }

    /// Its descriptor is ready.
    pub(super) fn handle_ready(&mut self, readiness: PollFlags, now: Instant) -> Outcome {
        match &self.stage {
            Stage::Reading(_) => self.read(),
            Stage::Waiting(_) if readiness.is_empty() => Outcome::Stays,
            Stage::Waiting(_) => Outcome::Leaves,
            Stage::Writing { .. } => self.write(now),
        }
    }

    fn read(&mut self) -> Outcome {
        let Stage::Reading(request) = &mut self.stage else { return Outcome::Stays };
        let mut part = [0; 4096];
        match self.stream.read(&mut part) {
            Ok(0) => Outcome::Leaves,
            Ok(count) => {
                request.extend_from_slice(&part[..count]);
                match request.iter().position(|byte| *byte == b'\n') {
                    Some(end) => {
                        request.truncate(end);
                        Outcome::Asks(std::mem::take(request))
                    }
                    None if request.len() > LONGEST_REQUEST => Outcome::Leaves,
                    None => Outcome::Stays,
                }
            }
            Err(error) => on_error(&error),
        }
    }

    fn write(&mut self, now: Instant) -> Outcome {
        let Stage::Writing { bytes, sent } = &mut self.stage else { return Outcome::Stays };
        match self.stream.write(&bytes[*sent..]) {
            Ok(0) => Outcome::Leaves,
            Ok(count) => {
                *sent += count;
                self.deadline = now + TO_TRANSFER;
                if *sent == bytes.len() { Outcome::Leaves } else { Outcome::Stays }
            }
            Err(error) => on_error(&error),
        }
    }
}

fn on_error(error: &io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Outcome::Stays,
        _ => Outcome::Leaves,
    }
}
