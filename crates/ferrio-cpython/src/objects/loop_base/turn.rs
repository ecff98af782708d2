//! A turn of the loop: runs the callbacks that were ready when it began, and around each what is on: the watchdog and the
//! recorder, or what is rarer, such as debug mode or a simulation. Off, all of it is one branch for each callback; what
//! observes only has a path of its own, which is short.

use std::ptr::null;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

use ferrio_engine::ReadyQueue;
use ferrio_sys::watching::Pulse;
use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::prelude::*;
use pyo3::types::PyFloat;

use super::{EndOfCallback, LoopBase};
use crate::capi::imports;
use crate::capi::memory;
use crate::objects::recording::{Timeline, timeline};
use crate::objects::runnable::Runnable;
use crate::objects::watching;

/// The bits of `Extras`.
const WATCHED: u8 = 1;
const RARE: u8 = 2;
const RECORDED: u8 = 4;

/// What callbacks run with besides themselves. Relaxed is enough: the GIL orders all accesses.
///
/// Invariant: the pointers are null, or what they point to is kept by the loop; with the bits `WATCHED` and `RECORDED`
/// they are not null.
#[derive(Default)]
pub(super) struct Extras {
    bits: AtomicU8,
    pulse: AtomicPtr<Pulse>,
    timeline: AtomicPtr<Timeline>,
}

impl Extras {
    #[inline]
    pub(super) fn get(&self) -> u8 {
        self.bits.load(Ordering::Relaxed)
    }

    /// The next callback begins with something rare.
    #[inline]
    pub(super) fn add_rare(&self) {
        self.bits.store(self.get() | RARE, Ordering::Relaxed);
    }
}

/// What looks at callbacks and changes nothing.
trait Observer<'a>: Copy + 'a {
    /// What looks at the next callback of this loop; None if there is other work around it.
    fn of(base: &'a LoopBase) -> Option<Self>;

    /// A callback begins.
    fn begin(self, py: Python<'_>, base: &LoopBase, runnable: &Runnable);

    /// It has ended. Returns whether there is a report of it.
    fn end(self, py: Python<'_>, base: &LoopBase, runnable: &Runnable) -> bool;
}

/// The watchdog alone.
impl<'a> Observer<'a> for &'a Pulse {
    #[inline(always)] // `call_soon_chain`, `switch_100`
    fn of(base: &'a LoopBase) -> Option<Self> {
        if base.extras.get() != WATCHED {
            return None;
        }
        // SAFETY: as `WATCHED` says, it is in the `Arc` of `base.pulse`, which stays in its place.
        let pulse = unsafe { &*base.extras.pulse.load(Ordering::Relaxed) };
        if pulse.block() == 0 { Some(pulse) } else { None }
    }

    #[inline(always)] // as `of`
    fn begin(self, _: Python<'_>, _: &LoopBase, runnable: &Runnable) {
        self.beat(watching::address_of_task(runnable));
    }

    #[inline(always)] // as `of`
    fn end(self, _: Python<'_>, _: &LoopBase, _: &Runnable) -> bool {
        self.block() != 0
    }
}

/// The recorder, and the watchdog if it is on.
#[derive(Clone, Copy)]
struct Observers<'a> {
    pulse: Option<&'a Pulse>,
    timeline: &'a Timeline,
}

impl<'a> Observer<'a> for Observers<'a> {
    #[inline(always)] // all of it together takes some 50 instructions of `switch_100`
    fn of(base: &'a LoopBase) -> Option<Self> {
        // SAFETY: null, or in the `Arc` of `base.timeline`, which stays in its place.
        let timeline = unsafe { base.extras.timeline.load(Ordering::Relaxed).as_ref() }?;
        // SAFETY: as above, of `base.pulse`.
        let pulse = unsafe { base.extras.pulse.load(Ordering::Relaxed).as_ref() };
        let has_others = base.extras.get() & RARE != 0 || pulse.is_some_and(|pulse| pulse.block() != 0);
        if has_others { None } else { Some(Self { pulse, timeline }) }
    }

