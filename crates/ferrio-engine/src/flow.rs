//! Flow control: when a protocol must stop writing and when it may resume.
//!
//! The rules are those of asyncio's `_FlowControlMixin`: pause above the high water mark, resume at or below the low
//! one, each reported once. The caller calls the protocol.

/// The high water mark if neither mark is given.
const HIGH: usize = 64 * 1024;

/// Water marks and whether the protocol is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowControl {
    high: usize,
    /// Not above `high`.
    low: usize,
    paused: bool,
    /// When the protocol was paused, if the caller has said it; else 0.
    paused_at: u64,
}

/// What to do after the buffer has grown.
#[must_use = "the protocol has to be told"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffered {
    /// Nothing.
    Unchanged,
    /// Call `pause_writing`.
    Pause,
}

/// What to do after the buffer has shrunk.
#[must_use = "the protocol has to be told"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Nothing.
    Unchanged,
    /// Call `resume_writing`.
    Resume,
}

impl FlowControl {
    /// The default marks, not paused.
    #[must_use]
    pub const fn new() -> Self {
        Self { high: HIGH, low: HIGH / 4, paused: false, paused_at: 0 }
    }

    /// Sets the marks; the low one must not be above the high one.
    ///
    /// The caller calls [`FlowControl::buffered`] afterwards, as `set_write_buffer_limits` does.
    pub fn set_limits(&mut self, low: usize, high: usize) {
        debug_assert!(low <= high, "{low} is above {high}");
        (self.low, self.high) = (low, high);
    }

    /// Records that the buffer has grown to `len` bytes.
    pub fn buffered(&mut self, len: usize) -> Buffered {
        if self.paused || len <= self.high {
            return Buffered::Unchanged;
        }
        self.paused = true;
        Buffered::Pause
    }

    /// Records that the buffer has shrunk to `len` bytes.
    pub fn drained(&mut self, len: usize) -> Drained {
        if !self.paused || len > self.low {
            return Drained::Unchanged;
        }
        self.paused = false;
        self.paused_at = 0;
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

    /// Whether the protocol is paused.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    /// Notes the instant at which the protocol was paused.
    pub fn note_pause(&mut self, instant: u64) {
        self.paused_at = instant;
    }

    /// When the protocol was paused, 0 if nobody has noted it; None while it is not.
    #[must_use]
    pub const fn paused_since(&self) -> Option<u64> {
        if self.paused { Some(self.paused_at) } else { None }
    }
}

impl Default for FlowControl {
    fn default() -> Self {
        Self::new()
    }
}
