//! What a poller is asked for: the directions to report, when to report them, and what to change for a descriptor.

use std::ops::BitOr;

/// The directions that a poller watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest(u8);

impl Interest {
    /// No direction.
    pub const NONE: Self = Self(0);
    /// Something can be read, or a connection accepted.
    pub const READABLE: Self = Self(1);
    /// Something can be written, or a connection is made.
    pub const WRITABLE: Self = Self(2);
    /// Both directions.
    pub const BOTH: Self = Self(3);

    /// Whether it includes all directions of `other`.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Without the directions of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether it includes no direction.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Interest {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// When a poller reports a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// In each wait, as long as it is ready.
    Level,
    /// Once, when it becomes ready.
    Edge,
    /// Once; then not until it is armed again.
    Once,
}

/// What a poller is to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollerEntry {
    /// Returned with each event; see [`Registrations::lookup`](crate::Registrations::lookup).
    pub token: u64,
    /// The directions to report.
    pub interest: Interest,
    /// When to report them.
    pub trigger: Trigger,
}

/// What the caller has to change at the poller for a descriptor.
#[must_use = "the poller has to be told"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing: the poller already watches what is needed.
    None,
    /// Begin to watch it.
    Add(PollerEntry),
    /// Watch it differently. If the poller does not know it, because it was closed without a removal, begin to watch
    /// it.
    Modify(PollerEntry),
    /// Stop watching it. It is no error if the poller does not know it.
    Remove,
}
