//! What is recorded while inspection is on: who created each task, where and when, and who holds which lock; how long
//! tasks ran and waited (`times.rs`); what a loop did last (`timeline.rs`).
//!
//! Off, a hot path has one predictable branch for it, [`is_on`]. The tables are keyed by address. Addresses are reused,
//! so each recorded task has a serial number, and a task or lock that is new at an address replaces the entry of the old
//! one. Entries of tasks that are gone are dropped when the table has doubled.
//!
//! Invariant: the tables hold references to code objects only, so that nothing lives longer because of them.

pub mod labels;
pub mod timeline;
mod times;

use std::collections::HashMap;
use std::ffi::c_int;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ferrio_engine::{FlightKind, FlightRecord, FlightRing};
use ferrio_sys::clock::monotonic;
use ferrio_sys::watching::this_thread;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

use self::timeline::Timeline;
pub use self::times::{Times, Waker, times_of};
use super::current::running_address;
use super::loop_base::monotonic_seconds;
use super::task::{TaskRef, registry};
use crate::capi::gil_cell::GilCell;
use crate::capi::imports;

/// How many frames of a creator are kept: enough to get out of asyncio's own functions.
const FRAMES: usize = 4;

/// From this number of entries on, those of tasks that are gone are looked for.
const PURGE_FROM: usize = 1024;

/// From this number of loops on, what is known of those that run no more is dropped.
const MOST_LOOPS: usize = 16;

/// How many records of executors' jobs are kept.
const MOST_JOBS: usize = 4096;

/// How many names of finished tasks are kept; then they are forgotten together.
const MOST_NAMES: usize = 4096;

/// Relaxed throughout: the GIL orders all accesses.
static ON: AtomicBool = AtomicBool::new(false);

static RECORDS: GilCell<Option<Records>> = GilCell::new(None);

#[derive(Default)]
struct Records {
    tasks: HashMap<usize, Entry, AddressHasher>,
    holders: HashMap<usize, Vec<Holder>, AddressHasher>,
    /// The names of functions, by the address of the text.
    labels: HashMap<usize, Py<PyString>, AddressHasher>,
    /// The names of tasks that are done, if they were given one, by their number.
    names: HashMap<u64, Py<PyAny>, AddressHasher>,
    /// The loops that were recorded.
    timelines: Vec<Arc<Timeline>>,
    /// The jobs of executors.
    jobs: FlightRing,
    ring_length: usize,
    next_serial: u64,
    purge_at: usize,
}

/// Hashes an address by one multiplication: the keys are no input of anybody's.
#[derive(Default)]
struct AddressHash(u64);

type AddressHasher = BuildHasherDefault<AddressHash>;

impl Hasher for AddressHash {
    #[inline]
    fn write_usize(&mut self, address: usize) {
        self.write_u64(address as u64);
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        let product = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = product ^ (product >> 32);
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

struct Entry {
    serial: u64,
    /// What it runs; 0 if that is not known.
    label: u64,
    times: Times,
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
    /// The instant, in nanoseconds of the monotonic clock.
    pub at: u64,
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

/// Begins to record, or ends it and forgets everything. A loop's ring has `length` records.
pub fn switch(py: Python<'_>, on: bool, length: usize, native_thread: impl Fn(u64) -> u32) {
    let mut fresh =
        on.then(|| Records { next_serial: 1, purge_at: PURGE_FROM, ring_length: length, ..Records::default() });
    if let Some(fresh) = &mut fresh {
        // Without memory for it, jobs are not recorded.
        let _ = fresh.jobs.reserve(length.min(MOST_JOBS));
    }
    let (before, begins) = RECORDS.with(py, |records| {
        if on && records.is_some() {
            return (fresh, false);
        }
        (std::mem::replace(records, fresh), on)
    });
    ON.store(on, Ordering::Relaxed);
    for (owner, ..) in super::watching::running(py) {
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
    let by = running_address(py);
    let frames = frames(py);
    let now = monotonic();
    let label = task.task().coroutine().map_or(0, |coroutine| labels::of_coroutine(&coroutine.get(py)));
    let alive = addresses_if(py, |records| records.tasks.len() >= records.purge_at);
    let noted = RECORDS.with(py, |records| {
        let Some(records) = records else { return (None, Vec::new(), 0, 0) };
        let purged = alive.map(|alive| records.purge(&alive)).unwrap_or_default();
        let serial_of_creator = by.map_or(0, |by| records.serial_of(by));
        let creation = Creation { by, serial_of_creator, frames, at: now };
        let serial = records.new_serial();
        let entry = Entry { serial, label, times: Times::default(), creation: Some(creation) };
        if records.tasks.try_reserve(1).is_err() {
            return (Some(entry), purged, 0, 0);
        }
        let before = records.tasks.insert(task.object().as_ptr().addr(), entry);
        (before, purged, serial, serial_of_creator)
    });
    let (before, purged, serial, by) = noted;
    if serial != 0
        && let Ok(Some(owner)) = task.future().native_owner()
    {
        timeline::note_created(owner.get(), py, serial, by, now);
    }
    drop((before, purged));
}

/// A task is done: its name is kept, if it was given one, for what the flight recorder has of it.
#[cold]
fn note_name(task: &TaskRef<'_>) {
    let py = task.py();
    let Some(name) = task.given_name() else { return };
    let address = task.object().as_ptr().addr();
    let before = RECORDS.with(py, |records| {
        let records = records.as_mut()?;
        let serial = records.tasks.get(&address)?.serial;
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

/// An executor's thread begins a job, or has ended it; `label` names its function.
#[cold]
pub fn note_job(py: Python<'_>, begins: bool, label: u64) {
    let kind = if begins { FlightKind::JobBegan } else { FlightKind::JobEnded };
    let record = FlightRecord::new(kind, monotonic(), u64::from(this_thread()), label);
    RECORDS.with(py, |records| records.as_mut().map(|records| records.jobs.push(record)));
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
        let tasks = records.as_ref().map(|records| &records.tasks);
        tasks.into_iter().flatten().map(|(address, entry)| (*address, entry.serial, entry.label)).collect()
    })
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
    for (owner, ..) in super::watching::running(py) {
        timeline::leave(&owner);
    }
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
            self.tasks.insert(task, Entry { serial, label: 0, times: Times::default(), creation: None });
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
