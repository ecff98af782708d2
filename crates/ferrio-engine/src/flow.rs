//! Flow control: when a protocol is to stop writing and when it may go on.
//!
//! The rules are those of asyncio's `_FlowControlMixin`: pause above the high water mark, resume at or below the low one, each told
//! once. Calling the protocol is left to the caller.

/// The high water mark if neither mark is given.
const HIGH: i64 = 64 * 1024;

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

/// The marks do not satisfy `high >= low >= 0`, missing ones having been filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidLimits {
    /// The high water mark.
    pub high: i64,
    /// The low water mark.
    pub low: i64,
}

impl FlowControl {
    /// The default marks, not paused.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "a constant that fits")]
    pub const fn new() -> Self {
        Self { high: HIGH as usize, low: HIGH as usize / 4, paused: false }
    }

    /// Sets the marks. A missing high mark is four times the low one, a missing low mark a quarter of the high one.
    ///
    /// The caller asks [`FlowControl::buffered`] afterwards, as `set_write_buffer_limits` does.
    ///
    /// # Errors
    ///
    /// Fails, changing nothing, unless `high >= low >= 0`.
    pub fn set_limits(&mut self, high: Option<i64>, low: Option<i64>) -> Result<(), InvalidLimits> {
        let high = high.unwrap_or_else(|| low.map_or(HIGH, |low| low.saturating_mul(4)));
        // Python's floor division.
        let low = low.unwrap_or_else(|| high.div_euclid(4));
        if high < low {
            return Err(InvalidLimits { high, low });
        }
        match (usize::try_from(high), usize::try_from(low)) {
            (Ok(high), Ok(low)) => (self.high, self.low) = (high, low),
            _ => return Err(InvalidLimits { high, low }),
        }
        Ok(())
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
