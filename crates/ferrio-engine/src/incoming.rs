//! The bytes that a stream reader has received, and the search for the end of a message in them.
//!
//! Bytes are appended at the end and taken from the front, without moving the rest. Invariant: `start` never passes the
//! end, and an empty buffer starts at 0. The reader handles waiting, end of file and errors; this file decides only
//! which message the bytes received so far contain.

use memchr::memchr;
use memchr::memmem::Finder;

/// Received bytes that were not read yet.
#[derive(Debug, Default)]
pub struct Incoming {
    bytes: Vec<u8>,
    start: usize,
}

impl Incoming {
    /// An empty buffer.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), start: 0 }
    }

    /// How many bytes there are.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Whether it is empty.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All bytes.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Appends `data`; returns false, with nothing changed, if there is no memory for it.
    #[inline]
    #[must_use]
    pub fn push(&mut self, data: &[u8]) -> bool {
        // Moving pays once more bytes are dead than alive: each byte then moves at most once on average.
        if self.start > self.len() && self.bytes.capacity() - self.bytes.len() < data.len() {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        if self.bytes.capacity() - self.bytes.len() < data.len() && !self.grow(data.len()) {
            return false;
        }
        self.bytes.extend_from_slice(data);
        true
    }

    /// Doubling the memory may fail where growing by an eighth succeeds.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, additional: usize) -> bool {
        self.bytes.try_reserve(additional).is_ok()
            || self.bytes.try_reserve_exact(additional.saturating_add(self.bytes.len() / 8)).is_ok()
            || self.bytes.try_reserve_exact(additional).is_ok()
    }

    /// Takes `count` bytes, or as many as there are, from the front and passes them to `look`.
    #[inline]
    pub fn take<R>(&mut self, count: usize, look: impl FnOnce(&[u8]) -> R) -> R {
        let end = self.start + count.min(self.len());
        let outcome = look(&self.bytes[self.start..end]);
        self.start = end;
        if self.is_empty() {
            self.clear();
        }
        outcome
    }

    /// As `take`, but takes nothing if `look` fails.
    ///
    /// # Errors
    /// The error of `look`.
    #[inline]
    pub fn try_take<R, E>(&mut self, count: usize, look: impl FnOnce(&[u8]) -> Result<R, E>) -> Result<R, E> {
        let end = self.start + count.min(self.len());
        let outcome = look(&self.bytes[self.start..end])?;
        self.start = end;
        if self.is_empty() {
            self.clear();
        }
        Ok(outcome)
    }

    /// Drops all bytes, and frees the memory: most connections are idle most of the time, and allocating it again costs
    /// a hundredth of a receive.
    #[inline]
    pub fn clear(&mut self) {
        *self = Self::new();
    }
}

/// The separators to search for: one or several.
#[derive(Debug)]
pub struct Separators {
    /// Sorted by length, shortest first.
    finders: Vec<Separator>,
    shortest: usize,
    longest: usize,
}

#[derive(Debug)]
enum Separator {
    Byte(u8),
    Bytes(Box<Finder<'static>>),
}

impl Separator {
    fn len(&self) -> usize {
        match self {
            Self::Byte(_) => 1,
            Self::Bytes(finder) => finder.needle().len(),
        }
    }

    fn find(&self, text: &[u8]) -> Option<usize> {
        match self {
            Self::Byte(byte) => memchr(*byte, text),
            Self::Bytes(finder) => finder.find(text),
        }
    }
}

impl Separators {
    /// None if there is no separator, or an empty one.
    #[must_use]
    pub fn new<'a>(separators: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let mut finders: Vec<_> = separators
            .into_iter()
            .map(|separator| match separator {
                [byte] => Separator::Byte(*byte),
                bytes => Separator::Bytes(Box::new(Finder::new(bytes).into_owned())),
            })
            .collect();
        finders.sort_by_key(Separator::len);
        let shortest = finders.first().map_or(0, Separator::len);
        let longest = finders.last().map_or(0, Separator::len);
        (shortest > 0).then_some(Self { finders, shortest, longest })
    }
}

/// The result of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Found {
    /// A message of `length` bytes, its separator included.
    Message {
        /// The length of the message in bytes.
        length: usize,
    },
    /// No message yet.
    Nothing,
    /// A separator, but the message is longer than the limit.
    TooLong {
        /// The offset at which the separator begins.
        consumed: usize,
    },
    /// No separator in more bytes than the limit allows.
    Overrun {
        /// How many bytes certainly do not contain the beginning of a separator.
        consumed: usize,
    },
}

/// Searches for the end of a message; does not search the same bytes twice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Search {
    /// No separator begins before this offset.
    offset: usize,
}