    #[inline(always)] // as `of`
    fn begin(self, py: Python<'_>, base: &LoopBase, runnable: &Runnable) {
        if let Some(pulse) = self.pulse {
            pulse.begin(py, base, runnable);
        }
        timeline::begin(self.timeline, base, py);
    }

    #[inline(always)] // as `of`
    fn end(self, py: Python<'_>, base: &LoopBase, runnable: &Runnable) -> bool {
        timeline::end(self.timeline, base, py, runnable);
        self.pulse.is_some_and(|pulse| pulse.end(py, base, runnable))
    }
}

/// Ends a callback with this outcome. A macro, because a function would copy the outcome.
macro_rules! conclude {
    ($owner:expr, $runnable:expr, $outcome:expr) => {
        match $runnable {
            Runnable::Task(step) => $outcome.map_err(|error| step.left_by($owner.py(), error))?,
            Runnable::Handle(handle) => {
                handle.leave_loop($owner.py());
                $outcome?;
            }
            Runnable::DoneCallback(callback) => $outcome.or_else(|error| callback.report($owner, error))?,
            Runnable::Native(_) => $outcome.or_else(|error| Self::report($owner, error))?,
        }
    };
}

impl LoopBase {
    /// Runs what was ready when the turn began, as asyncio's `_run_once` does. `SystemExit` and `KeyboardInterrupt` are
    /// returned; callbacks that were not run stay queued.
    ///
    /// # Errors
    /// Any exception of a callback that the exception handler does not take.
    pub fn run_turn(slf: &Bound<'_, Self>) -> PyResult<()> {
        let outcome = Self::run_ready(slf);
        let ended = Self::end_callback(slf);
        let outcome = outcome.and(ended);
        let base = slf.get();
        // Between turns with callbacks ready, no code reads the current task.
        if outcome.is_ok() && !base.stopping.get() && base.ready_count(slf.py()) > 0 {
            return Ok(());
        }
        let flushed = Self::flush_current_task(slf).or_else(|error| Self::report(slf, error));
        outcome.and(flushed)
    }

    /// Calls `end` when the callback that runs has ended, before anything else runs.
    pub fn at_end_of_callback(&self, py: Python<'_>, end: EndOfCallback) {
        self.end_of_callback.with(py, |place| *place = Some(end));
        self.end_is_due.set(true);
        self.extras.add_rare();
    }

    fn run_ready(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let base = slf.get();
        let count = base.ready_count(py);
        for place in 0..count {
            match base.extras.get() {
                0 => {}
                WATCHED => return Self::run_observed::<&Pulse>(slf, count - place),
                _ => return Self::run_observed::<Observers<'_>>(slf, count - place),
            }
            let Some(runnable) = base.queue.with(py, ReadyQueue::pop) else {
                return Ok(());
            };
            if runnable.observes_current_task(py) {
                Self::sync_or_report(slf)?;
            }
            let outcome = runnable.run(slf);
            conclude!(slf, runnable, outcome);
        }
        Ok(())
    }

    /// The same for `count` callbacks, at least one, with what is on around each. Loops of their own, so that the other
    /// one costs no more for it.
    #[cold]
    #[inline(never)]
    fn run_observed<'a, O: Observer<'a>>(slf: &'a Bound<'_, Self>, count: usize) -> PyResult<()> {
        let py = slf.py();
        let base = slf.get();
        let mut left = count;
        loop {
            let Some(runnable) = base.queue.with(py, ReadyQueue::pop) else {
                return Ok(());
            };
            if runnable.observes_current_task(py) {
                Self::sync_or_report(slf)?;
            }
            // Each outcome stays in its place; copying it would take eight instructions of `switch_100`.
            if let Some(observer) = O::of(base) {
                observer.begin(py, base, &runnable);
                let outcome = runnable.run(slf);
                if observer.end(py, base, &runnable) {
                    let outcome = Self::end_reported(slf, &runnable, outcome);
                    conclude!(slf, runnable, outcome);
                } else {
                    conclude!(slf, runnable, outcome);
                }
            } else {
                let outcome = Self::run_special(slf, &runnable);
                conclude!(slf, runnable, outcome);
            }
            left -= 1;
            if left == 0 {
                return Ok(());
            }
        }
    }

