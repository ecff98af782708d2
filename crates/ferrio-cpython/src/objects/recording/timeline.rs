//! What a loop does, noted while recording is on: the times of its tasks' steps, and the flight recorder's records.
//!
//! One clock reading for each callback: the end of one is the beginning of the next, unless other work came between.
//! Who woke a task is seen from the ready queue: what a callback has pushed stands behind `noted` when it ends. So
//! nothing is noted where things are pushed, and that costs nothing while recording is off.
//!
//! Invariant: `noted` items at the front of the queue have been looked at.

use std::sync::Arc;

use ferrio_engine::{Durations, FlightKind, FlightRecord, FlightRing};
use ferrio_sys::clock::monotonic;
use ferrio_sys::watching::this_thread;
use pyo3::prelude::*;

use super::times::Waker;
use super::{MOST_LOOPS, RECORDS, Records, is_on, labels};
use crate::capi::gil_cell::GilCell;
use crate::objects::loop_base::LoopBase;
use crate::objects::runnable::Runnable;
use crate::objects::task::TaskRef;
use crate::objects::watching::address_of_task;

/// How a step has ended, in the detail of its record.
const WAITS: u8 = 0;
const YIELDS: u8 = 1;
const ENDS: u8 = 2;

/// The timeline of one loop.
pub struct Timeline {
    /// The loop's address.
    owner: usize,
    state: GilCell<State>,
}

#[derive(Default)]
struct State {
    ring: FlightRing,
    polls: Durations,
    waits: Durations,
    /// How many items of the queue have been looked at.
    noted: usize,
    /// When the last callback ended; 0 if other work was done since then.
    last_end: u64,
    running: Running,
    /// When the poll that lasts began; 0 for none.
    polling_since: u64,
    /// The system's number of the thread that runs the loop; 0 if it does not run.
    thread: u32,
}

#[derive(Clone, Copy, Default)]
struct Running {
    who: Waker,
    since: u64,
}

/// A callback that has begun.
pub(crate) struct Began {
    at: u64,
    /// What ran around it.
    outer: Running,
}

/// What a timeline holds at one moment.
pub struct Reading {
    /// The loop's address.
    pub owner: usize,
    /// The system's number of its thread; 0 if it does not run.
    pub thread: u32,
    /// The records of the ring, 32 bytes each.
    pub records: Vec<u8>,
    /// How many older ones are lost.
    pub lost: u64,
    /// What runs now, and since when: the number of a task, 0 for a callback; None if nothing does.
    pub running: Option<(u64, u64)>,
    /// When the poll that lasts began; 0 for none.
    pub polling_since: u64,
}

/// Begins to record a loop. Without memory for its ring it is not recorded.
pub(crate) fn attach(owner: &Bound<'_, LoopBase>, thread: u32) {
    let py = owner.py();
    let base = owner.get();
    let timeline = base
        .timeline
        .get_or_init(|| Arc::new(Timeline { owner: owner.as_ptr().addr(), state: GilCell::new(State::default()) }));
    let is_known = RECORDS.with(py, |records| {
        records.as_ref().is_some_and(|records| records.timelines.iter().any(|each| Arc::ptr_eq(each, timeline)))
    });
    if !is_known && !list(py, timeline) {
        return;
    }
    timeline.state.with(py, |state| {
        state.noted = 0;
        state.last_end = 0;
        state.running = Running { who: Waker::Outside, since: 0 };
        state.thread = thread;
    });
    base.recorded.set(true);
    base.update_special();
}

/// Makes room for a loop's ring, in place of that of a loop that runs no more if there are many.
fn list(py: Python<'_>, timeline: &Arc<Timeline>) -> bool {
    let length = RECORDS.with(py, |records| records.as_ref().map_or(0, |records| records.ring_length));
    let mut fresh = State::default();
    if !fresh.ring.reserve(length) {
        return false;
    }
    let before = timeline.state.with(py, |state| std::mem::replace(state, fresh));
    drop(before);
    let oldest = RECORDS.with(py, |records| {
        let records = records.as_mut()?;
        let timelines = &mut records.timelines;
        let stopped = timelines.iter().position(|each| each.state.with(py, |state| state.thread == 0));
        let oldest = stopped.filter(|_| timelines.len() >= MOST_LOOPS).map(|place| timelines.remove(place));
        if timelines.try_reserve(1).is_ok() {
            timelines.push(Arc::clone(timeline));
        }
        oldest
    });
    drop(oldest);
    true
}

/// A loop begins to run in this thread.
pub(crate) fn begin_run(owner: &Bound<'_, LoopBase>) {
    if is_on() {
        attach(owner, this_thread());
    }
}

