//! The state of a simulated run, and the search that plans the runs.
//!
//! Only `simulation.rs` begins and ends runs; `turn.rs`, `clock.rs`, `real_io.rs` and `replay.rs` change what a run has
//! come to. Python objects that are taken out are given to the caller, who drops them while nothing is borrowed.

use std::collections::HashMap;

use ferrio_cpython::Runnable;
use ferrio_engine::{Freedoms, Plan, ScheduleSearch, Tape};
use pyo3::prelude::*;

use crate::testing::brought::Replay;

/// Something that the world does for the loop: it lands in the loop's queue when it is chosen.
pub(super) struct Arrival {
    /// The job, or whatever `world` makes run.
    pub(super) job: Py<PyAny>,
    /// The task that waits for it, or the direction of the connection that it comes by.
    pub(super) chain: u64,
    /// Whether it is another thread's call, which may come at any moment, and not I/O, which only a poll reports.
    pub(super) by_thread: bool,
    /// Timers whose deadline is later do not overtake it.
    pub(super) until: f64,
}

/// What is on its way and cannot land before this instant.
pub(super) struct UnderWay {
    pub(super) from: f64,
    pub(super) arrival: Arrival,
}

/// The state of a run, and the search.
pub(super) struct State {
    pub(super) now: f64,
    /// How far the clock may jump at once.
    pub(super) stall: f64,
    pub(super) tape: Tape,
    pub(super) arrivals: Vec<Arrival>,
    /// Sorted by instant; what has the same instant stays in the order of sending.
    pub(super) under_way: Vec<UnderWay>,
    /// The program has simulated sockets, so each turn looks at them.
    pub(super) networked: bool,
    /// The program has invariants, so `world` looks at them after each callback.
    pub(super) has_invariants: bool,
    /// A job has slept, so `world` is told before a job calls the loop.
    pub(super) owes: bool,
    /// For each reading of the clock since which timers were armed: the number that the next timer had.
    pub(super) readings: Vec<u64>,
    /// The timers that were armed for a reading and a delay, sorted; others have a deadline that the program gave.
    pub(super) relative: Vec<u64>,
    /// Timers that the clock had not quite reached when others with the same deadline landed, until it moves.
    pub(super) left_behind: Vec<u64>,
    /// What it showed then.
    pub(super) left_at: f64,
    pub(super) turns: u64,
    /// Turns since the clock last jumped.
    pub(super) still_turns: u64,
    /// Turns of a busy loop since something was pending and nothing of it has landed.
    pub(super) busy_turns: u64,
    /// What the clock showed when the program last read it.
    pub(super) read_at: f64,
    /// A run that takes more turns goes on for ever.
    pub(super) most_turns: u64,
    /// Another thread that is none of the simulation's may call the loop.
    pub(super) foreign: bool,
    pub(super) tracing: bool,
    /// A fingerprint of what happened.
    pub(super) outcome: u64,
    /// How many steps each task has made.
    pub(super) steps: HashMap<u64, u32>,
    /// The task that is cancelled after this many of its steps.
    pub(super) cancel: Option<(u64, u32)>,
    /// What else is ready, where any callback may run next.
    pub(super) set_aside: Vec<Runnable>,
    /// Where I/O is real: the futures of jobs, until they are seen to be done.
    pub(super) jobs: Vec<Py<PyAny>>,
    /// When a busy loop last asked whether something real is pending, in the system's time.
    pub(super) asked: Option<u64>,
    /// What is left of a recording that is repeated.
    pub(super) replay: Option<Box<Replay>>,
    pub(super) plan: Option<Plan>,
    pub(super) freedoms: Freedoms,
    pub(super) search: ScheduleSearch,
}

/// What a run has left behind.
pub(super) type Leftovers = (Vec<Arrival>, Vec<UnderWay>, Vec<Py<PyAny>>, Vec<Runnable>);

impl State {
    pub(super) fn new(seed: u64, stall: f64, most_turns: u64) -> Self {
        Self {
            now: 0.0,
            stall,
            tape: Tape::default(),
            arrivals: Vec::new(),
            under_way: Vec::new(),
            networked: false,
            has_invariants: false,
            owes: false,
            readings: Vec::new(),
            relative: Vec::new(),
            left_behind: Vec::new(),
            left_at: 0.0,
            turns: 0,
            still_turns: 0,
            busy_turns: 0,
            read_at: 0.0,
            most_turns,
            foreign: false,
            tracing: false,
            outcome: 0,
            steps: HashMap::new(),
            cancel: None,
            set_aside: Vec::new(),
            jobs: Vec::new(),
            asked: None,
            replay: None,
            plan: None,
            freedoms: Freedoms::NONE,
            search: ScheduleSearch::new(seed),
        }
    }

    /// Begins a run; gives what is left of the one before.
    #[must_use = "dropping it here would run Python code while the state is borrowed"]
    pub(super) fn begin_run(&mut self, tape: Tape, plan: Option<Plan>) -> Leftovers {
        self.now = 0.0;
        self.tape = tape;
        self.readings.clear();
        self.relative.clear();
        self.left_behind.clear();
        self.turns = 0;
        self.still_turns = 0;
        self.busy_turns = 0;
        self.read_at = 0.0;
        self.foreign = false;
        self.outcome = 0;
        self.steps.clear();
        self.cancel = None;
        self.plan = plan;
        self.networked = false;
        self.has_invariants = false;
        self.owes = false;
        (
            std::mem::take(&mut self.arrivals),
            std::mem::take(&mut self.under_way),
            std::mem::take(&mut self.jobs),
            std::mem::take(&mut self.set_aside),
        )
    }

    /// Whether the clock, which stands at the timer's deadline, may not quite have reached it.
    pub(super) fn is_left_behind(&self, timer: u64) -> bool {
        self.now <= self.left_at && self.left_behind.contains(&timer)
    }
}

/// Adds a value to a fingerprint.
pub(super) const fn mix(hash: u64, value: u64) -> u64 {
    (hash.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95)
}
