//! The states of a connection: how far its life has come, and what its socket has to read.

/// The life of a connection, from the registration of its socket to `connection_lost`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifecycle {
    /// `connection_made` is queued or running; nothing is read yet.
    Starting,
    /// Open for reading and writing.
    Open,
    /// `close()` was called: nothing more is read, and the write buffer drains.
    Closing,
    /// `connection_lost` is queued or was called; this many writes were dropped since.
    Lost { dropped_writes: u32 },
}

impl Lifecycle {
    /// Whether neither `close()` was called nor the connection lost.
    #[inline]
    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::Starting | Self::Open)
    }

    /// What `is_closing()` returns.
    #[inline]
    pub(crate) fn is_closing(self) -> bool {
        !self.is_open()
    }

    #[inline]
    pub(crate) fn is_lost(self) -> bool {
        matches!(self, Self::Lost { .. })
    }

    /// asyncio's `_conn_lost`: 0 before the loss, then 1 and one more for each dropped write.
    pub(crate) fn conn_lost(self) -> u32 {
        if let Self::Lost { dropped_writes } = self { dropped_writes.saturating_add(1) } else { 0 }
    }

    /// Reading may begin, unless the connection was closed before.
    pub(super) fn start(&mut self) {
        if *self == Self::Starting {
            *self = Self::Open;
        }
    }

    /// `connection_lost` is about to be queued or called.
    pub(super) fn transition_to_lost(&mut self) {
        *self = Self::Lost { dropped_writes: 0 };
    }

    /// Counts a write that came too late.
    pub(super) fn drop_write(&mut self) {
        if let Self::Lost { dropped_writes } = self {
            *dropped_writes = dropped_writes.saturating_add(1);
        }
    }
}

/// What the socket has to read, as far as edges of the poller and receives have shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// Nothing until the next edge.
    Drained,
    /// Perhaps something, which no further edge reports.
    Readable,
    /// The same, and the peer hung up: a short read does not mean that nothing follows.
    HungUp,
    /// End of file was read, and the protocol keeps the connection half-open.
    Ended,
}

impl Input {
    /// An edge: whether the socket is readable, and whether the peer hung up or the connection broke.
    #[inline]
    pub(super) fn note_edge(&mut self, readable: bool, hung_up: bool) {
        *self = match (*self, readable, hung_up) {
            (Self::Ended, ..) => Self::Ended,
            (Self::HungUp, ..) | (_, _, true) => Self::HungUp,
            (_, true, false) => Self::Readable,
            (unchanged, false, false) => unchanged,
        };
    }

    /// A receive brought data, and filled all the space it had or not. True if there may be more.
    #[inline]
    pub(super) fn note_data(&mut self, filled: bool) -> bool {
        match self {
            Self::HungUp => true,
            Self::Ended => false,
            Self::Drained | Self::Readable => {
                *self = if filled { Self::Readable } else { Self::Drained };
                filled
            }
        }
    }

    /// A receive found nothing, or end of file.
    pub(super) fn note_drained(&mut self) {
        if *self != Self::Ended {
            *self = Self::Drained;
        }
    }

    /// Whether a receive may find something.
    #[inline]
    pub(super) fn may_read(self) -> bool {
        matches!(self, Self::Readable | Self::HungUp)
    }
}
