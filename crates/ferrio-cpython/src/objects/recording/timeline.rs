//! What a loop does, noted while recording is on: the times of its tasks' steps, and the flight recorder's records.
//!
//! One clock reading for each callback: the end of one is the beginning of the next, unless other work came between.
//! Who woke a task is seen from the ready queue: what a callback has pushed stands behind the items that were there
//! before. So nothing is noted where things are pushed, and that costs nothing while recording is off; and the items
//! themselves are not looked at before they run, unless somebody asks.
//!
//! All is noted when a callback ends, or later (`log.rs`); when one begins, only that it does. `state.rs` has what is kept.

use std::sync::Arc;

use ferrio_engine::{FlightKind, FlightRecord, FlightRing};
use ferrio_sys::clock::monotonic;
use ferrio_sys::watching::this_thread;
use pyo3::prelude::*;

use super::log::Step;
pub(crate) use super::progress::Timeline;
use super::pushes::Push;
use super::records::{self, MOST_LOOPS, RECORDS, Records};
use super::state::{ENDS, Item, Ran, State, WAITS, YIELDS};
use super::switch::is_on;
use super::times::Waker;
use super::{entry_of, labels, number_of};
use crate::objects::loop_base::LoopBase;
use crate::objects::runnable::Runnable;
use crate::objects::task::TaskRef;
use crate::objects::watching;

impl Timeline {
    /// Notes what is to be noted.
    #[inline]
    pub(super) fn note_steps(&self, py: Python<'_>) {
        if self.has_steps(py) {
            self.note_all_steps(py);
        }
    }

    /// Whether there is anything to be noted.
    #[inline]
    pub(super) fn has_steps(&self, py: Python<'_>) -> bool {
        !self.log.with(py, |log| log.is_empty())
    }

    #[inline(never)]
    fn note_all_steps(&self, py: Python<'_>) {
        self.log.with(py, |log| {
            self.state.with(py, |state| {
                RECORDS.with(py, |records| {
                    let entries = records.as_mut().map(|records| records.tasks.entries());
                    state.note_steps(log.steps(), entries.unwrap_or_default());
                });
            });
            log.clear();
        });
    }

    /// Runs `access` with what is known, as `GilCell::with` does. `RECORDS` must not be borrowed meanwhile by the caller.
    pub(super) fn with<R>(&self, py: Python<'_>, access: impl FnOnce(&mut State) -> R) -> R {
        self.note_steps(py);
        self.state.with(py, access)
    }
}

/// Begins to record a loop. Without memory for its ring it is not recorded.
pub(crate) fn attach(owner: &Bound<'_, LoopBase>, thread: u32) {
    let py = owner.py();
    let base = owner.get();
    let timeline = base.timeline.get_or_init(|| Arc::new(Timeline::new(owner.as_ptr().addr())));
    let is_known = RECORDS.with(py, |records| {
        records.as_ref().is_some_and(|records| records.timelines.iter().any(|each| Arc::ptr_eq(each, timeline)))
    });
    if !is_known && !list(py, timeline) {
        return;
    }
    let ready = base.ready_count(py);
    timeline.with(py, |state| state.restart(ready, thread));
    timeline.progress.set_other();
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
    let before = timeline.replace(py, fresh);
    drop(before);
    let oldest = RECORDS.with(py, |records| {
        let records = records.as_mut()?;
        let timelines = &mut records.timelines;
        let stopped = timelines.iter().position(|each| !each.has_thread(py));
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
            timeline.with(owner.py(), |state| state.thread = 0);
        }
    }
}

/// A callback that was taken from the queue begins.
#[inline(always)] // `switch_100`
pub(crate) fn begin(timeline: &Timeline, base: &LoopBase, py: Python<'_>) {
    let items = base.ready_count(py);
    if timeline.progress.is_foreseen(items) {
        timeline.progress.set_running();
    } else {
        begin_unforeseen(timeline, base, py, items + 1);
    }
}

#[inline(never)]
fn begin_unforeseen(timeline: &Timeline, base: &LoopBase, py: Python<'_>, items: usize) {
    let begins_alone = |state: &mut State| {
        let is_alone = state.depth == 0;
        if is_alone {
            state.begin(items);
        }
        is_alone
    };
    if !timeline.progress.runs() && timeline.with(py, begins_alone) {
        timeline.progress.set_running();
        return;
    }
    let by = running(base, py);
    timeline.progress.set_other();
    timeline.with(py, |state| state.begin_nested(items, by));
}

