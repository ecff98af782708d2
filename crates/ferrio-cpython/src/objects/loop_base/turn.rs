//! A turn of the loop: runs the callbacks that were ready when it began.

use ferrio_engine::ReadyQueue;
use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::prelude::*;
use pyo3::types::PyFloat;

use super::{EndOfCallback, LoopBase};
use crate::capi::imports;
use crate::capi::memory;
use crate::objects::recording::timeline;
use crate::objects::runnable::Runnable;
use crate::objects::watching;

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
        self.is_marked.set(true);
        self.is_special.set(true);
    }

    fn run_ready(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let base = slf.get();
        for _ in 0..base.ready_count(py) {
            let Some(runnable) = base.queue.with(py, ReadyQueue::pop) else {
                return Ok(());
            };
            if runnable.observes_current_task(py) {
                Self::sync_or_report(slf)?;
            }
            let outcome = if base.is_special.get() { Self::run_special(slf, &runnable) } else { runnable.run(slf) };
            match runnable {
                Runnable::Task(_) => outcome?,
                Runnable::Handle(handle) => {
                    handle.leave_loop(py);
                    outcome?;
                }
                Runnable::DoneCallback(callback) => outcome.or_else(|error| callback.report(slf, error))?,
                Runnable::Native(_) => outcome.or_else(|error| Self::report(slf, error))?,
            }
        }
        Ok(())
    }

    /// Runs a callback with what is switched on around it.
    #[cold]
    #[inline(never)]
    fn run_special(slf: &Bound<'_, Self>, runnable: &Runnable) -> PyResult<()> {
        let base = slf.get();
        let Some(pulse) = base.pulse() else { return Self::run_marked(slf, runnable) };
        if pulse.block() != 0 {
            return Self::run_after_block(slf, runnable);
        }
        pulse.beat(watching::address_of_task(runnable));
        let outcome = if base.is_marked.get() { Self::run_marked(slf, runnable) } else { runnable.run(slf) };
        if pulse.block() == 0 { outcome } else { Self::end_reported(slf, runnable, outcome) }
    }

    /// The loop's own work before this callback has taken so long that there is a report.
    #[cold]
    #[inline(never)]
    fn run_after_block(slf: &Bound<'_, Self>, runnable: &Runnable) -> PyResult<()> {
        let reported = Self::end_block(slf, || None);
        Self::run_special(slf, runnable).and(reported)
    }

    /// A callback has run for so long that there is a report.
    #[cold]
    #[inline(never)]
    fn end_reported(slf: &Bound<'_, Self>, runnable: &Runnable, outcome: PyResult<()>) -> PyResult<()> {
        let reported = Self::end_block(slf, || watching::task_of(slf.py(), runnable));
        outcome.and(reported)
    }

    /// Ends the callback before this one, if that is due, and runs this one.
    #[inline]
    fn run_marked(slf: &Bound<'_, Self>, runnable: &Runnable) -> PyResult<()> {
        let ended = Self::end_callback(slf);
        let outcome = match (slf.get().is_simulated(), slf.get().recorded.get()) {
            (false, true) => Self::run_recorded(slf, runnable),
            (false, false) => Self::run_plain(slf, runnable),
            (true, _) => Self::run_simulated(slf, runnable),
        };
        ended.and(outcome)
    }

    #[inline(never)]
    fn run_simulated(slf: &Bound<'_, Self>, runnable: &Runnable) -> PyResult<()> {
        let place = slf.get().ready_count(slf.py());
        let outcome =
            if slf.get().recorded.get() { Self::run_recorded(slf, runnable) } else { Self::run_plain(slf, runnable) };
        outcome.and(Self::ran(slf, place, runnable))
    }

    #[inline]
    fn run_plain(slf: &Bound<'_, Self>, runnable: &Runnable) -> PyResult<()> {
        if slf.get().debug.get() { Self::run_timed(slf, runnable) } else { runnable.run(slf) }
    }

    #[inline]
    fn run_recorded(slf: &Bound<'_, Self>, runnable: &Runnable) -> PyResult<()> {
        let (py, base) = (slf.py(), slf.get());
        timeline::begin(base, py);
        let outcome = Self::run_plain(slf, runnable);
        timeline::end(base, py, runnable);
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

    pub(crate) fn update_special(&self) {
        let is_marked = self.debug.get() || self.end_is_due.get() || self.recorded.get() || self.is_simulated();
        self.is_marked.set(is_marked);
        self.is_special.set(is_marked || self.watched.get());
    }

    /// Publishes to asyncio which task runs. asyncio raises if the loop is no longer the thread's running one, for
    /// example in a child made by `fork`; the error is reported, as for asyncio's own steps, and the loop goes on.
    #[inline]
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
    fn run_timed(slf: &Bound<'_, Self>, runnable: &Runnable) -> PyResult<()> {
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