/// A loop runs no more, or recording ends.
pub(crate) fn leave(owner: &Bound<'_, LoopBase>) {
    let base = owner.get();
    if base.recorded.get() {
        base.recorded.set(false);
        base.update_special();
        if let Some(timeline) = base.timeline.get() {
            timeline.state.with(owner.py(), |state| state.thread = 0);
        }
    }
}

/// A callback that was taken from the queue begins.
pub(crate) fn begin(base: &LoopBase, py: Python<'_>, runnable: &Runnable) -> Option<Began> {
    let timeline = base.timeline.get()?;
    let waiting = base.ready_count(py);
    let task = address_of_task(runnable);
    timeline.state.with(py, |state| {
        let now = if state.last_end == 0 { monotonic() } else { state.last_end };
        let was_noted = state.noted != 0;
        state.noted = state.noted.saturating_sub(1);
        let who = RECORDS.with(py, |records| {
            let Some(records) = records else { return Waker::Callback };
            if !was_noted && task != 0 {
                state.note_woken(records, task, now);
            }
            if state.noted < waiting {
                state.note_pushed(base, py, records, waiting, now);
            }
            if task == 0 { Waker::Callback } else { state.begin_step(records, task, now) }
        });
        Some(Began { at: now, outer: std::mem::replace(&mut state.running, Running { who, since: now }) })
    })
}

/// It has ended.
pub(crate) fn end(base: &LoopBase, py: Python<'_>, runnable: &Runnable, began: &Began) {
    let Some(timeline) = base.timeline.get() else { return };
    let now = monotonic();
    let ready = base.ready_count(py);
    let ran = match runnable {
        Runnable::Task(_) => runnable
            .task(py)
            .map_or((FlightKind::Step, WAITS, 0), |task| (FlightKind::Step, ended(task), waits_for(task))),
        Runnable::Handle(handle) => {
            let callback = handle.body().callback.as_ref();
            (FlightKind::Callback, 0, callback.map_or(0, |callback| labels::of_callable(callback.bind(py))))
        }
        Runnable::DoneCallback(_) => (FlightKind::Callback, 1, 0),
        Runnable::Native(_) => (FlightKind::Callback, 2, 0),
    };
    timeline.state.with(py, |state| {
        RECORDS.with(py, |records| {
            let Some(records) = records else { return };
            state.finish(records, ran, began.at, now, ready);
            if state.noted < ready {
                state.note_pushed(base, py, records, ready, now);
            } else {
                state.noted = ready;
            }
        });
        state.running = began.outer;
        state.last_end = now;
    });
    if ran.1 == ENDS
        && let Some(task) = runnable.task(py)
    {
        super::note_name(task);
    }
}

/// The loop does other work than callbacks: what begins next needs a clock reading of its own.
pub(crate) fn note_other_work(base: &LoopBase, py: Python<'_>) {
    if let Some(timeline) = base.timeline.get() {
        timeline.state.with(py, |state| state.last_end = 0);
    }
}

/// The loop asks the system for events.
pub fn begin_poll(base: &LoopBase, py: Python<'_>) {
    if let Some(timeline) = base.timeline.get().filter(|_| base.recorded.get()) {
        let now = monotonic();
        timeline.state.with(py, |state| state.polling_since = now);
    }
}

/// So many events have come.
pub fn end_poll(base: &LoopBase, py: Python<'_>, events: usize) {
    if let Some(timeline) = base.timeline.get().filter(|_| base.recorded.get()) {
        let (now, ready) = (monotonic(), base.ready_count(py));
        timeline.state.with(py, |state| {
            let since = std::mem::take(&mut state.polling_since);
            if since != 0 {
                let record = FlightRecord::new(FlightKind::Poll, since, events as u64, 0);
                state.ring.push(record.lasted(now.saturating_sub(since), ready));
            }
            state.last_end = now;
        });
    }
}

/// Runs a step that no recorded loop has taken from its queue: one that starts eagerly, or is run by another loop.
pub(crate) fn around_step(
    owner: Option<&LoopBase>,
    task: &TaskRef<'_>,
    step: impl FnOnce() -> PyResult<()>,
) -> PyResult<()> {
    if !is_on() {
        return step();
    }
    let py = task.py();
    let address = task.object().as_ptr().addr();
    let timeline = owner.filter(|owner| owner.recorded.get()).and_then(|owner| owner.timeline.get());
    let at = monotonic();
    let serial = RECORDS.with(py, |records| records.as_mut().map_or(0, |records| records.step_begins(address, at).0));
    let running = Running { who: Waker::Task(address, serial), since: at };
    let outer =
        timeline.map(|timeline| timeline.state.with(py, |state| std::mem::replace(&mut state.running, running)));
    let outcome = step();
    let now = monotonic();
    let ran = (FlightKind::Step, ended(task), waits_for(task));
    RECORDS.with(py, |records| {
        let Some(records) = records else { return };
        match timeline {
            Some(timeline) => timeline.state.with(py, |state| {
                state.running = running;
                state.finish(records, ran, at, now, 0);
                state.running = outer.unwrap_or_default();
            }),
            None => drop(records.step_ends(address, now.saturating_sub(at))),
        }
    });
    if ran.1 == ENDS {
        super::note_name(task);
    }
    outcome
}

