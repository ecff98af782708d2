//! The write buffer: chunks that wait to be sent, in order, without being copied together.
//!
//! The length is known without a walk. Finished chunks are moved to a graveyard that the caller owns, because dropping
//! one may run code that writes to the same buffer. A chunk must return the same bytes each time it is read.

use std::collections::VecDeque;
use std::io::IoSlice;

/// A queue of chunks of bytes, of which the first may be sent in part.
#[derive(Debug)]
pub struct WriteBuffer<C> {
    chunks: VecDeque<C>,
    /// How many bytes of the first chunk are sent; zero if there is no chunk.
    offset: usize,
    /// How many bytes are not sent, of all chunks together.
    len: usize,
}

impl<C: AsRef<[u8]>> WriteBuffer<C> {
    /// An empty buffer that has not allocated.
    #[must_use]
    pub const fn new() -> Self {
        Self { chunks: VecDeque::new(), offset: 0, len: 0 }
    }

    /// Reserves space for `count` more chunks; if it returns true, pushing them does not fail.
    #[must_use]
    pub fn try_reserve(&mut self, count: usize) -> bool {
        self.chunks.try_reserve(count).is_ok()
    }

    /// Appends `chunk`. An empty one is skipped when sending; it leaves when those before it do.
    pub fn push(&mut self, chunk: C) {
        self.len += chunk.as_ref().len();
        self.chunks.push_back(chunk);
    }

    /// Records that the first `count` bytes are sent; finished chunks are moved to `graveyard`.
    ///
    /// # Panics
    ///
    /// Panics if there are not that many bytes.
    pub fn advance(&mut self, count: usize, graveyard: &mut Vec<C>) {
        assert!(count <= self.len, "`{count}` bytes sent of `{}`", self.len);
        self.len -= count;
        self.offset += count;
        while let Some(size) = self.chunks.front().map(|first| first.as_ref().len()).filter(|size| *size <= self.offset)
        {
            self.offset -= size;
            graveyard.extend(self.chunks.pop_front());
        }
    }

    /// Takes out all chunks, which are not sent any more. Needs no memory.
    #[must_use = "dropping the chunks here is what this method is there to avoid"]
    pub fn clear(&mut self) -> VecDeque<C> {
        self.len = 0;
        self.offset = 0;
        std::mem::take(&mut self.chunks)
    }

    /// How many bytes are not sent.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether everything is sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes that are not sent, chunk by chunk.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let mut offset = self.offset;
        self.chunks
            .iter()
            .map(move |chunk| &chunk.as_ref()[std::mem::take(&mut offset)..])
            .filter(|slice| !slice.is_empty())
    }

    /// Points `out` at the first bytes that are not sent and returns how many of its elements are used.
    ///
    /// ```
    /// use std::io::IoSlice;
    ///
    /// let mut buffer = ferrio_engine::WriteBuffer::new();
    /// buffer.push("hello");
    /// buffer.push("world");
    /// let mut out = [IoSlice::new(&[]); 8];
    /// let used = buffer.gather(&mut out);
    /// assert_eq!(out[..used].iter().map(|slice| slice.len()).sum::<usize>(), buffer.len());
    /// ```
    #[must_use]
    pub fn gather<'buffer>(&'buffer self, out: &mut [IoSlice<'buffer>]) -> usize {
        let mut used = 0;
        for (place, slice) in out.iter_mut().zip(self.slices()) {
            *place = IoSlice::new(slice);
            used += 1;
        }
        used
    }
}

impl<C: AsRef<[u8]>> Default for WriteBuffer<C> {
    fn default() -> Self {
        Self::new()
    }
}
