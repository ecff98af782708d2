//! Turns of a run whose surroundings are chosen: which thread's result comes next, how late the loop looks at the clock,
//! which of two equal deadlines is first. The choices are those of a tape of the engine.
//!
//! Invariants: a result of a thread lands only once it is chosen, and then the run waits for it; the clock stands still
//! but for what is chosen. So the same tape gives the same run, if the program depends on nothing else. A run in which
//! nothing can happen any more stops.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ferrio_engine::{Deadline, Freedom};
use ferrio_sys::clock;

use super::choices::{Choices, End};
use super::local::Local;

/// A run that takes more turns goes on for ever.
const MOST_TURNS: u64 = 1_000_000;

/// How long, in the system's time, tasks that are ready wait for a call in a thread whose result was chosen. A call that
/// takes longer waits for one of them, or lands later than was chosen.
const PATIENCE: Duration = Duration::from_secs(1);

/// What an alternative costs the search: one that matters seldom costs more.
const COMMON: u8 = 1;
const RARE: u8 = 2;

/// One turn of `local`. `main` polls the future that the run is for.
pub(super) fn turn(local: &Local, choices: &Choices, main: &mut dyn FnMut()) -> io::Result<()> {
    Turn { local, choices }.run(main)
}

struct Turn<'a> {
    local: &'a Local,
    choices: &'a Choices,
}

impl Turn<'_> {
    fn run(&self, main: &mut dyn FnMut()) -> io::Result<()> {
        self.choices.turns.set(self.choices.turns.get() + 1);
        if self.choices.turns.get() > MOST_TURNS {
            return self.stop(End::Livelock);
        }
        self.local.receive();
        self.land_job()?;
        if self.local.watches() {
            self.local.wait(Some(Duration::ZERO))?;
        }
        self.fire_timers();
        if self.local.ready_count() == 0 && !self.local.stopping().get() && !self.is_something_due() {
            if !self.local.watches() {
                return self.stop(End::Deadlock);
            }
            self.local.wait(None)?;
        }
        self.choices.is_asked.set(false);
        for left in (1..=self.local.ready_count()).rev() {
            let place = self.choices.choose(Freedom::Any, COMMON, left);
            let Some(key) = self.local.take_ready(place) else { break };
            self.choices.note(key.number());
            self.local.run(key, main);
        }
        Ok(())
    }

    /// Whether a timer or a result of a thread will come.
    fn is_something_due(&self) -> bool {
        self.local.next_deadline().is_some()
            || !self.choices.jobs.borrow().is_empty()
            || self.choices.awaited.borrow().is_some()
    }

    fn stop(&self, end: End) -> io::Result<()> {
        self.choices.end.set(Some(end));
        self.local.stopping().set(true);
        Ok(())
    }

    /// Chooses whether a result of a thread lands now, and which.
    fn land_job(&self) -> io::Result<()> {
        if self.choices.awaited.borrow().is_none() && !self.choices.jobs.borrow().is_empty() {
            let chosen = self.choose_job();
            if let Some(index) = chosen {
                *self.choices.awaited.borrow_mut() = Some(self.choices.jobs.borrow_mut().remove(index));
            }
        }
        let Some((chain, job)) = self.choices.awaited.take() else { return Ok(()) };
        let mut patience = PATIENCE;
        while !job.is_done.load(Ordering::Acquire) {
            // The job may wait for what others ask of this thread, or for a task that is ready.
            if self.choices.is_asked.get() || patience.is_zero() {
                *self.choices.awaited.borrow_mut() = Some((chain, job));
                return Ok(());
            }
            let begin = clock::monotonic();
            let is_busy = self.local.ready_count() > 0;
            self.local.wait(is_busy.then_some(patience))?;
            if is_busy {
                patience = patience.saturating_sub(Duration::from_nanos(clock::monotonic() - begin));
            }
        }
        self.choices.tape.borrow_mut().note_landed(chain);
        self.choices.note(chain | 1 << 63);
        (job.land)();
        Ok(())
    }

    fn choose_job(&self) -> Option<usize> {
        let chains: Vec<u64> = self.choices.jobs.borrow().iter().map(|(chain, _)| *chain).collect();
        if self.local.ready_count() > 0 {
            return self.choices.choose(Freedom::Arrival, COMMON, 1 + chains.len()).checked_sub(1);
        }
        let may_be_later = self.local.next_deadline().is_some();
        let chosen = self.choices.tape.borrow_mut().choose_arrival(&chains, may_be_later);
        (chosen < chains.len()).then_some(chosen)
    }

    /// Fires the timers that are due, and those that a late look at the clock finds due as well.
    fn fire_timers(&self) {
        let Some(first) = self.local.next_deadline() else { return };
        if self.local.ready_count() == 0 && self.choices.awaited.borrow().is_none() {
            self.local.go_on_to(first);
        }
        let latest = clock::seconds(self.local.now()) + self.choices.stall;
        // Beside others that are ready, time passes seldom.
        let mut cost = if self.local.ready_count() > 0 { RARE } else { COMMON };
        loop {
            let mut armed = self.local.armed_up_to(Deadline(latest));
            let Some((next, _)) = armed.first().copied() else { return };
            if !is_due(next, self.local.now()) {
                if self.choices.choose(Freedom::Stall, cost, 2) == 0 {
                    return;
                }
                self.local.go_on_to(next);
                cost = COMMON;
            }
            armed.retain(|(deadline, _)| *deadline == next);
            let (_, sequence) = armed[self.choices.choose(Freedom::Tie, COMMON, armed.len())];
            self.choices.note(sequence | 1 << 62);
            self.local.fire(sequence);
        }
    }
}

fn is_due(deadline: Deadline, now: u64) -> bool {
    deadline < Deadline(clock::seconds(now).next_up())
}
