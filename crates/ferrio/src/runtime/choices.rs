//! A run whose surroundings are chosen: which thread's result comes next, how late the loop looks at the clock, which of
//! two equal deadlines is first. The choices are those of a tape of the engine.
//!
//! Invariants: a result of a thread lands only once it is chosen, and then the run waits for it; the clock stands still
//! but for what is chosen. So the same tape gives the same run, if the program depends on nothing else. A run in which
//! nothing can happen any more stops.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ferrio_engine::{Deadline, Freedom, Tape};
use ferrio_sys::clock;

use super::local::Local;
use super::task_waker::Key;

/// A run that takes more turns goes on for ever.
const MOST_TURNS: u64 = 1_000_000;

/// How long, in the system's time, tasks that are ready wait for a call in a thread whose result was chosen. A call that
/// takes longer waits for one of them, or lands later than was chosen.
const PATIENCE: Duration = Duration::from_secs(1);

/// What an alternative costs the search: one that matters seldom costs more.
const COMMON: u8 = 1;
const RARE: u8 = 2;

/// Why a run stopped before its future was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing is ready, no timer is armed, and no thread and no descriptor can change that.
    Deadlock,
    /// It took more turns than any program that ends.
    Livelock,
}

/// A call in a thread, whose result lands when it is chosen.
pub(crate) struct Job {
    /// Set by the thread when there is a result.
    pub(crate) is_done: Arc<AtomicBool>,
    /// Tells who waits that there is one.
    pub(crate) land: Box<dyn FnOnce()>,
}

/// The choices of a run, and what they are about.
pub(crate) struct Choices {
    tape: RefCell<Tape>,
    /// How far the clock may jump at once, in seconds.
    stall: f64,
    /// In the order of their calls, each with the task that made the call.
    jobs: RefCell<Vec<(u64, Job)>>,
    /// The job that was chosen, until it is done.
    awaited: RefCell<Option<(u64, Job)>>,
    /// Another thread has asked for something that this turn does, and may wait for that.
    is_asked: Cell<bool>,
    turns: Cell<u64>,
    /// A fingerprint of the steps that were made.
    outcome: Cell<u64>,
    end: Cell<Option<End>>,
}

impl Choices {
    pub(crate) fn new(tape: Tape, stall: f64) -> Self {
        Self {
            tape: RefCell::new(tape),
            stall,
            jobs: RefCell::default(),
            awaited: RefCell::default(),
            is_asked: Cell::new(false),
            turns: Cell::new(0),
            outcome: Cell::new(0),
            end: Cell::new(None),
        }
    }

    /// Adds a job that a thread has begun for the task `caller`.
    pub(crate) fn add_job(&self, caller: Option<Key>, job: Job) {
        self.jobs.borrow_mut().push((caller.map_or(0, number), job));
    }

    /// Notes that another thread asks for something.
    pub(crate) fn note_message(&self) {
        self.is_asked.set(true);
    }

    /// Why the run stopped, if it did by itself.
    pub(crate) const fn end(&self) -> Option<End> {
        self.end.get()
    }

    /// The tape, with all choices made so far.
    pub(crate) fn tape(&self) -> Tape {
        self.tape.borrow().clone()
    }

    pub(crate) const fn outcome(&self) -> u64 {
        self.outcome.get()
    }

    /// Forgets the jobs, whose results nobody waits for any more.
    pub(crate) fn clear(&self) {
        drop((self.jobs.take(), self.awaited.take()));
    }

    /// One turn of `local`.
    pub(crate) fn turn(&self, local: &Local, main: &mut dyn FnMut()) -> io::Result<()> {
        self.turns.set(self.turns.get() + 1);
        if self.turns.get() > MOST_TURNS {
            return self.stop(local, End::Livelock);
        }
        local.receive();
        self.land_job(local)?;
        if local.watches() {
            local.wait(Some(Duration::ZERO))?;
        }
        self.fire_timers(local);
        if local.ready_count() == 0 && !local.stopping().get() && !self.is_something_due(local) {
            if !local.watches() {
                return self.stop(local, End::Deadlock);
            }
            local.wait(None)?;
        }
        self.is_asked.set(false);
        for left in (1..=local.ready_count()).rev() {
            let place = self.choose(Freedom::Any, COMMON, left);
            let Some(key) = local.take_ready(place) else { break };
            self.note(number(key));
            local.run(key, main);
        }
        Ok(())
    }

