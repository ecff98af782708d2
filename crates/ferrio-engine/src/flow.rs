//! Flow control: when a protocol is to stop writing and when it may go on.
//!
//! The rules are those of asyncio's `_FlowControlMixin`: pause above the high water mark, resume at or below the low one, each told
//! once. Calling the protocol is left to the caller.

/// The high water mark if neither mark is given.
const HIGH: usize = 64 * 1024;

/// Water marks and whether the protocol is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowControl {
    high: usize,
    /// Not above `high`.
    low: usize,
    paused: bool,
}

/// What more bytes in the buffer ask for.
#[must_use = "the protocol has to be told"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffered {
    /// Nothing.
    Unchanged,
    /// To call `pause_writing`.
    Pause,
}

/// What fewer bytes in the buffer ask for.
#[must_use = "the protocol has to be told"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Nothing.
    Unchanged,
    /// To call `resume_writing`.
    Resume,
}

impl FlowControl {
    /// The default marks, not paused.
    #[must_use]
    pub const fn new() -> Self {
        Self { high: HIGH, low: HIGH / 4, paused: false }
    }

    /// Sets the marks; the low one is not above the high one.
    ///
    /// The caller asks [`FlowControl::buffered`] afterwards, as `set_write_buffer_limits` does.
    pub fn set_limits(&mut self, low: usize, high: usize) {
        debug_assert!(low <= high, "{low} is above {high}");
        (self.low, self.high) = (low, high);
    }

    /// Takes note that the buffer has grown to `len` bytes.
    pub fn buffered(&mut self, len: usize) -> Buffered {
        if self.paused || len <= self.high {
            return Buffered::Unchanged;
        }
        self.paused = true;
        Buffered::Pause
    }

    /// Takes note that the buffer has shrunk to `len` bytes.
    pub fn drained(&mut self, len: usize) -> Drained {
        if !self.paused || len > self.low {
            return Drained::Unchanged;
        }
        self.paused = false;
        Drained::Resume
    }

    /// The high water mark.
    #[must_use]
    pub const fn high(&self) -> usize {
        self.high
    }

    /// The low water mark.
    #[must_use]
    pub const fn low(&self) -> usize {
        self.low
    }

    /// Whether the protocol was told to stop writing.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.paused
    }
}

impl Default for FlowControl {
    fn default() -> Self {
        Self::new()
    }
}
