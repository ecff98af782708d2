//! What is recorded while inspection is on: who created each task, where and when, and who holds which lock.
//!
//! Off, a hot path has one predictable branch for it, [`is_on`]. The tables are keyed by address. Addresses are reused,
//! so each recorded task has a serial number, and a task or lock that is new at an address replaces the entry of the old
//! one. Entries of tasks that are gone are dropped when the table has doubled.
//!
//! Invariant: the tables hold references to code objects only, so that nothing lives longer because of them.

use std::collections::HashMap;
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;

use super::current::running_address;
use super::loop_base::monotonic_seconds;
use super::task::{TaskRef, registry};
use crate::capi::gil_cell::GilCell;
use crate::capi::imports;

/// How many frames of a creator are kept: enough to get out of asyncio's own functions.
const FRAMES: usize = 4;

/// From this number of entries on, those of tasks that are gone are looked for.
const PURGE_FROM: usize = 1024;

/// Relaxed throughout: the GIL orders all accesses.
static ON: AtomicBool = AtomicBool::new(false);

static RECORDS: GilCell<Option<Records>> = GilCell::new(None);

#[derive(Default)]
struct Records {
    tasks: HashMap<usize, Entry>,
    holders: HashMap<usize, Vec<Holder>>,
    next_serial: u64,
    purge_at: usize,
}

struct Entry {
    serial: u64,
    /// None for a task that was there before recording began.
    creation: Option<Creation>,
}

/// How a task came to be.
pub struct Creation {
    /// The address of the task that created it, if that is known and no later task has it; the task may be gone.
    pub by: Option<usize>,
    serial_of_creator: u64,
    /// The innermost frames of its creator.
    pub frames: Vec<Place>,
    /// The instant, in seconds of the monotonic clock.
    pub at: f64,
}

/// Where a frame was.
pub struct Place {
    code: Py<PyAny>,
    /// Of the instruction, in bytes; negative before the first one.
    offset: c_int,
}

impl Place {
    fn clone_ref(&self, py: Python<'_>) -> Self {
        Self { code: self.code.clone_ref(py), offset: self.offset }
    }

    /// The code object and the number of the line; 0 if the instruction has none.
    #[must_use]
    pub fn code_and_line<'py>(&self, py: Python<'py>) -> (Bound<'py, PyAny>, u32) {
        let code = self.code.bind(py);
        // SAFETY: a code object, as frames have one, which is alive while counted.
        let line_number = unsafe { ffi::PyCode_Addr2Line(code.as_ptr().cast(), self.offset) };
        (code.clone(), line_number.try_into().unwrap_or_default())
    }
}

/// A task that holds a lock.
#[derive(Clone, Copy)]
pub struct Holder {
    /// Its address.
    pub task: usize,
    serial: u64,
    /// Since when, in seconds of the monotonic clock.
    pub since: f64,
}

/// Whether a lock has one holder or, as a semaphore, several.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// One holder.
    Exclusive,
    /// Any number of them.
    Shared,
}

/// Whether anything is to be recorded.
#[inline]
#[must_use]
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Begins to record, or ends it and forgets everything.
pub fn switch(py: Python<'_>, on: bool) {
    let fresh = on.then(|| Records { next_serial: 1, purge_at: PURGE_FROM, ..Records::default() });
    let before = RECORDS.with(py, |records| {
        if on && records.is_some() {
            return fresh;
        }
        std::mem::replace(records, fresh)
    });
    ON.store(on, Ordering::Relaxed);
    drop(before);
}

/// A task was created.
#[cold]
pub(crate) fn note_created(task: &TaskRef<'_>) {
    let py = task.py();
    let by = running_address(py);
    let frames = frames(py);
    let alive = addresses_if(py, |records| records.tasks.len() >= records.purge_at);
    let gone = RECORDS.with(py, |records| {
        let Some(records) = records else { return (None, Vec::new()) };
        let purged = alive.map(|alive| records.purge(&alive)).unwrap_or_default();
        let serial_of_creator = by.map_or(0, |by| records.serial_of(by));
        let creation = Creation { by, serial_of_creator, frames, at: monotonic_seconds() };
        let serial = records.new_serial();
        let entry = Entry { serial, creation: Some(creation) };
        if records.tasks.try_reserve(1).is_err() {
            return (Some(entry), purged);
        }
        (records.tasks.insert(task.object().as_ptr().addr(), entry), purged)
    });
    drop(gone);
}

/// The running task has taken a lock.
#[cold]
pub fn note_taken(lock: &Bound<'_, PyAny>, sharing: Sharing) {
    let (py, address) = (lock.py(), lock.as_ptr().addr());
    let Some(task) = running_address(py) else {
        return note_released(lock, sharing);
    };
    RECORDS.with(py, |records| {
        let Some(records) = records else { return };
        let holder = Holder { task, serial: records.serial_of(task), since: monotonic_seconds() };
        if records.holders.try_reserve(1).is_err() {
            return;
        }
        let holders = records.holders.entry(address).or_default();
        if sharing == Sharing::Exclusive {
            holders.clear();
        }
        if holders.try_reserve(1).is_ok() {
            holders.push(holder);
        }
    });
}