/// Whether a callback runs, or has run the loop again.
fn is_any_running(timeline: &Timeline, py: Python<'_>) -> bool {
    timeline.progress.runs() || timeline.with(py, |state| state.depth != 0)
}

/// It has ended. Of a task that yields or waits this is noted later.
#[inline(never)]
pub(crate) fn end(timeline: &Timeline, base: &LoopBase, py: Python<'_>, runnable: &Runnable) {
    let (until, ready) = (monotonic(), base.ready_count(py));
    let Some(task) = runnable.task(py) else {
        return end_callback(timeline, py, runnable, until, ready);
    };
    if !is_foreseeable(timeline, task) {
        return end_otherwise(timeline, py, task, until, ready);
    }
    if task.task().waiting_for.is_none() {
        end_step(timeline, py, task, Step { until, label: 0, ready, place: task.task().place, detail: YIELDS });
    } else {
        end_wait(timeline, py, task, until, ready);
    }
}

/// Whether a step has to be noted only later: no callback runs around it, its task is in the table and goes on.
#[inline(always)] // `switch_100`
fn is_foreseeable(timeline: &Timeline, task: &TaskRef<'_>) -> bool {
    timeline.progress.runs() && task.task().recording == records::number() && task.future().is_pending()
}

#[inline(never)]
fn end_wait(timeline: &Timeline, py: Python<'_>, task: &TaskRef<'_>, until: u64, ready: usize) {
    let label = label_of_awaited(task);
    end_step(timeline, py, task, Step { until, label, ready, place: task.task().place, detail: WAITS });
}

#[inline(always)] // `switch_100`
fn end_step(timeline: &Timeline, py: Python<'_>, task: &TaskRef<'_>, step: Step) {
    if !timeline.note_later(py, &step) {
        let Step { until, label, ready, detail, .. } = step;
        return end_now(timeline, py, task, &Ran { kind: FlightKind::Step, detail, label, until, ready });
    }
    timeline.progress.foresee(step.ready);
}

#[inline(never)]
fn end_otherwise(timeline: &Timeline, py: Python<'_>, task: &TaskRef<'_>, until: u64, ready: usize) {
    let (detail, label) = outcome_of(task);
    end_now(timeline, py, task, &Ran { kind: FlightKind::Step, detail, label, until, ready });
    if detail == ENDS {
        super::note_done(task);
    }
}

/// Notes at once a task's step that has ended.
#[inline(never)]
fn end_now(timeline: &Timeline, py: Python<'_>, task: &TaskRef<'_>, ran: &Ran) {
    note_end(timeline, py, ran, |state, item| {
        let by = RECORDS.with(py, |records| {
            let (number, entry) = entry_of(&mut records.as_mut()?.tasks, task)?;
            Some(state.note_step(number.place, entry, ran, item))
        });
        // None without memory for the task's times.
        by.unwrap_or_else(|| state.note_callback(ran, item))
    });
}

/// Notes at once another callback that has ended.
#[inline(never)]
fn end_callback(timeline: &Timeline, py: Python<'_>, runnable: &Runnable, until: u64, ready: usize) {
    let ran = Ran::of_callback(py, runnable, until, ready);
    note_end(timeline, py, &ran, |state, item| state.note_callback(&ran, item));
}

#[inline(always)] // an uvicorn request has two callbacks: 70 instructions each
fn note_end(timeline: &Timeline, py: Python<'_>, ran: &Ran, note: impl FnOnce(&mut State, &Item) -> Waker) {
    timeline.with(py, |state| {
        let runs_alone = timeline.progress.runs();
        let Some(item) = (if runs_alone { Some(state.take()) } else { state.end_nested() }) else { return };
        let by = note(state, &item);
        state.note_pushed_by(by, ran);
        if runs_alone {
            timeline.progress.foresee(ran.ready);
        }
    });
}

/// The loop does other work than callbacks: what begins next needs a clock reading of its own. Inside a callback that
/// runs the loop again each one has that.
pub(crate) fn note_other_work(base: &LoopBase, py: Python<'_>) {
    if let Some(timeline) = base.timeline.get().filter(|timeline| !timeline.progress.runs()) {
        timeline.with(py, |state| {
            if state.depth == 0 {
                timeline.progress.set_other();
                state.last_end = 0;
            }
        });
    }
}

