//! The loops that run, and what they tell the watchdog while it is on.
//!
//! Off, the only cost is the list of running loops, at the beginning and the end of a run. On, each callback goes by the
//! branch that debug mode has anyway, and notes in the loop's pulse that it begins. When the watchdog has opened a block
//! meanwhile, the loop's own thread closes it as soon as the callback has ended, and calls the program's side of
//! inspection: so what is logged is logged where asyncio's debug mode logs, in no thread of ours.
//!
//! Invariant: a loop is in the list only while it runs, so the list keeps nothing alive.

use std::sync::Arc;

use ferrio_sys::clock;
use ferrio_sys::watching::{Pulse, Shared, this_thread};
use pyo3::ffi;
use pyo3::prelude::*;

use super::loop_base::LoopBase;
use super::recording::timeline;
use super::runnable::{Runnable, TaskStep};
use crate::capi::gil_cell::GilCell;
use crate::capi::imports;

static RUNNING: GilCell<Vec<RunningLoop>> = GilCell::new(Vec::new());

static WATCH: GilCell<Option<Watch>> = GilCell::new(None);

struct RunningLoop {
    owner: Py<LoopBase>,
    /// The address of the interpreter's state of its thread.
    state: usize,
    /// The address of the frame that runs it; 0 if the watchdog was off.
    frame: usize,
}

/// The watchdog, while it is on.
pub struct Watch {
    /// What its threads share.
    pub shared: Arc<Shared>,
    /// Called with the loop, the number of a block that has ended, how long it was in seconds, and the task that ran or
    /// None.
    pub ended: Py<PyAny>,
}

/// Turns the watchdog on, or off with None. The numbers that the system gives to the threads of loops that run already
/// come from `native_thread`.
pub fn switch(py: Python<'_>, watch: Option<Watch>, native_thread: impl Fn(u64) -> u32) {
    let shared = watch.as_ref().map(|watch| Arc::clone(&watch.shared));
    let before = WATCH.with(py, |place| std::mem::replace(place, watch));
    for (owner, state, frame) in running(py) {
        let base = owner.get();
        if let Some(before) = &before {
            base.leave(&before.shared);
        }
        if let Some(shared) = &shared {
            LoopBase::watch(&owner, shared, native_thread(base.thread().unwrap_or(0)), state, frame);
        }
    }
    drop(before);
}

/// The loops that run, the states of their threads, and the frames that run them.
pub fn running(py: Python<'_>) -> Vec<(Bound<'_, LoopBase>, usize, usize)> {
    RUNNING.with(py, |running| {
        running.iter().map(|each| (each.owner.clone_ref(py).into_bound(py), each.state, each.frame)).collect()
    })
}

/// Whether this loop runs in this thread, and no other one anywhere.
#[inline]
pub(crate) fn is_the_only_one_here(owner: &Bound<'_, LoopBase>) -> bool {
    let py = owner.py();
    let is_only = |running: &mut Vec<RunningLoop>| running.len() == 1 && running[0].owner.as_ptr() == owner.as_ptr();
    owner.get().thread() == Some(crate::thread_identifier(py)) && RUNNING.with(py, is_only)
}

/// A loop begins to run in this thread.
pub fn begin_run(slf: &Bound<'_, LoopBase>) {
    let py = slf.py();
    // SAFETY: the GIL is held, so this thread has a state.
    let state = unsafe { ffi::PyThreadState_Get() }.addr();
    timeline::begin_run(slf);
    let shared = WATCH.with(py, |watch| watch.as_ref().map(|watch| Arc::clone(&watch.shared)));
    let frame = shared.as_ref().and_then(|_| imports::current_frame(py)).map_or(0, |frame| frame.as_ptr().addr());
    let owner = slf.clone().unbind();
    let entered = RunningLoop { owner, state, frame };
    let refused = RUNNING.with(py, |running| {
        if running.try_reserve(1).is_err() {
            return Some(entered);
        }
        running.push(entered);
        None
    });
    drop(refused);
    if let Some(shared) = &shared {
        LoopBase::watch(slf, shared, this_thread(), state, frame);
    }
}

