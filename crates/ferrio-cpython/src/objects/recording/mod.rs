//! What is recorded while inspection is on: who created each task, where and when, and who holds which lock
//! (`holders.rs`); how long tasks ran and waited, and what a loop did last (`timeline.rs`). `readings.rs` has what is
//! asked, `records.rs` what is kept.
//!
//! Off, a hot path has one predictable branch for it, [`is_on`].
//!
//! Invariant: the tables hold references to code objects and texts only, so that nothing lives longer because of them.

mod creation;
mod frames;
pub mod holders;
pub mod labels;
mod locks;
mod log;
mod number;
mod progress;
mod pushes;
pub mod readings;
mod records;
pub mod since;
mod state;
mod switch;
mod table;
pub mod timeline;
mod times;
pub mod totals;
pub mod waits;

use std::collections::HashMap;

use ferrio_engine::{FlightKind, FlightRecord, FlightRing};
use ferrio_sys::clock::monotonic;
use ferrio_sys::watching::this_thread;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use self::creation::{Codes, Creation};
use self::frames::running_place;
use self::number::Number;
pub(crate) use self::progress::Timeline;
use self::records::{MOST_JOBS, MOST_NAMES, RECORDS, Records};
pub use self::switch::is_on;
use self::table::{Entry, Table, Whereabouts};
use super::current::task_of_this_thread;
use super::task::TaskRef;
use super::watching;
use crate::capi::innermost_frame;

/// What is needed to record.
pub struct Plan {
    /// How many records each loop's ring has.
    pub length: usize,
    /// The directories of asyncio's own files and of ours, with a separator at their ends.
    pub asyncio: Py<PyTuple>,
}

/// Begins to record, or with None ends it and forgets everything.
pub fn switch(py: Python<'_>, plan: Option<Plan>, native_thread: impl Fn(u64) -> u32) {
    let on = plan.is_some();
    let mut fresh =
        plan.map(|plan| Records { codes: Codes::new(plan.asyncio), ring_length: plan.length, ..Records::default() });
    if let Some(fresh) = &mut fresh {
        // Without memory for it, jobs are not recorded.
        let _ = fresh.jobs.reserve(fresh.ring_length.min(MOST_JOBS));
    }
    let (before, begins) = RECORDS.with(py, |records| {
        if on && records.is_some() {
            return (fresh, false);
        }
        (std::mem::replace(records, fresh), on)
    });
    if begins {
        innermost_frame::learn(py);
    }
    if begins || !on {
        records::set_on(on);
    }
    for (owner, ..) in watching::running(py) {
        if begins {
            timeline::attach(&owner, native_thread(owner.get().thread().unwrap_or(0)));
        } else if !on {
            timeline::leave(&owner);
        }
    }
    drop(before);
}

/// A task was created.
#[cold]
pub(crate) fn note_created(task: &TaskRef<'_>) {
    let py = task.py();
    let place = running_place(py);
    let owner = task.future().native_owner().ok().flatten();
    let creator = match &owner {
        Some(owner) if watching::is_the_only_one_here(owner) => {
            owner.get().running.task(py).and_then(|task| TaskRef::of(&task))
        }
        _ => task_of_this_thread(py),
    };
    let now = monotonic();
    let label = task.task().coroutine().map_or(0, |coroutine| labels::of_coroutine(&coroutine.get(py)));
    // Its place may be another one from now on, or none.
    note_all_steps(py);
    task.update(|body| body.recording = 0);
    let noted = RECORDS.with(py, |records| {
        let records = records.as_mut()?;
        let by = creator.as_ref().and_then(|creator| number_of(&mut records.tasks, creator));
        // A second `__init__`: the task is another one from now on.
        let before = records.tasks.remove(whereabouts(task));
        let number = add(&mut records.tasks, task, label, Some(Creation { by, place, at: now }));
        records.totals.created += 1;
        Some((before, number, by))
    });
    let Some((before, number, by)) = noted else { return };
    drop(before);
    if let (Some(number), Some(owner)) = (number, owner) {
        timeline::note_created(owner.get(), py, number.serial, by.map_or(0, |by| by.serial), now);
    }
}

#[inline]
fn whereabouts(task: &TaskRef<'_>) -> Whereabouts {
    Whereabouts { place: task.task().place, address: task.object().as_ptr().addr() }
}