    pub(crate) fn update_special(&self) {
        let is_rare = self.debug.get() || self.end_is_due.get() || self.is_simulated();
        let pulse = self.pulse.get().filter(|_| self.watched.get()).map_or(null(), Arc::as_ptr);
        let timeline = self.timeline.get().filter(|_| self.recorded.get()).map_or(null(), Arc::as_ptr);
        self.extras.pulse.store(pulse.cast_mut(), Ordering::Relaxed);
        self.extras.timeline.store(timeline.cast_mut(), Ordering::Relaxed);
        let bit = |is_on, bit| if is_on { bit } else { 0 };
        let observed = bit(!pulse.is_null(), WATCHED) | bit(!timeline.is_null(), RECORDED);
        self.extras.bits.store(observed | bit(is_rare, RARE), Ordering::Relaxed);
    }

    /// Runs a callback with all that is switched on around it.
    #[cold]
    #[inline(never)]
    pub(super) fn run_special(slf: &Bound<'_, Self>, runnable: &Runnable) -> PyResult<()> {
        let Some(pulse) = slf.get().pulse() else { return Self::run_marked(slf, runnable) };
        // The loop's own work before this callback may have taken so long that there is a report.
        let reported = if pulse.block() == 0 { Ok(()) } else { Self::end_block(slf, || None) };
        pulse.beat(watching::address_of_task(runnable));
        let outcome = Self::run_marked(slf, runnable);
        let outcome = if pulse.block() == 0 { outcome } else { Self::end_reported(slf, runnable, outcome) };
        outcome.and(reported)
    }

    /// A callback has run for so long that there is a report.
    #[cold]
    #[inline(never)]
    fn end_reported(slf: &Bound<'_, Self>, runnable: &Runnable, outcome: PyResult<()>) -> PyResult<()> {
        let reported = Self::end_block(slf, || watching::task_of(slf.py(), runnable));
        outcome.and(reported)
    }

    /// Ends the callback before this one, if that is due, and runs this one.
    fn run_marked(slf: &Bound<'_, Self>, runnable: &Runnable) -> PyResult<()> {
        let ended = Self::end_callback(slf);
        let outcome = if slf.get().is_simulated() {
            Self::run_simulated(slf, runnable)
        } else {
            Self::run_recorded(slf, runnable)
        };
        ended.and(outcome)
    }

    fn run_simulated(slf: &Bound<'_, Self>, runnable: &Runnable) -> PyResult<()> {
        let place = slf.get().ready_count(slf.py());
        let outcome = Self::run_recorded(slf, runnable);
        outcome.and(Self::ran(slf, place, runnable))
    }

    fn run_recorded(slf: &Bound<'_, Self>, runnable: &Runnable) -> PyResult<()> {
        let (py, base) = (slf.py(), slf.get());
        let timeline = base.recorded.get().then(|| base.timeline.get()).flatten();
        if let Some(timeline) = timeline {
            timeline::begin(timeline, base, py);
        }
        let outcome = if base.debug.get() { Self::run_timed(slf, runnable) } else { runnable.run(slf) };
        if let Some(timeline) = timeline {
            timeline::end(timeline, base, py, runnable);
        }
        outcome
    }

    /// Calls what `at_end_of_callback` was given, if anything.
    #[inline]
    pub(crate) fn end_callback(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.get().end_is_due.get() { Self::end_callback_now(slf) } else { Ok(()) }
    }