/// A lock was released.
#[cold]
pub fn note_released(lock: &Bound<'_, PyAny>, sharing: Sharing) {
    let (py, address) = (lock.py(), lock.as_ptr().addr());
    let task = running_address(py);
    RECORDS.with(py, |records| {
        let Some(holders) = records.as_mut().and_then(|records| records.holders.get_mut(&address)) else { return };
        // Code that holds no permit may return one: then it is the oldest.
        let own = holders.iter().position(|holder| Some(holder.task) == task).unwrap_or(0);
        if sharing == Sharing::Shared && holders.len() > 1 {
            holders.remove(own);
        } else if let Some(records) = records {
            records.holders.remove(&address);
        }
    });
}

/// How a task was created, if that was recorded.
pub fn creation_of(py: Python<'_>, task: usize) -> Option<Creation> {
    RECORDS.with(py, |records| {
        let records = records.as_ref()?;
        let creation = records.tasks.get(&task)?.creation.as_ref()?;
        let is_same =
            |by: &usize| records.tasks.get(by).is_some_and(|entry| entry.serial == creation.serial_of_creator);
        Some(Creation {
            by: creation.by.filter(is_same),
            serial_of_creator: creation.serial_of_creator,
            frames: creation.frames.iter().map(|place| place.clone_ref(py)).collect(),
            at: creation.at,
        })
    })
}

/// The tasks that hold a lock, as far as they were recorded.
pub fn holders_of(lock: &Bound<'_, PyAny>) -> Vec<Holder> {
    let (py, address) = (lock.py(), lock.as_ptr().addr());
    RECORDS.with(py, |records| {
        let Some(records) = records else { return Vec::new() };
        let is_same =
            |holder: &&Holder| records.tasks.get(&holder.task).is_some_and(|task| task.serial == holder.serial);
        records.holders.get(&address).map_or_else(Vec::new, |holders| holders.iter().filter(is_same).copied().collect())
    })
}

impl Records {
    fn new_serial(&mut self) -> u64 {
        let serial = self.next_serial;
        self.next_serial += 1;
        serial
    }

    /// The serial number of a running task, which gets one if it was there before recording began.
    fn serial_of(&mut self, task: usize) -> u64 {
        if let Some(entry) = self.tasks.get(&task) {
            return entry.serial;
        }
        let serial = self.new_serial();
        if self.tasks.try_reserve(1).is_ok() {
            self.tasks.insert(task, Entry { serial, creation: None });
        }
        serial
    }

    /// Takes out the entries of tasks that are gone; `alive` is sorted.
    fn purge(&mut self, alive: &[usize]) -> Vec<Entry> {
        let gone: Vec<usize> = self.tasks.keys().filter(|task| alive.binary_search(task).is_err()).copied().collect();
        let entries = gone.iter().filter_map(|task| self.tasks.remove(task)).collect();
        self.purge_at = PURGE_FROM.max(self.tasks.len() * 2);
        let tasks = &self.tasks;
        self.holders.retain(|_, holders| {
            holders.retain(|holder| tasks.get(&holder.task).is_some_and(|task| task.serial == holder.serial));
            !holders.is_empty()
        });
        entries
    }
}

/// The addresses of all pending tasks in order, if `wanted`.
fn addresses_if(py: Python<'_>, wanted: impl FnOnce(&Records) -> bool) -> Option<Vec<usize>> {
    if !RECORDS.with(py, |records| records.as_ref().is_some_and(wanted)) {
        return None;
    }
    let mut addresses = registry::addresses(py);
    addresses.sort_unstable();
    Some(addresses)
}

/// The innermost frames of the running code. Their lines are looked up when somebody asks: that takes most of the time.
fn frames(py: Python<'_>) -> Vec<Place> {
    let mut found = Vec::new();
    if found.try_reserve_exact(FRAMES).is_err() {
        return found;
    }
    let mut frame = imports::current_frame(py);
    while let Some(present) = frame.filter(|_| found.len() < FRAMES) {
        let pointer = present.as_ptr().cast::<ffi::PyFrameObject>();
        // SAFETY: a frame, which is alive while counted.
        let offset = unsafe { ffi::PyFrame_GetLasti(pointer) };
        // SAFETY: as above.
        let code = unsafe { ffi::PyFrame_GetCode(pointer) };
        // SAFETY: a new reference; every frame has a code object.
        let code = unsafe { Bound::from_owned_ptr(py, code.cast()) };
        found.push(Place { code: code.unbind(), offset });
        // SAFETY: as above.
        let outer = unsafe { ffi::PyFrame_GetBack(pointer) };
        // SAFETY: null, or a new reference.
        frame = unsafe { Bound::from_owned_ptr_or_opt(py, outer.cast()) };
        if frame.is_none() {
            // SAFETY: the GIL is held. Without memory for a frame object an error may be set.
            unsafe { ffi::PyErr_Clear() };
        }
    }
    found
}
