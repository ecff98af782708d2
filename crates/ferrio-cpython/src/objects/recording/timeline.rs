//! What a loop does, noted while recording is on: the times of its tasks' steps, and the flight recorder's records.
//!
//! One clock reading for each callback: the end of one is the beginning of the next, unless other work came between.
//! Who woke a task is seen from the ready queue: what a callback has pushed stands behind the items that were there
//! before. So nothing is noted where things are pushed, and that costs nothing while recording is off; and the items
//! themselves are not looked at before they run, unless somebody asks.
//!
//! All is noted when a callback ends; when one begins, only that it does. `state.rs` has what is kept.

use std::sync::Arc;

use ferrio_engine::{FlightKind, FlightRecord, FlightRing};
use ferrio_sys::clock::monotonic;
use ferrio_sys::watching::this_thread;
use pyo3::prelude::*;

use super::records::{MOST_LOOPS, RECORDS, Records, is_on};
use super::state::{ENDS, Item, Push, Ran, State, Timeline, WAITS, YIELDS};
use super::times::Waker;
use super::{entry_of, labels, number_of};
use crate::capi::gil_cell::GilCell;
use crate::objects::loop_base::LoopBase;
use crate::objects::runnable::Runnable;
use crate::objects::task::TaskRef;
use crate::objects::watching;

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
    let ready = base.ready_count(py);
    timeline.state.with(py, |state| {
        state.take_all();
        state.note_pushed(ready, Push { by: Waker::UNKNOWN, at: monotonic() });
        state.depth = 0;
        state.interrupted.clear();
        state.last_end = 0;
        state.is_fresh = true;
        state.thread = thread;
    });
    base.recorded.set(true);
    base.update_special();
}