/// The number of a task, which gets an entry if it has none: it was there before recording began. None if there is no
/// memory for it.
#[inline]
fn number_of(tasks: &mut Table, task: &TaskRef<'_>) -> Option<Number> {
    entry_of(tasks, task).map(|(number, _)| number)
}

/// The same, with its entry.
#[inline]
fn entry_of<'a>(tasks: &'a mut Table, task: &TaskRef<'_>) -> Option<(Number, &'a mut Entry)> {
    let known = whereabouts(task);
    let place = if tasks.has(known) { known.place } else { add(tasks, task, 0, None)?.place };
    let entry = tasks.at(place)?;
    Some((Number { place, serial: entry.serial }, entry))
}

fn add(tasks: &mut Table, task: &TaskRef<'_>, label: u64, creation: Option<Creation>) -> Option<Number> {
    let number = tasks.add(task.object().as_ptr().addr(), label, creation)?;
    let recording = records::number_for_tasks();
    task.update(|body| (body.place, body.recording) = (number.place, recording));
    Some(number)
}

/// Notes what all loops have done. Then no place in the table is needed any more.
fn note_all_steps(py: Python<'_>) {
    let is_any = RECORDS.with(py, |records| {
        records.iter().flat_map(|records| &records.timelines).any(|timeline| timeline.has_steps(py))
    });
    if is_any {
        note_steps_of_all(py);
    }
}

#[inline(never)]
fn note_steps_of_all(py: Python<'_>) {
    // One after the other: noting borrows the records.
    let timeline = |number: usize| {
        RECORDS.with(py, |records| records.as_ref().and_then(|records| records.timelines.get(number).cloned()))
    };
    let mut number = 0;
    while let Some(timeline) = timeline(number) {
        timeline.note_steps(py);
        number += 1;
    }
}

/// The task at `address`, which had `place` in the table, is being freed.
#[cold]
pub(crate) fn note_freed(py: Python<'_>, place: u32, address: *mut ffi::PyObject) {
    let task = Whereabouts { place, address: address.addr() };
    note_all_steps(py);
    let creation = RECORDS.with(py, |records| records.as_mut().and_then(|records| records.tasks.remove(task)));
    drop(creation);
}

/// A task is done: its name is kept, if it was given one, for what the flight recorder has of it.
#[cold]
fn note_done(task: &TaskRef<'_>) {
    let py = task.py();
    records::count(py, |totals| totals.done += 1);
    let Some(name) = task.given_name() else { return };
    let before = RECORDS.with(py, |records| {
        let records = records.as_mut()?;
        let serial = records.tasks.entry(whereabouts(task))?.serial;
        let full = records.names.len() >= MOST_NAMES || records.names.try_reserve(1).is_err();
        let before = if full { std::mem::take(&mut records.names) } else { HashMap::default() };
        if records.names.try_reserve(1).is_err() {
            return Some((before, Some(name.unbind())));
        }
        let replaced = records.names.insert(serial, name.unbind());
        Some((before, replaced))
    });
    drop(before);
}

/// A task is destroyed that is not done.
#[cold]
pub(crate) fn note_destroyed_pending(py: Python<'_>) {
    if is_on() {
        records::count(py, |totals| totals.destroyed_pending += 1);
    }
}

/// A job has waited for a thread, for so many nanoseconds.
#[cold]
pub fn note_job_wait(py: Python<'_>, waited: u64) {
    records::count(py, |totals| totals.job_waits.record(waited));
}

/// An executor's thread begins a job, or has ended it; `label` names its function.
#[cold]
pub fn note_job(py: Python<'_>, begins: bool, label: u64) {
    let kind = if begins { FlightKind::JobBegan } else { FlightKind::JobEnded };
    let record = FlightRecord::new(kind, monotonic(), u64::from(this_thread()), label);
    RECORDS.with(py, |records| records.as_mut().map(|records| records.jobs.push(record)));
}

/// In a child made by `fork`: forgets what happened in the parent. Tasks and holders are known as before.
pub fn forget_flight(py: Python<'_>) {
    let before = RECORDS.with(py, |records| {
        let records = records.as_mut()?;
        let mut jobs = FlightRing::default();
        let _ = jobs.reserve(records.ring_length.min(MOST_JOBS));
        Some((std::mem::replace(&mut records.jobs, jobs), std::mem::take(&mut records.timelines)))
    });
    drop(before);
    for (owner, ..) in watching::running(py) {
        timeline::leave(&owner);
    }
}