fn ended(task: &TaskRef<'_>) -> u8 {
    if !task.future().is_pending() {
        ENDS
    } else if task.task().waiting_for.is_some() {
        WAITS
    } else {
        YIELDS
    }
}

fn waits_for(task: &TaskRef<'_>) -> u64 {
    let coroutine = task.task().coroutine().filter(|_| ended(task) == WAITS).map(|owned| owned.get(task.py()));
    coroutine.map_or(0, |coroutine| labels::of_awaited(&coroutine))
}

impl State {
    fn begin_step(&mut self, records: &mut Records, task: usize, now: u64) -> Waker {
        let (serial, waited) = records.step_begins(task, now);
        if let Some(waited) = waited {
            self.waits.record(waited);
        }
        Waker::Task(task, serial)
    }

    fn finish(&mut self, records: &mut Records, ran: (FlightKind, u8, u64), at: u64, now: u64, ready: usize) {
        let took = now.saturating_sub(at);
        let (kind, detail, other) = ran;
        let Waker::Task(task, serial) = self.running.who else {
            self.ring.push(FlightRecord::new(kind, at, 0, other).detail(detail).lasted(took, ready));
            return;
        };
        self.polls.record(took);
        let label = records.step_ends(task, took);
        self.ring.push(FlightRecord::new(kind, at, serial, other).detail(detail).lasted(took, ready));
        if detail == ENDS {
            self.ring.push(FlightRecord::new(FlightKind::Done, now, serial, label));
        }
    }

    /// Looks at what was pushed since the last look; what runs has woken these tasks.
    fn note_pushed(&mut self, base: &LoopBase, py: Python<'_>, records: &mut Records, length: usize, now: u64) {
        for place in self.noted..length {
            let task = base.queued(py, place);
            if task != 0 {
                self.note_woken(records, task, now);
            }
        }
        self.noted = length;
    }

    fn note_woken(&mut self, records: &mut Records, task: usize, now: u64) {
        let by = self.running.who;
        let serial = records.woken(task, by, now);
        let (detail, waker) = match by {
            Waker::Task(_, waker) => (0, waker),
            Waker::Callback => (1, 0),
            Waker::Outside | Waker::Unknown => (2, 0),
        };
        self.ring.push(FlightRecord::new(FlightKind::Wake, now, serial, waker).detail(detail));
    }
}

/// Notes in the ring of the running loop that a task was created.
pub(super) fn note_created(base: &LoopBase, py: Python<'_>, serial: u64, by: u64, now: u64) {
    if let Some(timeline) = base.timeline.get().filter(|_| base.recorded.get()) {
        timeline.state.with(py, |state| state.ring.push(FlightRecord::new(FlightKind::Created, now, serial, by)));
    }
}

/// The timelines of the loops that were recorded, without what ended before `since`.
pub fn read(py: Python<'_>, since: u64) -> Vec<Reading> {
    let timelines = RECORDS.with(py, |records| records.as_ref().map(|records| records.timelines.clone()));
    let readings = timelines.iter().flatten().map(|timeline| {
        timeline.state.with(py, |state| {
            let running = match state.running.who {
                Waker::Task(_, serial) => Some((serial, state.running.since)),
                Waker::Callback => Some((0, state.running.since)),
                Waker::Outside | Waker::Unknown => None,
            };
            Reading {
                owner: timeline.owner,
                thread: state.thread,
                records: state.ring.bytes(since).unwrap_or_default(),
                lost: state.ring.lost(),
                running: running.filter(|_| state.thread != 0),
                polling_since: state.polling_since,
            }
        })
    });
    readings.collect()
}

/// The histograms of a loop: how long its tasks ran, and how long they were ready without running.
pub fn durations(base: &LoopBase, py: Python<'_>) -> Option<(Durations, Durations)> {
    let timeline = base.timeline.get()?;
    Some(timeline.state.with(py, |state| (state.polls.clone(), state.waits.clone())))
}
