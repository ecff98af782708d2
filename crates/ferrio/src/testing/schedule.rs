//! A schedule: the choices by which a run is repeated, as a text too.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use ferrio_engine::{Choice, Freedom, Freedoms};

/// Which schedules are legal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Those that ferrio's runtime can have: the results of calls in threads come at any time and in any order, and the
    /// loop may look at the clock late.
    #[default]
    Loop,
    /// Besides, timers with equal deadlines fire in any order.
    Contract,
    /// Besides, any task that is ready runs next, as other runtimes may choose.
    Any,
}

impl Order {
    const ALL: [(Self, &'static str); 3] = [(Self::Loop, "loop"), (Self::Contract, "contract"), (Self::Any, "any")];

    pub(super) fn freedoms(self, stall: Duration) -> Freedoms {
        let mut freedoms = Freedoms::NONE.with(Freedom::Arrival);
        if !stall.is_zero() {
            freedoms = freedoms.with(Freedom::Stall);
        }
        match self {
            Self::Loop => freedoms,
            Self::Contract => freedoms.with(Freedom::Tie),
            Self::Any => freedoms.with(Freedom::Tie).with(Freedom::Any),
        }
    }

    fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// The choices of a run. As a text it can be written into a test.
///
/// ```
/// use ferrio::testing::Schedule;
///
/// let schedule: Schedule = "loop:5000000:0.2.1".parse()?;
/// assert_eq!(schedule.to_string(), "loop:5000000:0.2.1");
/// # Ok::<(), ferrio::testing::ParseScheduleError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub(super) order: Order,
    pub(super) stall: Duration,
    /// The alternatives that were taken; from there on all are the undisturbed ones.
    pub(super) taken: Vec<u8>,
}

impl Schedule {
    pub(super) fn of(order: Order, stall: Duration, log: &[Choice]) -> Self {
        let mut taken: Vec<u8> = log.iter().map(|choice| choice.taken).collect();
        while taken.pop_if(|last| *last == 0).is_some() {}
        Self { order, stall, taken }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:", self.order.name(), self.stall.as_nanos())?;
        for (index, taken) in self.taken.iter().enumerate() {
            write!(formatter, "{}{taken}", if index == 0 { "" } else { "." })?;
        }
        Ok(())
    }
}

/// A text is no [`Schedule`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseScheduleError;

impl fmt::Display for ParseScheduleError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a schedule is written as `loop:5000000:0.2.1`: order, nanoseconds, choices")
    }
}

impl std::error::Error for ParseScheduleError {}

impl FromStr for Schedule {
    type Err = ParseScheduleError;

    fn from_str(text: &str) -> Result<Self, ParseScheduleError> {
        let parts: Vec<&str> = text.split(':').collect();
        let [name, stall, taken] = parts[..] else { return Err(ParseScheduleError) };
        let order = Order::ALL.into_iter().find(|(_, known)| *known == name).ok_or(ParseScheduleError)?.0;
        let stall = Duration::from_nanos(stall.parse().map_err(|_| ParseScheduleError)?);
        let taken = if taken.is_empty() {
            Vec::new()
        } else {
            taken.split('.').map(str::parse).collect::<Result<_, _>>().map_err(|_| ParseScheduleError)?
        };
        Ok(Self { order, stall, taken })
    }
}
