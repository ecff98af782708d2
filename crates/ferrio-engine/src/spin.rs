//! The policy that decides whether a loop polls for work a moment longer before it sleeps.
//!
//! Falling asleep and being woken by another thread takes the system several microseconds on either side. Where threads
//! and a loop pass work back and forth, the next item comes sooner than that, so after a sleep that another thread
//! ended quickly the next one begins with a spin. One spin in vain ends this until the next such sleep: a loop that
//! waits for the network or for time never spins, and neither does one that has no processor to spare.

/// A sleep that another thread ended within this time, in nanoseconds, makes the next one begin with a spin.
const QUICK_WAKE: u64 = 60_000;

/// How long to spin, in nanoseconds.
const SPIN_TIME: u64 = 25_000;

/// What the last sleep showed.
#[derive(Clone, Debug)]
pub struct SpinPolicy {
    possible: bool,
    spins_next: bool,
}

impl SpinPolicy {
    /// A policy for a machine with that many processors.
    #[must_use]
    pub const fn new(processors: usize) -> Self {
        Self { possible: processors > 1, spins_next: false }
    }

    /// How many nanoseconds to spin before a sleep of at most `timeout` nanoseconds.
    #[must_use]
    pub fn time(&self, timeout: Option<u64>) -> u64 {
        let worthwhile = self.possible && self.spins_next && timeout.is_none_or(|timeout| timeout > SPIN_TIME);
        if worthwhile { SPIN_TIME } else { 0 }
    }

    /// Records a sleep that lasted so many nanoseconds; `called` is whether another thread ended it.
    pub const fn record_sleep(&mut self, nanoseconds: u64, called: bool) {
        let limit = if self.spins_next { SPIN_TIME } else { QUICK_WAKE };
        self.spins_next = called && nanoseconds <= limit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_wake_makes_the_next_sleep_spin_and_one_spin_in_vain_ends_it() {
        let mut policy = SpinPolicy::new(2);
        assert_eq!(policy.time(None), 0);
        policy.record_sleep(10_000, true);
        assert_eq!(policy.time(None), SPIN_TIME);
        policy.record_sleep(5_000, true);
        assert_eq!(policy.time(None), SPIN_TIME);
        policy.record_sleep(40_000, true);
        assert_eq!(policy.time(None), 0);
    }

    #[test]
    fn a_short_sleep_one_processor_or_the_network_never_spin() {
        let mut policy = SpinPolicy::new(2);
        policy.record_sleep(10_000, true);
        assert_eq!(policy.time(Some(SPIN_TIME)), 0);
        policy.record_sleep(10_000, false);
        assert_eq!(policy.time(None), 0);
        let mut single = SpinPolicy::new(1);
        single.record_sleep(10_000, true);
        assert_eq!(single.time(None), 0);
    }
}