/// Makes room for a loop's ring, in place of that of a loop that runs no more if there are many.
fn list(py: Python<'_>, timeline: &Arc<Timeline>) -> bool {
    let length = RECORDS.with(py, |records| records.as_ref().map_or(0, |records| records.ring_length));
    let mut fresh = State::default();
    if !fresh.reserve(length) {
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
#[inline]
pub(crate) fn begin(base: &LoopBase, py: Python<'_>) {
    let Some(timeline) = base.timeline.get() else { return };
    let items = base.ready_count(py) + 1;
    let is_nested = timeline.state.with(py, |state| state.begin(items));
    if is_nested {
        let by = running(base, py);
        timeline.state.with(py, |state| state.begin_nested(items, by));
    }
}

/// It has ended.
#[inline]
pub(crate) fn end(base: &LoopBase, py: Python<'_>, runnable: &Runnable) {
    let Some(timeline) = base.timeline.get() else { return };
    let now = monotonic();
    let ready = base.ready_count(py);
    let task = runnable.task(py);
    let ran = match task {
        Some(task) => Ran::of_step(task),
        None => Ran::of_callback(py, runnable),
    };
    timeline.state.with(py, |state| {
        if state.depth == 0 {
            // Recording began while it ran.
            return;
        }
        let item = if state.depth == state.interrupted.len() { state.interrupted.pop() } else { None };
        let item = item.unwrap_or_else(|| state.take());
        state.depth -= 1;
        let by = RECORDS.with(py, |records| match (records, task) {
            (Some(records), Some(task)) => match entry_of(&mut records.tasks, task) {
                Some((number, entry)) => state.note_step(number, entry, &ran, &item, now, ready),
                None => state.note_callback(&ran, &item, now, ready),
            },
            _ => state.note_callback(&ran, &item, now, ready),
        });
        if state.noted != ready {
            state.note_all(ready, Push { by, at: now });
        }
        state.last_end = now;
    });
    if ran.detail == ENDS
        && let Some(task) = task
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
    let timeline = owner.filter(|owner| owner.recorded.get()).and_then(|owner| owner.timeline.get());
    let at = monotonic();
    let outcome = step();
    let now = monotonic();
    let ran = Ran::of_step(task);
    RECORDS.with(py, |records| {
        let Some((number, entry)) = records.as_mut().and_then(|records| entry_of(&mut records.tasks, task)) else {
            return;
        };
        entry.times.ran(now.saturating_sub(at));
        if let Some(timeline) = timeline {
            let item = Item { push: Push::default(), is_counted: true, since: at };
            timeline.state.with(py, |state| {
                state.polls.record(now.saturating_sub(at));
                state.record(&ran, &item, now, 0, number.serial, entry.label);
            });
        }
    });
    if ran.detail == ENDS {
        super::note_name(task);
    }
    outcome
}

impl Ran {
    #[inline]
    fn of_step(task: &TaskRef<'_>) -> Self {
        let (detail, label) = if !task.future().is_pending() {
            (ENDS, 0)
        } else if task.task().waiting_for.is_some() {
            let coroutine = task.task().coroutine().map(|owned| owned.get(task.py()));
            (WAITS, coroutine.map_or(0, |coroutine| labels::of_awaited(&coroutine)))
        } else {
            (YIELDS, 0)
        };
        Self { kind: FlightKind::Step, detail, label }
    }

    #[cold]
    fn of_callback(py: Python<'_>, runnable: &Runnable) -> Self {
        let (detail, label) = match runnable {
            Runnable::Handle(handle) => {
                let callback = handle.body().callback.as_ref();
                (0, callback.map_or(0, |callback| labels::of_callable(callback.bind(py))))
            }
            Runnable::DoneCallback(_) => (1, 0),
            Runnable::Native(_) | Runnable::Task(_) => (2, 0),
        };
        // `ENDS` is for steps.
        Self { kind: FlightKind::Callback, detail, label }
    }
}

/// What runs on a loop: a task, or a callback.
fn running(base: &LoopBase, py: Python<'_>) -> Waker {
    let Some(task) = base.running.task(py).and_then(|task| TaskRef::of(&task)) else { return Waker::CALLBACK };
    let number = RECORDS.with(py, |records| records.as_mut().and_then(|records| number_of(&mut records.tasks, &task)));
    number.map_or(Waker::CALLBACK, Waker::of)
}

/// What runs on a loop, the number of a task or 0 for a callback, and since when; None if nothing does.
pub(super) fn runs(base: &LoopBase, py: Python<'_>) -> Option<(u64, u64)> {
    let timeline = base.timeline.get().filter(|_| base.recorded.get())?;
    let since = timeline.state.with(py, |state| (state.depth != 0).then_some(state.last_end))?;
    Some((running(base, py).code, since))
}

/// Notes in the ring of the running loop that a task was created.
pub(super) fn note_created(base: &LoopBase, py: Python<'_>, serial: u64, by: u64, now: u64) {
    if let Some(timeline) = base.timeline.get().filter(|_| base.recorded.get()) {
        timeline.state.with(py, |state| state.ring.push(FlightRecord::new(FlightKind::Created, now, serial, by)));
    }
}

/// Counts in their times what has woken the tasks that are ready now.
pub(super) fn note_ready_tasks(py: Python<'_>) {
    for (owner, ..) in watching::running(py) {
        let base = owner.get();
        for_each_ready(base, py, Of::Uncounted, |records, task, push| {
            if let Some((_, entry)) = entry_of(&mut records.tasks, task) {
                entry.times.woken(push.by);
            }
        });
        if let Some(timeline) = base.timeline.get() {
            timeline.state.with(py, |state| state.counted = state.noted);
        }
    }
}

/// The records of what has woken the tasks of a running loop that are ready now.
pub(super) fn wakes(base: &LoopBase, py: Python<'_>) -> FlightRing {
    let mut wakes = FlightRing::default();
    if wakes.reserve(base.ready_count(py)) {
        for_each_ready(base, py, Of::All, |records, task, push| {
            if let Some(number) = number_of(&mut records.tasks, task) {
                let record = FlightRecord::new(FlightKind::Wake, push.at, number.serial, 0);
                wakes.push(record.pushed(push.by.code, push.at));
            }
        });
    }
    wakes
}

/// Which tasks are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    All,
    /// Those whose last push is not counted in their times.
    Uncounted,
}

/// Shows the tasks that run or are ready in a recorded loop, with who pushed them.
fn for_each_ready(base: &LoopBase, py: Python<'_>, of: Of, mut show: impl FnMut(&mut Records, &TaskRef<'_>, Push)) {
    let Some(timeline) = base.timeline.get().filter(|_| base.recorded.get()) else { return };
    let task = base.running.task(py).and_then(|task| TaskRef::of(&task));
    let by = running(base, py);
    let ready = base.ready_count(py);
    timeline.state.with(py, |state| {
        // The first item is the one that runs.
        let running = usize::from(state.depth > state.interrupted.len());
        let by = if state.depth == 0 { Waker::OUTSIDE } else { by };
        if state.noted != ready + running {
            state.note_all(ready + running, Push { by, at: monotonic() });
        }
        let skipped = if of == Of::All { 0 } else { state.counted };
        if skipped == state.noted {
            return;
        }
        let pushes = state.pushed.iter().flat_map(|group| std::iter::repeat_n(group.push, group.items));
        let mut pushes = pushes.enumerate().skip(skipped);
        RECORDS.with(py, |records| {
            let Some(records) = records else { return };
            let mut show_item = |item: usize, task: &TaskRef<'_>| {
                if item >= skipped
                    && let Some((_, push)) = pushes.find(|(each, _)| *each == item)
                {
                    show(records, task, push);
                }
            };
            if let Some(task) = task.as_ref().filter(|_| running != 0) {
                show_item(0, task);
            }
            base.for_each_ready_task(py, |place, task| show_item(place + running, task));
        });
    });
}
