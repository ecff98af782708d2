//! The policy that decides whether a loop polls for work a moment longer before it sleeps.
//!
//! Falling asleep and being woken by another thread takes the system several microseconds on either side. Where threads
//! and a loop pass work back and forth, the next item comes sooner than that, so after a sleep that another thread
//! ended quickly the next one begins with a spin. One spin in vain ends this until the next such sleep: a loop that
//! waits for the network or for time never spins, and neither does one that has no processor to spare.

/// A sleep that another thread ended within this time, in nanoseconds, makes the next one begin with a spin.
const QUICK: u64 = 60_000;

/// How long to spin, in nanoseconds.
const LOOK: u64 = 25_000;

/// What the last sleep showed.
#[derive(Clone, Debug)]
pub struct SpinPolicy {
    possible: bool,
    looking: bool,
}

impl SpinPolicy {
    /// A policy for a machine with that many processors.
    #[must_use]
    pub const fn new(processors: usize) -> Self {
        Self { possible: processors > 1, looking: false }
    }

    /// How many nanoseconds to spin before a sleep of at most `timeout` nanoseconds.
    #[must_use]
    pub fn time(&self, timeout: Option<u64>) -> u64 {
        let worthwhile = self.possible && self.looking && timeout.is_none_or(|timeout| timeout > LOOK);
        if worthwhile { LOOK } else { 0 }
    }

    /// Records a sleep that lasted so many nanoseconds; `called` is whether another thread ended it.
    pub const fn rested(&mut self, nanoseconds: u64, called: bool) {
        let limit = if self.looking { LOOK } else { QUICK };
        self.looking = called && nanoseconds <= limit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_call_makes_the_next_rest_look_and_one_in_vain_ends_it() {
        let mut policy = SpinPolicy::new(2);
        assert_eq!(policy.time(None), 0);
        policy.rested(10_000, true);
        assert_eq!(policy.time(None), LOOK);
        policy.rested(5_000, true);
        assert_eq!(policy.time(None), LOOK);
        policy.rested(40_000, true);
        assert_eq!(policy.time(None), 0);
    }

    #[test]
    fn a_short_sleep_one_processor_or_the_network_never_look() {
        let mut policy = SpinPolicy::new(2);
        policy.rested(10_000, true);
        assert_eq!(policy.time(Some(LOOK)), 0);
        policy.rested(10_000, false);
        assert_eq!(policy.time(None), 0);
        let mut single = SpinPolicy::new(1);
        single.rested(10_000, true);
        assert_eq!(single.time(None), 0);
    }
}