impl Search {
    /// Searches the bytes received so far. The message that ends first wins; of those, the shortest separator.
    #[inline]
    pub fn advance(&mut self, text: &[u8], separators: &Separators, limit: usize) -> Found {
        if text.len() < self.offset + separators.shortest {
            return Found::Nothing;
        }
        let mut first: Option<(usize, usize)> = None;
        for separator in &separators.finders {
            // A match that ends after the best one cannot win.
            let end = first.map_or(text.len(), |(_, end)| end);
            if let Some(place) = text.get(self.offset..end).and_then(|part| separator.find(part)) {
                let start = self.offset + place;
                let end = start + separator.len();
                if first.is_none_or(|(_, best)| end < best) {
                    first = Some((start, end));
                }
            }
        }
        match first {
            Some((start, _)) if start > limit => Found::TooLong { consumed: start },
            Some((_, end)) => Found::Message { length: end },
            None => {
                self.offset = (text.len() + 1).saturating_sub(separators.longest);
                if self.offset > limit { Found::Overrun { consumed: self.offset } } else { Found::Nothing }
            }
        }
    }
}

impl Search {
    /// `advance` for a single byte.
    #[inline]
    pub fn advance_to_byte(&mut self, text: &[u8], separator: u8, limit: usize) -> Found {
        match text.get(self.offset..).and_then(|tail| memchr(separator, tail)).map(|place| self.offset + place) {
            Some(start) if start > limit => Found::TooLong { consumed: start },
            Some(start) => Found::Message { length: start + 1 },
            None if text.len() <= self.offset => Found::Nothing,
            None => {
                self.offset = text.len();
                if self.offset > limit { Found::Overrun { consumed: self.offset } } else { Found::Nothing }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What `asyncio.StreamReader.readuntil` does with all received bytes.
    fn naive(text: &[u8], offset: &mut usize, separators: &[Vec<u8>], limit: usize) -> Found {
        let mut sorted: Vec<_> = separators.to_vec();
        sorted.sort_by_key(Vec::len);
        let mut first = None;
        if text.len() < *offset + sorted[0].len() {
            return Found::Nothing;
        }
        for separator in &sorted {
            let place = text[*offset..].windows(separator.len()).position(|candidate| candidate == separator);
            if let Some(place) = place {
                let start = *offset + place;
                let end = start + separator.len();
                if first.is_none_or(|(_, best)| end < best) {
                    first = Some((start, end));
                }
            }
        }
        match first {
            Some((start, _)) if start > limit => Found::TooLong { consumed: start },
            Some((_, end)) => Found::Message { length: end },
            None => {
                *offset = (text.len() + 1).saturating_sub(sorted[sorted.len() - 1].len());
                if *offset > limit { Found::Overrun { consumed: *offset } } else { Found::Nothing }
            }
        }
    }

    fn letters(size: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(b'a'..=b'c', size)
    }

    proptest! {
        #[test]
        fn a_search_in_pieces_finds_what_a_naive_one_does(
            pieces in prop::collection::vec(letters(0..12), 0..12),
            separators in prop::collection::vec(letters(1..4), 1..4),
            limit in 1_usize..40,
        ) {
            let prepared = Separators::new(separators.iter().map(Vec::as_slice)).expect("none is empty");
            let (mut search, mut offset) = (Search::default(), 0);
            let mut incoming = Incoming::new();
            for piece in pieces {
                assert!(incoming.push(&piece));
                let found = search.advance(incoming.as_slice(), &prepared, limit);
                prop_assert_eq!(found, naive(incoming.as_slice(), &mut offset, &separators, limit));
                match found {
                    Found::Nothing => {}
                    Found::Message { length } => {
                        incoming.take(length, |_| ());
                        (search, offset) = (Search::default(), 0);
                    }
                    Found::TooLong { .. } | Found::Overrun { .. } => {
                        incoming.clear();
                        (search, offset) = (Search::default(), 0);
                    }
                }
            }
        }

        #[test]
        fn bytes_leave_in_the_order_in_which_they_came(
            steps in prop::collection::vec((letters(0..300), 0_usize..300), 0..60),
        ) {
            let (mut incoming, mut model) = (Incoming::new(), Vec::new());
            for (data, count) in steps {
                assert!(incoming.push(&data));
                model.extend_from_slice(&data);
                let expected: Vec<u8> = model.drain(..count.min(model.len())).collect();
                prop_assert_eq!(incoming.take(count, <[u8]>::to_vec), expected);
                prop_assert_eq!(incoming.as_slice(), model.as_slice());
            }
        }
    }

    #[test]
    fn an_empty_separator_is_none() {
        assert!(Separators::new([]).is_none());
        assert!(Separators::new([&b""[..], b"a"]).is_none());
    }
}
