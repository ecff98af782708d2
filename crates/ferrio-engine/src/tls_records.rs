//! TLS records in a stream of bytes: where each ends and whether it may carry application data.
//!
//! Only the five bytes before each record are read (RFC 8446, section 5.1): content type, version, length. Nothing is
//! decrypted or kept. Bytes that cannot begin a record end the framing for good; the caller then calls the TLS library
//! until the library needs more bytes.

use std::collections::VecDeque;

/// The longest body that any version allows: 2^14 bytes of plain text and 2048 of expansion (RFC 5246, section 6.2.3).
const LONGEST_BODY: usize = (1 << 14) + 2048;

/// The content types in use: a change of ciphers, an alert, a handshake message, application data.
const CONTENT_TYPES: std::ops::RangeInclusive<u8> = 20..=23;

/// Protected data; from TLS 1.3 on also protected alerts and handshake messages.
const APPLICATION_DATA: u8 = 23;

/// Follows the records of one direction of a connection.
#[derive(Debug, Default)]
pub struct TlsRecords {
    header: [u8; Self::HEADER],
    /// How many bytes of the current record's header have arrived. `HEADER` while its body arrives.
    header_len: usize,
    /// How many bytes of that body are still missing.
    body_left: usize,
    /// Complete records that were not taken.
    complete: VecDeque<TlsRecord>,
    /// Bytes arrived that are not a record.
    unframed: bool,
}

/// A complete record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsRecord {
    /// It may carry application data, fewer bytes than its body has.
    ApplicationData {
        /// Length of the body.
        body: usize,
    },
    /// An alert, a handshake message in the clear or a change of ciphers.
    Other,
}

/// What can be read next.
#[must_use = "a record that was taken is not given again"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextRecord {
    /// This record.
    Complete(TlsRecord),
    /// No complete record.
    Nothing,
    /// Unknown: the stream does not consist of records.
    Unframed,
}

impl TlsRecords {
    /// Bytes before a record's body: content type, version (two), length (two).
    pub const HEADER: usize = 5;

    /// Follows a stream from its first byte.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes that arrived.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.unframed {
            if self.header_len < Self::HEADER {
                bytes = self.feed_header(bytes);
            } else {
                let taken = bytes.len().min(self.body_left);
                self.body_left -= taken;
                bytes = &bytes[taken..];
            }
            if self.header_len == Self::HEADER && self.body_left == 0 {
                self.finish();
            }
        }
    }

    /// Takes the first complete record.
    pub fn take(&mut self) -> NextRecord {
        if self.unframed {
            return NextRecord::Unframed;
        }
        self.complete.pop_front().map_or(NextRecord::Nothing, NextRecord::Complete)
    }

    /// The most bytes of application data in all complete records together; None if one of them may carry something
    /// else.
    #[must_use]
    pub fn max_data(&self) -> Option<usize> {
        if self.unframed {
            return None;
        }
        self.complete.iter().try_fold(0, |sum, record| match record {
            TlsRecord::ApplicationData { body } => Some(sum + body),
            TlsRecord::Other => None,
        })
    }

    /// How many bytes of the current record have arrived; None if other records are complete or the stream is unframed.
    #[must_use]
    pub fn begun(&self) -> Option<usize> {
        if self.unframed || !self.complete.is_empty() {
            return None;
        }
        let body = if self.header_len == Self::HEADER { self.body() - self.body_left } else { 0 };
        Some(self.header_len + body)
    }

    /// Drops the complete records: they were read in another way.
    pub fn forget_complete(&mut self) {
        self.complete.clear();
    }

    fn feed_header<'bytes>(&mut self, bytes: &'bytes [u8]) -> &'bytes [u8] {
        let taken = bytes.len().min(Self::HEADER - self.header_len);
        self.header[self.header_len..self.header_len + taken].copy_from_slice(&bytes[..taken]);
        self.header_len += taken;
        if self.header_len == Self::HEADER {
            let [content_type, major, ..] = self.header;
            self.body_left = self.body();
            self.unframed = !CONTENT_TYPES.contains(&content_type) || major != 3 || self.body_left > LONGEST_BODY;
        }
        &bytes[taken..]
    }

    /// The length of the body, from the header.
    fn body(&self) -> usize {
        let [.., high, low] = self.header;
        usize::from(u16::from_be_bytes([high, low]))
    }

    fn finish(&mut self) {
        self.header_len = 0;
        if self.unframed {
            return;
        }
        self.complete.push_back(match self.header {
            [APPLICATION_DATA, ..] => TlsRecord::ApplicationData { body: self.body() },
            _ => TlsRecord::Other,
        });
    }
}
