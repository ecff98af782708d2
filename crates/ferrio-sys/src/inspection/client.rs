//! One client of the listener: reads a line, waits for the answer, writes it, and closes.
//!
//! Invariant: a client holds at most [`LONGEST_REQUEST`] bytes of a request, and none lives without a deadline but those that
//! watch and have read all there is.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

/// The longest line that a client may send.
const LONGEST_REQUEST: usize = 64 * 1024;

/// How many bytes of reports wait for a client that watches.
const MOST_UNREAD: usize = 1 << 20;

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
    /// Gets the reports as they come, for as long as it stays.
    Watching {
        bytes: Vec<u8>,
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
        match &self.stage {
            Stage::Reading(_) => PollFlags::IN,
            Stage::Waiting(_) => PollFlags::empty(),
            Stage::Writing { .. } => PollFlags::OUT,
            // What it sends is of no interest, but that it has closed is.
            Stage::Watching { bytes } if bytes.is_empty() => PollFlags::IN,
            Stage::Watching { .. } => PollFlags::IN | PollFlags::OUT,
        }
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// When to look at it again; None for as long as it likes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Watching { bytes } if bytes.is_empty() => None,
            Stage::Reading(_) | Stage::Waiting(_) | Stage::Writing { .. } | Stage::Watching { .. } => {
                Some(self.deadline)
            }
        }
    }

    /// Whether it gets the reports.
    pub(super) fn watches(&self) -> bool {
        matches!(self.stage, Stage::Watching { .. })
    }

    /// Gives it the reports from now on, after a first line.
    pub(super) fn watch(&mut self, first: &[u8], now: Instant) -> Outcome {
        self.stage = Stage::Watching { bytes: Vec::new() };
        self.report(first, now)
    }

    /// Sends it a line. It leaves if it is too slow.
    pub(super) fn report(&mut self, report: &[u8], now: Instant) -> Outcome {
        let Stage::Watching { bytes } = &mut self.stage else { return Outcome::Stays };
        if bytes.len() + report.len() > MOST_UNREAD {
            return Outcome::Leaves;
        }
        if bytes.is_empty() {
            self.deadline = now + TO_TRANSFER;
        }
        bytes.extend_from_slice(report);
        bytes.push(b'\n');
        self.write_reports(now)
    }

    fn write_reports(&mut self, now: Instant) -> Outcome {
        let Stage::Watching { bytes } = &mut self.stage else { return Outcome::Stays };
        match self.stream.write(bytes) {
            Ok(0) => Outcome::Leaves,
            Ok(count) => {
                bytes.drain(..count);
                self.deadline = now + TO_TRANSFER;
                Outcome::Stays
            }
            Err(error) => on_error(&error),
        }
    }

    /// A client that watches sends nothing more; it leaves by closing.
    fn handle_watching(&mut self, readiness: PollFlags, now: Instant) -> Outcome {
        if readiness.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            return match self.stream.read(&mut [0; 64]) {
                Ok(0) => Outcome::Leaves,
                Ok(_) => Outcome::Stays,
                Err(error) => on_error(&error),
            };
        }
        self.write_reports(now)
    }

    /// Since when it waits for the collector.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        match self.stage {
            Stage::Waiting(since) => Some(since),
            Stage::Reading(_) | Stage::Writing { .. } | Stage::Watching { .. } => None,
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
            Stage::Watching { .. } => self.handle_watching(readiness, now),
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