/// The run that began last of this loop has ended.
pub fn end_run(slf: &Bound<'_, LoopBase>) {
    let py = slf.py();
    timeline::leave(slf);
    let left = RUNNING.with(py, |running| {
        let place = running.iter().rposition(|each| each.owner.as_ptr() == slf.as_ptr())?;
        Some(running.swap_remove(place))
    });
    drop(left);
    if let Some(shared) = WATCH.with(py, |watch| watch.as_ref().map(|watch| Arc::clone(&watch.shared))) {
        slf.get().leave(&shared);
    }
}

/// In a child made by `fork`: the loops that ran in the parent do not run here, or not further than to the child's end.
pub fn forget_running(py: Python<'_>) {
    let before = RUNNING.with(py, std::mem::take);
    for each in &before {
        if let Some(pulse) = each.owner.get().pulse.get() {
            let _ = pulse.close_block();
        }
        each.owner.get().watched.set(false);
        each.owner.get().update_special();
        timeline::leave(each.owner.bind(py));
    }
    drop(before);
}

impl LoopBase {
    fn watch(slf: &Bound<'_, Self>, shared: &Shared, thread: u32, state: usize, frame: usize) {
        let this = slf.get();
        let pulse = this.pulse.get_or_init(|| Arc::new(Pulse::new(slf.as_ptr().addr())));
        pulse.begin_run(thread, state, frame);
        if this.sleep_state.is_waiting() {
            // It sleeps in another thread, and says so the next time only.
            pulse.begin_wait();
        }
        this.watched.set(true);
        this.update_special();
        shared.add(pulse);
    }

    fn leave(&self, shared: &Shared) {
        if let Some(pulse) = self.pulse.get() {
            shared.remove(pulse);
        }
        self.watched.set(false);
        self.update_special();
    }

    /// The loop's pulse, while it is watched.
    #[inline]
    pub fn pulse(&self) -> Option<&Arc<Pulse>> {
        if self.watched.get() { self.pulse.get() } else { None }
    }

    /// The loop's pulse, if it was ever watched.
    pub fn last_pulse(&self) -> Option<&Arc<Pulse>> {
        self.pulse.get()
    }

    /// The task of ferrio's whose step runs.
    #[must_use]
    pub fn running_task<'py>(slf: &Bound<'py, Self>) -> Option<Bound<'py, PyAny>> {
        slf.get().running.task(slf.py())
    }

    /// Closes the block that the watchdog has opened, if it has: what ran has ended. `task` is the task that ran.
    pub fn end_block(slf: &Bound<'_, Self>, task: impl FnOnce() -> Option<Py<PyAny>>) -> PyResult<()> {
        match slf.get().pulse().and_then(|pulse| pulse.close_block()) {
            None => Ok(()),
            Some((block, lasted)) => Self::report_block(slf, block, lasted, task()),
        }
    }

    #[cold]
    fn report_block(slf: &Bound<'_, Self>, block: u64, lasted: u64, task: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let ended = WATCH.with(py, |watch| watch.as_ref().map(|watch| watch.ended.clone_ref(py)));
        let Some(ended) = ended else { return Ok(()) };
        // What logs runs after all that belongs to the callback, and as no part of the task.
        Self::end_callback(slf)?;
        Self::flush_current_task(slf)?;
        let outcome = ended.bind(py).call1((slf, block, clock::seconds(lasted), task));
        outcome.map(drop).or_else(|error| Self::report(slf, error))
    }
}

/// The task whose step it is, if it is one of ferrio's.
pub(crate) fn task_of(py: Python<'_>, runnable: &Runnable) -> Option<Py<PyAny>> {
    match runnable {
        Runnable::Task(TaskStep::Step(task, _) | TaskStep::Wakeup(task, _)) => Some(task.get(py).unbind()),
        Runnable::Handle(_) | Runnable::DoneCallback(_) | Runnable::Native(_) => None,
    }
}

/// The address of that task; 0 if there is none.
pub(crate) fn address_of_task(runnable: &Runnable) -> usize {
    match runnable {
        Runnable::Task(TaskStep::Step(task, _) | TaskStep::Wakeup(task, _)) => task.as_ptr().addr(),
        Runnable::Handle(_) | Runnable::DoneCallback(_) | Runnable::Native(_) => 0,
    }
}