    #[cold]
    #[inline(never)]
    fn end_callback_now(slf: &Bound<'_, Self>) -> PyResult<()> {
        let base = slf.get();
        base.end_is_due.set(false);
        base.update_special();
        timeline::note_other_work(base, slf.py());
        let end = base.end_of_callback.with(slf.py(), |end| *end);
        end.map_or(Ok(()), |end| end(slf)).or_else(|error| Self::report(slf, error))
    }

    /// Turns asyncio's debug mode on or off.
    pub fn set_debug(&self, enabled: bool) {
        self.debug.set(enabled);
        self.update_special();
    }

    /// Publishes to asyncio which task runs. asyncio raises if the loop is no longer the thread's running one, for
    /// example in a child made by `fork`; the error is reported, as for asyncio's own steps, and the loop goes on.
    #[inline(always)] // `call_soon_chain`: 20 instructions
    pub(crate) fn sync_or_report(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::sync_current_task_if_eager(slf).or_else(|error| Self::report(slf, error))
    }

    /// The error when there is no memory to queue `runnable`, which is dropped outside every borrow.
    #[cold]
    #[inline(never)]
    pub(super) fn push_failed(&self, py: Python<'_>, runnable: Runnable) -> PyErr {
        if let Runnable::Handle(handle) = &runnable
            && let Some(callback) = &handle.body().callback
        {
            self.stop_in_place_of(py, callback.bind(py));
        }
        drop(runnable);
        memory::out_of_memory(py)
    }

    /// Stops the loop if `callback`, which cannot run for lack of memory, is the one that stops it. Nothing else would.
    #[cold]
    pub(crate) fn stop_in_place_of(&self, py: Python<'_>, callback: &Bound<'_, PyAny>) {
        if imports::stop_loop(py).is_ok_and(|stop| callback.is(stop)) {
            self.stopping.set(true);
        }
    }

    /// Reports an error of internal work to the exception handler, as for callbacks.
    #[cold]
    pub(crate) fn report(slf: &Bound<'_, Self>, error: PyErr) -> PyResult<()> {
        let py = slf.py();
        if error.is_instance_of::<PySystemExit>(py) || error.is_instance_of::<PyKeyboardInterrupt>(py) {
            return Err(error);
        }
        let context = memory::dict(py)?;
        context.set_item(name!("message"), name!("Exception in a callback of the event loop"))?;
        context.set_item(name!("exception"), error.clone_ref(py).into_value(py))?;
        slf.call_method1(name!("call_exception_handler"), (context,)).map(drop)
    }

    #[cold]
    pub(super) fn run_timed(slf: &Bound<'_, Self>, runnable: &Runnable) -> PyResult<()> {
        let py = slf.py();
        let base = slf.get();
        let handle = match runnable {
            Runnable::Handle(handle) if handle.body().cancelled => return Ok(()),
            Runnable::Handle(handle) => Some(handle.clone_ref(py)),
            Runnable::Task(_) | Runnable::DoneCallback(_) | Runnable::Native(_) => None,
        };
        let before = base.current.with(py, |current| std::mem::replace(current, handle));
        drop(before);
        // A recording has the program's own readings of the clock only, which debug mode is not to change.
        let is_recorded = base.is_simulated() && base.outside(py).is_some();
        let now = || if is_recorded { super::system_time(py) } else { Self::now(slf) };
        let began = now()?;
        let outcome = runnable.run(slf);
        let handle = base.current.with(py, Option::take);
        outcome?;
        let took = now()? - began;
        if PyFloat::new(py, took).ge(base.slow_callback_duration(py))? {
            let shown = match &handle {
                Some(handle) => imports::format_handle(py)?.call1((handle.bind(py),))?,
                None => runnable.target(py)?,
            };
            imports::base_events(py)?
                .getattr(name!("logger"))?
                .call_method1(name!("warning"), ("Executing %s took %.3f seconds", shown, took))?;
        }
        Ok(())
    }
}
