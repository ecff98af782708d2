//! `Writer`: appends entries to the file of a recording.
//!
//! What is to be written is kept until there is much of it or the loop is about to sleep. Nothing is written beyond the
//! limit, after an error, or in a child made by `fork`, which shares the file with its parent.

use std::collections::HashMap;
use std::io;
use std::os::fd::RawFd;

use ferrio_engine::{Encoder, Ending, Recorded};
use ferrio_sys::{file, fork};

/// So much is kept before it is written.
const CHUNK: usize = 64 * 1024;

pub(super) struct Writer {
    fd: RawFd,
    encoder: Encoder,
    kept: Vec<u8>,
    /// How many bytes may still be written.
    left: usize,
    pub(super) keeps_data: bool,
    is_over: bool,
    failure: Option<i32>,
    generation: u32,
    /// The number of the last registration of each descriptor.
    pub(super) registrations: HashMap<RawFd, u64>,
}

impl Writer {
    pub(super) fn new(fd: RawFd, limit: usize, keeps_data: bool) -> Self {
        Self {
            fd,
            encoder: Encoder::default(),
            kept: Vec::new(),
            left: limit,
            keeps_data,
            is_over: false,
            failure: None,
            generation: fork::generation(),
            registrations: HashMap::new(),
        }
    }

    /// Whether nothing more is written.
    pub(super) fn is_over(&self) -> bool {
        self.is_over || self.generation != fork::generation()
    }

    /// The error that has ended it, told once.
    pub(super) fn take_failure(&mut self) -> Option<i32> {
        self.failure.take()
    }

    pub(super) fn note(&mut self, entry: &Recorded<'_>) {
        self.note_with(entry, &[]);
    }

    /// Notes an entry and the data that belongs to it.
    pub(super) fn note_with(&mut self, entry: &Recorded<'_>, data: &[u8]) {
        if self.is_over() {
            return;
        }
        let before = self.kept.len();
        if !self.encoder.encode(entry, &mut self.kept) || self.kept.try_reserve(data.len()).is_err() {
            self.kept.truncate(before);
            self.end(Ending::Limit);
            return;
        }
        self.kept.extend_from_slice(data);
        let length = self.kept.len() - before;
        if length > self.left {
            self.kept.truncate(before);
            self.end(Ending::Limit);
            return;
        }
        self.left -= length;
        if self.kept.len() >= CHUNK {
            self.flush();
        }
    }

    pub(super) fn end(&mut self, ending: Ending) {
        if self.is_over() {
            return;
        }
        if self.encoder.encode(&Recorded::End(ending), &mut self.kept) {
            self.flush();
        }
        self.is_over = true;
        self.kept = Vec::new();
    }

    /// Writes what is kept.
    pub(super) fn flush(&mut self) {
        if self.is_over() {
            return;
        }
        let mut written = 0;
        while written < self.kept.len() {
            match file::write(self.fd, &self.kept[written..]) {
                Ok(count) if count > 0 => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => {
                    let error = outcome.err().unwrap_or_else(|| io::ErrorKind::WriteZero.into());
                    // ENOSPC, where the system gave no reason.
                    self.failure = Some(error.raw_os_error().unwrap_or(28));
                    self.is_over = true;
                    self.kept = Vec::new();
                    return;
                }
            }
        }
        self.kept.clear();
    }
}
