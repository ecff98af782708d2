//! Who holds which lock, and since when.

use pyo3::prelude::*;

use super::frames::{line_of, running_place};
use super::locks::Hold;
pub use super::locks::Sharing;
use super::number_of;
use super::records::{RECORDS, Records};
use crate::objects::current::task_of_this_thread;
use crate::objects::loop_base::monotonic_seconds;

/// A task that holds a lock.
#[derive(Clone, Copy)]
pub struct Holder {
    /// Its address.
    pub task: usize,
    /// Since when, in seconds of the monotonic clock.
    pub since: f64,
}

/// The running task has taken a lock.
#[cold]
pub fn note_taken(lock: &Bound<'_, PyAny>, sharing: Sharing) {
    let (py, address) = (lock.py(), lock.as_ptr().addr());
    let Some(task) = task_of_this_thread(py) else {
        return note_released(lock, sharing);
    };
    RECORDS.with(py, |records| {
        let Some(records) = records else { return };
        if let Some(task) = number_of(&mut records.tasks, &task) {
            records.locks.taken(address, Hold { task, since: monotonic_seconds() }, sharing, &records.tasks);
        }
    });
}

/// A lock was released.
#[cold]
pub fn note_released(lock: &Bound<'_, PyAny>, sharing: Sharing) {
    let (py, address) = (lock.py(), lock.as_ptr().addr());
    let task = task_of_this_thread(py);
    RECORDS.with(py, |records| {
        let Some(records) = records else { return };
        let by = task.as_ref().and_then(|task| number_of(&mut records.tasks, task));
        records.locks.released(address, by, sharing);
    });
}

/// A lock is being made.
#[cold]
pub fn note_made(lock: &Bound<'_, PyAny>) {
    let (py, address) = (lock.py(), lock.as_ptr().addr());
    let Some(place) = running_place(py) else { return };
    let mut place = Some(place);
    let before = RECORDS.with(py, |records| Some(records.as_mut()?.locks.made(address, place.take()?)));
    drop((before, place));
}

/// Where a lock was made, as far as it was recorded: the code and the line.
pub fn place_of<'py>(lock: &Bound<'py, PyAny>) -> Option<(Bound<'py, PyAny>, u32)> {
    let (py, address) = (lock.py(), lock.as_ptr().addr());
    let (code, offset) = RECORDS.with(py, |records| {
        let place = records.as_ref()?.locks.place(address)?;
        Some((place.code.clone_ref(py), place.offset))
    })?;
    Some((code.bind(py).clone(), line_of(&code, offset)))
}

/// The tasks that hold a lock, as far as they were recorded.
pub fn holders_of(lock: &Bound<'_, PyAny>) -> Vec<Holder> {
    let (py, address) = (lock.py(), lock.as_ptr().addr());
    RECORDS.with(py, |records| {
        let Some(Records { tasks, locks, .. }) = records else { return Vec::new() };
        let holds = locks.of(address).iter();
        holds.filter_map(|hold| Some(Holder { task: tasks.address(hold.task)?, since: hold.since })).collect()
    })
}