/// The loop asks the system for events.
pub fn begin_poll(base: &LoopBase) {
    if let Some(timeline) = base.timeline.get().filter(|_| base.recorded.get()) {
        timeline.set_polling_since(monotonic());
    }
}

/// So many events have come.
pub fn end_poll(base: &LoopBase, py: Python<'_>, events: usize) {
    if let Some(timeline) = base.timeline.get().filter(|_| base.recorded.get()) {
        let (now, ready) = (monotonic(), base.ready_count(py));
        let since = timeline.polling_since();
        timeline.set_polling_since(0);
        timeline.with(py, |state| {
            state.system_polls += 1;
            if since != 0 {
                let record = FlightRecord::new(FlightKind::Poll, since, events as u64, 0);
                state.ring.push(record.lasted(now.saturating_sub(since), ready));
            }
            if !timeline.progress.runs() && state.depth == 0 {
                state.last_end = now;
            }
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
    let (detail, label) = outcome_of(task);
    let ran = Ran { kind: FlightKind::Step, detail, label, until: now, ready: 0 };
    let known = RECORDS.with(py, |records| {
        let (number, entry) = entry_of(&mut records.as_mut()?.tasks, task)?;
        entry.times.ran(now.saturating_sub(at));
        Some((number.serial, entry.label))
    });
    if let (Some((serial, label)), Some(timeline)) = (known, timeline) {
        let item = Item { push: Push::default(), is_counted: true, since: at };
        timeline.with(py, |state| {
            state.polls.record(now.saturating_sub(at));
            state.record(&ran, &item, serial, label);
        });
    }
    if detail == ENDS {
        super::note_done(task);
    }
    outcome
}

/// How a step of a task has ended, and the label of what it awaits.
fn outcome_of(task: &TaskRef<'_>) -> (u8, u64) {
    if !task.future().is_pending() {
        (ENDS, 0)
    } else if task.task().waiting_for.is_none() {
        (YIELDS, 0)
    } else {
        (WAITS, label_of_awaited(task))
    }
}

fn label_of_awaited(task: &TaskRef<'_>) -> u64 {
    task.task().coroutine().map_or(0, |coroutine| labels::of_awaited(coroutine.bind(task.py())))
}

impl Ran {
    #[inline]
    fn of_callback(py: Python<'_>, runnable: &Runnable, until: u64, ready: usize) -> Self {
        let (detail, label) = match runnable {
            Runnable::Handle(handle) => {
                let callback = handle.body().callback.as_ref();
                (0, callback.map_or(0, |callback| labels::of_callable(callback.bind(py))))
            }
            Runnable::DoneCallback(_) => (1, 0),
            Runnable::Native(_) | Runnable::Task(_) => (2, 0),
        };
        // `ENDS` is for steps.
        Self { kind: FlightKind::Callback, detail, label, until, ready }
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
    let since = timeline.with(py, |state| state.last_end);
    is_any_running(timeline, py).then(|| (running(base, py).code, since))
}

/// Notes in the ring of the running loop that a task was created.
pub(super) fn note_created(base: &LoopBase, py: Python<'_>, serial: u64, by: u64, now: u64) {
    if let Some(timeline) = base.timeline.get().filter(|_| base.recorded.get()) {
        timeline.with(py, |state| state.ring.push(FlightRecord::new(FlightKind::Created, now, serial, by)));
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
            timeline.with(py, |state| state.counted = state.noted);
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
    let (ready, runs_alone) = (base.ready_count(py), timeline.progress.runs());
    let by = if is_any_running(timeline, py) { by } else { Waker::OUTSIDE };
    timeline.with(py, |state| {
        // The first item is the one that runs.
        let running = usize::from(runs_alone || state.depth > state.interrupted.len());
        if state.noted != ready + running {
            state.note_all(ready + running, Push { by, at: monotonic() });
            if !runs_alone {
                timeline.progress.set_other();
            }
        }
        let skipped = if of == Of::All { 0 } else { state.counted };
        if skipped == state.noted {
            return;
        }
        let mut pushes = state.pushes.iter().enumerate().skip(skipped);
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
