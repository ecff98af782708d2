//! One choice of a schedule, and what its alternatives rely on.

/// What makes an alternative legal, from the weakest to the strongest assumption about the surroundings of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Freedom {
    /// When the outcome of another thread's work lands, and in which order.
    Arrival,
    /// How far the clock has come: which timers share a turn.
    Stall,
    /// The order of timers with equal deadlines.
    Tie,
    /// The order in which a set of tasks is iterated.
    Set,
    /// A sleep stands for I/O of unknown length.
    Latency,
    /// Any callback that is ready may run next. No loop does this.
    Any,
}

impl Freedom {
    /// All of them, the weakest first.
    pub const ALL: [Self; 6] = [Self::Arrival, Self::Stall, Self::Tie, Self::Set, Self::Latency, Self::Any];

    /// A short name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Arrival => "arrival",
            Self::Stall => "stall",
            Self::Tie => "tie",
            Self::Set => "set",
            Self::Latency => "latency",
            Self::Any => "any",
        }
    }
}

/// A set of freedoms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freedoms(u8);

impl Freedoms {
    /// No freedom at all: the one undisturbed schedule.
    pub const NONE: Self = Self(0);

    /// The set with `freedom`.
    #[must_use]
    pub const fn with(self, freedom: Freedom) -> Self {
        Self(self.0 | 1 << freedom as u8)
    }

    /// Whether `freedom` is in the set.
    #[must_use]
    pub const fn contain(self, freedom: Freedom) -> bool {
        self.0 & 1 << freedom as u8 != 0
    }
}

/// A choice that a run made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What the alternatives rely on.
    pub freedom: Freedom,
    /// The alternative taken; 0 is the undisturbed one.
    pub taken: u8,
    /// How many alternatives there were, at least two.
    pub alternatives: u8,
    /// How much an alternative other than 0 counts: the search tries cheap schedules first.
    pub cost: u8,
}

impl Choice {
    /// What the choice that was taken adds to the cost of the schedule.
    #[must_use]
    pub const fn cost_taken(&self) -> usize {
        if self.taken == 0 { 0 } else { self.cost as usize }
    }
}
