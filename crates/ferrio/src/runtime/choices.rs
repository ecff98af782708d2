//! The choices of a run whose surroundings are chosen, and what they are about; `chosen_turn.rs` makes them.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ferrio_engine::{Freedom, Tape};

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
    pub(super) tape: RefCell<Tape>,
    /// How far the clock may jump at once, in seconds.
    pub(super) stall: f64,
    /// In the order of their calls, each with the task that made the call.
    pub(super) jobs: RefCell<Vec<(u64, Job)>>,
    /// The job that was chosen, until it is done.
    pub(super) awaited: RefCell<Option<(u64, Job)>>,
    /// Another thread has asked for something that this turn does, and may wait for that.
    pub(super) is_asked: Cell<bool>,
    pub(super) turns: Cell<u64>,
    /// A fingerprint of the steps that were made.
    outcome: Cell<u64>,
    pub(super) end: Cell<Option<End>>,
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

    /// Adds a job that a thread has begun for the task whose number is `caller`.
    pub(crate) fn add_job(&self, caller: u64, job: Job) {
        self.jobs.borrow_mut().push((caller, job));
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

    pub(super) fn choose(&self, freedom: Freedom, cost: u8, alternatives: usize) -> usize {
        self.tape.borrow_mut().choose(freedom, cost, alternatives)
    }

    pub(super) fn note(&self, value: u64) {
        self.outcome.set((self.outcome.get().rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95));
    }
}
