//! What is read of the timelines and of the tables.

use std::sync::Arc;

use ferrio_engine::Durations;
use pyo3::prelude::*;

use super::frames::line_of;
use super::progress::Timeline;
use super::records::RECORDS;
pub use super::times::{Times, Waker};
use super::totals::Totals;
use super::{timeline, whereabouts};
use crate::objects::loop_base::LoopBase;
use crate::objects::task::TaskRef;
use crate::objects::watching;

/// What a timeline holds at one moment.
pub struct Reading {
    /// The loop's address.
    pub owner: usize,
    /// The system's number of its thread; 0 if it does not run.
    pub thread: u32,
    /// The records of the ring, then those of the tasks that are ready; `FlightRecord::SIZE` bytes each.
    pub records: Vec<u8>,
    /// How many older ones are lost.
    pub lost: u64,
    /// What runs now, and since when: the number of a task, 0 for a callback; None if nothing does.
    pub running: Option<(u64, u64)>,
    /// When the poll that lasts began; 0 for none.
    pub polling_since: u64,
}

/// The timelines of the loops that were recorded, without what ended before `since`.
pub fn read(py: Python<'_>, since: u64) -> Vec<Reading> {
    let timelines = RECORDS.with(py, |records| records.as_ref().map(|records| records.timelines.clone()));
    let loops = watching::running(py);
    let reading = |timeline: &Arc<Timeline>| {
        let owner = loops.iter().find(|(owner, ..)| owner.as_ptr().addr() == timeline.owner);
        let wakes = owner.and_then(|(owner, ..)| timeline::wakes(owner.get(), py).bytes(since));
        let running = owner.and_then(|(owner, ..)| timeline::runs(owner.get(), py));
        timeline.with(py, |state| {
            let mut records = state.ring.bytes(since).unwrap_or_default();
            if let Some(wakes) = wakes.filter(|wakes| records.try_reserve(wakes.len()).is_ok()) {
                records.extend_from_slice(&wakes);
            }
            Reading {
                owner: timeline.owner,
                thread: state.thread,
                records,
                lost: state.ring.lost(),
                running,
                polling_since: timeline.polling_since(),
            }
        })
    };
    timelines.iter().flatten().map(reading).collect()
}

/// The histograms of a loop: how long its tasks ran at a time, how long they were ready without running, and how long
/// callbacks ran that are no steps of tasks.
pub fn durations(base: &LoopBase, py: Python<'_>) -> Option<[Durations; 3]> {
    let timeline = base.timeline.get()?;
    Some(timeline.with(py, |state| [&state.polls, &state.waits, &state.callbacks].map(Durations::clone)))
}

/// What was counted of all tasks and jobs; None while recording is off.
pub fn totals(py: Python<'_>) -> Option<Totals> {
    RECORDS.with(py, |records| records.as_ref().map(|records| records.totals.clone()))
}

/// How often a loop has asked the system for events while it was recorded; None if it never was.
pub fn system_polls(base: &LoopBase, py: Python<'_>) -> Option<u64> {
    Some(base.timeline.get()?.with(py, |state| state.system_polls))
}

/// The records of the executors' jobs.
pub fn jobs(py: Python<'_>, since: u64) -> Vec<u8> {
    RECORDS.with(py, |records| records.as_ref().and_then(|records| records.jobs.bytes(since)).unwrap_or_default())
}

/// The names of finished tasks, by their numbers.
pub fn names(py: Python<'_>) -> Vec<(u64, Py<PyAny>)> {
    RECORDS.with(py, |records| {
        let names = records.as_ref().map(|records| &records.names);
        names.into_iter().flatten().map(|(serial, name)| (*serial, name.clone_ref(py))).collect()
    })
}

/// The tasks that are known, by their addresses: their numbers, and the labels of what they run.
pub fn numbers(py: Python<'_>) -> Vec<(usize, u64, u64)> {
    RECORDS.with(py, |records| {
        let tasks = records.iter().flat_map(|records| records.tasks.iter());
        tasks.map(|entry| (entry.task, entry.serial, entry.label)).collect()
    })
}

/// What is known of a task's creation.
pub struct Known<'py> {
    /// The address of the creator; None if there was none, or if it is gone.
    pub by: Option<usize>,
    /// The code object and the number of the line, 0 if the instruction has none; None if only asyncio's own code ran.
    pub place: Option<(Bound<'py, PyAny>, u32)>,
    /// The instant, in nanoseconds of the monotonic clock.
    pub at: u64,
}

/// How a task was created, if that was recorded.
pub fn creation_of<'py>(task: &Bound<'py, PyAny>) -> Option<Known<'py>> {
    let py = task.py();
    let task = TaskRef::of(task)?;
    let (by, place, at) = RECORDS.with(py, |records| {
        let records = records.as_mut()?;
        let creation = records.tasks.entry(whereabouts(&task))?.creation.as_ref()?;
        let place = creation.place.as_ref().map(|place| (place.code.clone_ref(py), place.offset));
        let (by, at) = (creation.by, creation.at);
        Some((by.and_then(|by| records.tasks.address(by)), place, at))
    })?;
    let place = place.map(|(code, offset)| {
        let line_number = line_of(&code, offset);
        (code.into_bound(py), line_number)
    });
    Some(Known { by, place, at })
}

/// The times of a task that was created while recording was on, and the address of the task that woke it last, if one
/// did that is still there.
pub fn times_of(task: &Bound<'_, PyAny>) -> Option<(Times, Option<usize>)> {
    let py = task.py();
    let task = TaskRef::of(task)?;
    timeline::note_ready_tasks(py);
    RECORDS.with(py, |records| {
        let records = records.as_mut()?;
        let times = records.tasks.entry(whereabouts(&task)).filter(|entry| entry.creation.is_some())?.times;
        let waker = records.tasks.address(times.woken_by.task());
        Some((times, waker))
    })
}
