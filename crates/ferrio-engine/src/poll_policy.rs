//! The policy that decides whether a turn of the loop polls the system for events or goes straight to its callbacks.
//!
//! A poll that finds nothing costs more than running several callbacks, so turns with callbacks ready may skip it, but
//! only so often and only so long: I/O must not starve. Whether a poll may block, and for how long, is decided by the
//! caller.

/// Consecutive turns without a poll while descriptors are watched.
const TURNS: u32 = 4;

/// Consecutive turns without a poll while only the waker is watched; the loop notices wake-ups in other ways too.
const TURNS_WAKER_ONLY: u32 = 64;

/// The longest time without a poll while descriptors are watched.
const NANOSECONDS: u64 = 20_000;

/// The longest time without a poll in the turn after a poll that found events: what these events have scheduled runs
/// there, and hardly anything new has arrived meanwhile.
const NANOSECONDS_AFTER_EVENTS: u64 = 500_000;

/// When the last poll was.
#[derive(Clone, Debug)]
pub struct PollPolicy {
    /// Consecutive turns without a poll so far.
    turns: u32,
    /// When the last poll returned.
    polled_at: u64,
    /// Whether it found events.
    found_events: bool,
    /// The run has just begun: its first turn polls.
    beginning: bool,
}

impl PollPolicy {
    /// A policy before its first run.
    #[must_use]
    pub const fn new() -> Self {
        Self { turns: 0, polled_at: 0, found_events: false, beginning: true }
    }

    /// Records that the loop begins to run: the first turn polls.
    pub const fn begin_run(&mut self) {
        self.beginning = true;
    }

    /// Whether this turn has to poll. `registered` counts descriptors, the waker among them; `now` is called only if it
    /// matters.
    #[inline]
    pub fn must_poll(
        &mut self,
        ready_is_empty: bool,
        stopping: bool,
        registered: usize,
        now: impl FnOnce() -> u64,
    ) -> bool {
        if ready_is_empty || stopping || self.beginning {
            return true;
        }
        self.turns += 1;
        if registered <= 1 {
            return self.turns >= TURNS_WAKER_ONLY;
        }
        let longest = if self.found_events && self.turns == 1 { NANOSECONDS_AFTER_EVENTS } else { NANOSECONDS };
        self.turns >= TURNS || now().saturating_sub(self.polled_at) >= longest
    }

    /// Records that a poll has returned at `now`.
    #[inline]
    pub const fn polled(&mut self, now: u64, found_events: bool) {
        self.turns = 0;
        self.polled_at = now;
        self.found_events = found_events;
        self.beginning = false;
    }
}

impl Default for PollPolicy {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The turns, counted from one, in which a loop that always has callbacks ready polls.
    fn polling_turns(registered: usize, nanoseconds_per_turn: u64, turns: u64) -> Vec<u64> {
        let mut policy = PollPolicy::new();
        policy.polled(0, false);
        let mut polling = Vec::new();
        for turn in 1..=turns {
            let now = turn * nanoseconds_per_turn;
            if policy.must_poll(false, false, registered, || now) {
                policy.polled(now, false);
                polling.push(turn);
            }
        }
        polling
    }

    #[test]
    fn an_idle_stopping_or_beginning_turn_polls() {
        let clock = || unreachable!("the clock does not matter");
        let mut policy = PollPolicy::default();
        assert!(policy.must_poll(false, false, 2, clock));
        policy.polled(0, false);
        assert!(policy.must_poll(true, false, 2, clock));
        assert!(policy.must_poll(false, true, 2, clock));
        assert!(!policy.must_poll(false, false, 2, || 0));
        policy.begin_run();
        assert!(policy.must_poll(false, false, 2, clock));
    }

    #[test]
    fn short_turns_poll_every_fourth_time() {
        assert_eq!(polling_turns(2, 100, 12), [4, 8, 12]);
    }

    #[test]
    fn long_turns_poll_when_the_time_is_over() {
        assert_eq!(polling_turns(2, 10_000, 6), [2, 4, 6]);
        assert_eq!(polling_turns(2, 50_000, 3), [1, 2, 3]);
    }

    #[test]
    fn the_turn_after_events_polls_only_if_it_comes_late() {
        let polls_at = |now| {
            let mut policy = PollPolicy::new();
            policy.polled(0, true);
            let first = policy.must_poll(false, false, 2, || now);
            (first, policy.must_poll(false, false, 2, || now))
        };
        assert_eq!(polls_at(NANOSECONDS), (false, true));
        assert_eq!(polls_at(NANOSECONDS_AFTER_EVENTS), (true, true));
    }

    #[test]
    fn the_waker_alone_is_polled_rarely_and_without_a_clock() {
        assert_eq!(polling_turns(1, 50_000, 200), [64, 128, 192]);
        let mut policy = PollPolicy::new();
        policy.polled(0, false);
        assert!(!policy.must_poll(false, false, 1, || unreachable!("the clock does not matter")));
    }
}
