//! When the writes of one callback are held back to leave together, for each connection.
//!
//! A callback that writes several times pays a system call for each write unless they are held. Holding is of no use
//! where callbacks write once, and a callback that is slow, or waits for its peer, must not delay what it has written.
//! So a connection is observed: one callback that wrote at least twice and was quick makes the next ones hold. Where
//! callbacks write once, fewer and fewer writes are observed.

use std::time::Duration;

/// A callback that took longer than this holds back nothing next time.
const QUICK: Duration = Duration::from_millis(2);

/// After so many callbacks in a row with a single write, writes are no longer held.
const SINGLE_WRITES: u8 = 4;

/// The largest pause between observations is 2 to this power writes.
const RAREST: u8 = 6;

/// What to do with the first write of a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstWrite {
    /// Send it at once.
    Send,
    /// Send it at once, and report the callback's end to [`JoinPolicy::callback_ended`].
    Observe,
    /// Hold it and what follows, and report the callback's end.
    Hold,
}

/// How a callback that was observed or held has ended.
#[derive(Clone, Copy, Debug)]
pub struct Callback {
    /// How many times it wrote.
    pub writes: u32,
    /// From its first write to its end.
    pub took: Duration,
    /// It held bytes and waited for something meanwhile.
    pub blocked: bool,
}

/// What is known of a connection's callbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinPolicy(Habit);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// Unknown: the callback of the next write is observed.
    Unknown { pause: u8 },
    /// Single writes: observed again after `writes` more.
    Single { writes: u8, pause: u8 },
    /// Several writes in a quick callback; `single` counts the callbacks since then that wrote once.
    Several { single: u8 },
    /// Never held again.
    Off,
}

impl Default for JoinPolicy {
    fn default() -> Self {
        Self(Habit::Unknown { pause: 0 })
    }
}

impl JoinPolicy {
    /// A connection whose writes are never held.
    #[must_use]
    pub const fn off() -> Self {
        Self(Habit::Off)
    }

    /// Whether writes are never held.
    #[must_use]
    pub fn is_off(self) -> bool {
        self.0 == Habit::Off
    }

    /// What to do with a callback's first write.
    #[inline]
    pub fn first_write(&mut self) -> FirstWrite {
        match &mut self.0 {
            Habit::Off => FirstWrite::Send,
            Habit::Single { writes, pause } => {
                *writes -= 1;
                if *writes == 0 {
                    self.0 = Habit::Unknown { pause: *pause };
                }
                FirstWrite::Send
            }
            Habit::Unknown { .. } => FirstWrite::Observe,
            Habit::Several { .. } => FirstWrite::Hold,
        }
    }

    /// Learns from the end of a callback that was observed or held.
    pub fn callback_ended(&mut self, callback: Callback) {
        let several = callback.writes > 1;
        let quick = callback.took <= QUICK;
        self.0 = match self.0 {
            Habit::Off => Habit::Off,
            _ if callback.blocked => Habit::Off,
            Habit::Several { .. } if !quick => Habit::Unknown { pause: 0 },
            Habit::Several { single } if !several && single + 1 < SINGLE_WRITES => {
                Habit::Several { single: single + 1 }
            }
            Habit::Unknown { .. } | Habit::Several { .. } | Habit::Single { .. } if several && quick => {
                Habit::Several { single: 0 }
            }
            Habit::Unknown { pause } | Habit::Single { pause, .. } => {
                Habit::Single { writes: 1 << pause, pause: (pause + 1).min(RAREST) }
            }
            Habit::Several { .. } => Habit::Single { writes: 1, pause: 1 },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn callback(writes: u32) -> Callback {
        Callback { writes, took: Duration::from_micros(50), blocked: false }
    }

    /// Runs callbacks that write `writes` times each, and returns the fate of each first write.
    fn run(policy: &mut JoinPolicy, callbacks: usize, writes: u32) -> Vec<FirstWrite> {
        let step = |_| {
            let fate = policy.first_write();
            if fate == FirstWrite::Send {
                (1..writes).for_each(|_| {
                    policy.first_write();
                });
            } else {
                policy.callback_ended(callback(writes));
            }
            fate
        };
        (0..callbacks).map(step).collect()
    }

    #[test]
    fn a_quick_callback_with_two_writes_makes_the_next_one_hold() {
        let mut policy = JoinPolicy::default();
        assert_eq!(run(&mut policy, 3, 2), [FirstWrite::Observe, FirstWrite::Hold, FirstWrite::Hold]);
    }

    #[test]
    fn single_writes_are_never_held_and_rarely_observed() {
        let mut policy = JoinPolicy::default();
        let fates = run(&mut policy, 1000, 1);
        assert!(!fates.contains(&FirstWrite::Hold));
        assert!(fates.iter().filter(|fate| **fate == FirstWrite::Observe).count() < 25);
    }

    #[test]
    fn a_habit_that_begins_late_is_noticed() {
        for before in 0..200 {
            let mut policy = JoinPolicy::default();
            run(&mut policy, before, 1);
            assert!(run(&mut policy, 200, 2).contains(&FirstWrite::Hold), "after {before} single writes");
        }
    }

    #[test]
    fn single_writes_end_the_holding() {
        let mut policy = JoinPolicy::default();
        run(&mut policy, 2, 3);
        let count = run(&mut policy, 100, 1).iter().filter(|fate| **fate == FirstWrite::Hold).count();
        assert_eq!(count, usize::from(SINGLE_WRITES));
    }

    #[test]
    fn a_slow_callback_must_prove_itself_again() {
        let mut policy = JoinPolicy::default();
        run(&mut policy, 2, 2);
        policy.callback_ended(Callback { took: QUICK * 2, ..callback(2) });
        assert_eq!(policy.first_write(), FirstWrite::Observe);
    }

    #[test]
    fn a_callback_that_waits_ends_the_holding_for_good() {
        let mut policy = JoinPolicy::default();
        run(&mut policy, 2, 2);
        policy.callback_ended(Callback { blocked: true, ..callback(2) });
        assert!(policy.is_off());
        assert_eq!(run(&mut policy, 300, 2), [FirstWrite::Send; 300]);
    }
}