    /// Whether a timer or a result of a thread will come.
    fn is_something_due(&self, local: &Local) -> bool {
        local.next_deadline().is_some() || !self.jobs.borrow().is_empty() || self.awaited.borrow().is_some()
    }

    fn stop(&self, local: &Local, end: End) -> io::Result<()> {
        self.end.set(Some(end));
        local.stopping().set(true);
        Ok(())
    }

    /// Chooses whether a result of a thread lands now, and which.
    fn land_job(&self, local: &Local) -> io::Result<()> {
        if self.awaited.borrow().is_none() && !self.jobs.borrow().is_empty() {
            let chosen = self.choose_job(local);
            if let Some(index) = chosen {
                *self.awaited.borrow_mut() = Some(self.jobs.borrow_mut().remove(index));
            }
        }
        let Some((chain, job)) = self.awaited.take() else { return Ok(()) };
        let mut patience = PATIENCE;
        while !job.is_done.load(Ordering::Acquire) {
            // The job may wait for what others ask of this thread, or for a task that is ready.
            if self.is_asked.get() || patience.is_zero() {
                *self.awaited.borrow_mut() = Some((chain, job));
                return Ok(());
            }
            let begin = clock::monotonic();
            let is_busy = local.ready_count() > 0;
            local.wait(is_busy.then_some(patience))?;
            if is_busy {
                patience = patience.saturating_sub(Duration::from_nanos(clock::monotonic() - begin));
            }
        }
        self.tape.borrow_mut().note_landed(chain);
        self.note(chain | 1 << 63);
        (job.land)();
        Ok(())
    }

    fn choose_job(&self, local: &Local) -> Option<usize> {
        let chains: Vec<u64> = self.jobs.borrow().iter().map(|(chain, _)| *chain).collect();
        if local.ready_count() > 0 {
            return self.choose(Freedom::Arrival, COMMON, 1 + chains.len()).checked_sub(1);
        }
        let may_be_later = local.next_deadline().is_some();
        let chosen = self.tape.borrow_mut().choose_arrival(&chains, may_be_later);
        (chosen < chains.len()).then_some(chosen)
    }

    /// Fires the timers that are due, and those that a late look at the clock finds due as well.
    fn fire_timers(&self, local: &Local) {
        let Some(first) = local.next_deadline() else { return };
        if local.ready_count() == 0 && self.awaited.borrow().is_none() {
            local.go_on_to(first);
        }
        let latest = clock::seconds(local.now()) + self.stall;
        // Beside others that are ready, time passes seldom.
        let mut cost = if local.ready_count() > 0 { RARE } else { COMMON };
        loop {
            let mut armed = local.armed_up_to(Deadline(latest));
            let Some((next, _)) = armed.first().copied() else { return };
            if !is_due(next, local.now()) {
                if self.choose(Freedom::Stall, cost, 2) == 0 {
                    return;
                }
                local.go_on_to(next);
                cost = COMMON;
            }
            armed.retain(|(deadline, _)| *deadline == next);
            let (_, sequence) = armed[self.choose(Freedom::Tie, COMMON, armed.len())];
            self.note(sequence | 1 << 62);
            local.fire(sequence);
        }
    }

    fn choose(&self, freedom: Freedom, cost: u8, alternatives: usize) -> usize {
        self.tape.borrow_mut().choose(freedom, cost, alternatives)
    }

    fn note(&self, value: u64) {
        self.outcome.set((self.outcome.get().rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95));
    }
}

/// A number of the task, the same in each run.
fn number(key: Key) -> u64 {
    u64::from(key.generation) << 32 | u64::from(key.index)
}

fn is_due(deadline: Deadline, now: u64) -> bool {
    deadline < Deadline(clock::seconds(now).next_up())
}
