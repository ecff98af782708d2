//! `LoopBase`: the part of a loop that schedules: the ready queue, the timers, the flags.
//!
//! `ferrio._ferrio.Loop` extends it with all that talks to the system. Invariants: `queue` and `timers` are borrowed
//! only for single operations (see `GilCell`); what leaves them is released outside the borrow, because releasing may
//! run Python code; a handle in `timers` has `scheduled` set. Callbacks from other threads go straight into the ready
//! queue, because the GIL is the lock that protects it; only a sleeping loop needs the waker.
//!
//! The timers are in `timers.rs`, a turn is in `turn.rs`, what programs override of a loop in `overrides.rs`, what a
//! simulation replaces in `simulated.rs`, what Python sees in `methods.rs`.

mod methods;
mod overrides;
mod private_attributes;
mod simulated;
mod timers;
mod turn;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use ferrio_engine::{ReadyQueue, Timers};
use ferrio_sys::watching::Pulse;
use ferrio_sys::{SleepState, Waker};
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;

pub use overrides::overrides;
pub use simulated::{
    AfterCallback, ArmedTimer, BeforeCall, JobEnded, Outside, Seams, SetOrder, Simulator, SubmitJob, WatchJob,
    is_order_of_sets_open, restart_task_numbers, set_order_of_sets, task_number,
};

use self::turn::Extras;
use crate::capi::context::Shared;
use crate::capi::gil_cell::{GilCell, GilFlag};
use crate::capi::hooks;
use crate::capi::memory;
use crate::objects::current::Running;
use crate::objects::handle::{FreeHandle, HandleRef};
use crate::objects::recording::Timeline;
use crate::objects::runnable::Runnable;
use crate::objects::scheduling;
use crate::objects::task::TaskRef;
use crate::objects::task_factory::TaskFactory;

/// Scheduling state of one loop; the base class of the loop's Python type.
#[pyclass(frozen, subclass, module = "ferrio._ferrio")]
pub struct LoopBase {
    queue: GilCell<ReadyQueue<Runnable>>,
    timers: GilCell<Timers<HandleRef>>,
    /// The free list of handles.
    pub(crate) free_handles: GilCell<Vec<FreeHandle>>,
    /// The context copy that new timers share.
    pub(crate) shared_context: Shared,
    /// The handle being run, in debug mode only.
    current: GilCell<Option<HandleRef>>,
    clock: GilCell<Clock>,
    /// `call_at` or `call_later` is a method of a subclass or of the instance; valid once `clock` is known.
    pub(crate) timers_overridden: GilFlag,
    call_soon: GilCell<CallSoon>,
    /// Set once the instance itself gets an attribute that is also one of our methods.
    pub patched: GilFlag,
    /// The value that was set; None for asyncio's default of 0.1 seconds.
    slow_callback_duration: GilCell<Option<Py<PyAny>>>,
    /// Interrupts the wait for events, from any thread and from signal handlers. Made for the first sleep or signal
    /// handler; None once the loop is closed. Shared with threads that write to it without the GIL.
    pub waker: GilCell<Option<Arc<Waker>>>,
    /// asyncio's debug mode; `set_debug` changes it.
    pub debug: GilFlag,
    /// `close()` was called.
    pub closed: GilFlag,
    /// `stop()` was called: the current turn is the last.
    pub stopping: GilFlag,
    /// Whether the loop waits for events, so that code that schedules from outside has to wake it.
    /// Shared with threads that ring bells without the GIL.
    pub sleep_state: Arc<SleepState>,
    /// The task factory.
    pub task_factory: TaskFactory,
    /// What takes the place of the loop's surroundings while `simulated` is set.
    simulator: GilCell<Option<Simulator>>,
    simulated: GilFlag,
    /// The simulation has sockets and threads of its own.
    io_is_simulated: GilFlag,
    /// What a callback is run with besides itself: one check for each.
    extras: Extras,
    /// Whether `end_of_callback` is due.
    end_is_due: GilFlag,
    end_of_callback: GilCell<Option<EndOfCallback>>,
    /// Whether the watchdog watches.
    pub(crate) watched: GilFlag,
    /// What the watchdog looks at; made when it first watches.
    pub(crate) pulse: OnceLock<Arc<Pulse>>,
    /// Whether what it does is recorded.
    pub(crate) recorded: GilFlag,
    /// Where that is noted; made when it is first recorded.
    pub(crate) timeline: OnceLock<Arc<Timeline>>,
    /// The ferrio task that runs.
    pub(crate) running: Running,
    /// Identifier of the thread that runs the loop, 0 when it does not run.
    thread: AtomicU64,
}

/// What ends a callback.
pub type EndOfCallback = fn(&Bound<'_, LoopBase>) -> PyResult<()>;

/// Where the loop's time comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clock {
    /// Not looked up since the loop was made, or since its class or an attribute that matters changed.
    Unknown,
    /// The system's monotonic clock.
    System,
    /// A simulation's.
    Simulated,
    /// A `time` method of a subclass or of the instance.
    Overridden,
}

/// Which `call_soon` schedules.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CallSoon {
    /// Not looked up since the loop was made or its `call_soon` attribute changed.
    Unknown,
    /// Our own, so that steps and callbacks may go straight into the queue.
    Ours,
    /// A subclass's or the instance's, which has to be called for all that is scheduled.
    Overridden,
}

impl LoopBase {
    /// # Safety
    /// `object` is a live `LoopBase`, lent by C code.
    #[inline]
    pub(crate) unsafe fn from_borrowed(py: Python<'_>, object: *mut ffi::PyObject) -> Bound<'_, Self> {
        // SAFETY: alive, the caller guarantees it.
        let object = unsafe { Bound::from_borrowed_ptr(py, object) };
        // SAFETY: of our type, the caller guarantees it.
        unsafe { object.cast_into_unchecked::<Self>() }
    }

    /// A loop with nothing scheduled.
    #[must_use]
    pub fn new(debug: bool) -> Self {
        let base = Self {
            queue: GilCell::new(ReadyQueue::with_capacity(64)),
            timers: GilCell::new(Timers::default()),
            free_handles: GilCell::new(Vec::new()),
            shared_context: Shared::default(),
            current: GilCell::new(None),
            clock: GilCell::new(Clock::Unknown),
            timers_overridden: GilFlag::default(),
            call_soon: GilCell::new(CallSoon::Unknown),
            patched: GilFlag::default(),
            slow_callback_duration: GilCell::default(),
            waker: GilCell::new(None),
            debug: GilFlag::default(),
            closed: GilFlag::default(),
            stopping: GilFlag::default(),
            sleep_state: Arc::default(),
            task_factory: TaskFactory::default(),
            simulator: GilCell::default(),
            simulated: GilFlag::default(),
            io_is_simulated: GilFlag::default(),
            extras: Extras::default(),
            end_is_due: GilFlag::default(),
            end_of_callback: GilCell::new(None),
            watched: GilFlag::default(),
            pulse: OnceLock::new(),
            recorded: GilFlag::default(),
            timeline: OnceLock::new(),
            running: Running::default(),
            thread: AtomicU64::new(0),
        };
        base.set_debug(debug);
        base
    }

    /// Whether it was constructed: on 3.11 the interpreter frees one that could not be allocated whole.
    pub(crate) fn is_initialized(&self, py: Python<'_>) -> bool {
        self.queue.is_initialized(py)
    }

    /// Appends to the ready queue.
    ///
    /// # Errors
    /// `MemoryError`; then nothing is queued.
    #[inline(always)] // saves 20 instructions a callback (benchmark `call_soon_chain`)
    pub fn push(&self, py: Python<'_>, runnable: Runnable) -> PyResult<()> {
        match self.queue.with_inlined(py, |queue| queue.try_push(runnable)) {
            Ok(()) => Ok(()),
            Err(runnable) => Err(self.push_failed(py, runnable)),
        }
    }

    /// Reserves space for the next `count` calls of `push_reserved`.
    ///
    /// # Errors
    /// `MemoryError`.
    #[inline]
    pub fn reserve(&self, py: Python<'_>, count: usize) -> PyResult<()> {
        if self.queue.with(py, |queue| queue.try_reserve(count)) { Ok(()) } else { Err(memory::out_of_memory(py)) }
    }

    /// Appends to the ready queue, which has reserved space: from `reserve`, or the reserve for what must be queued.
    #[inline]
    pub fn push_reserved(&self, py: Python<'_>, runnable: Runnable) {
        self.queue.with(py, |queue| queue.push(runnable));
    }

    /// Appends to the ready queue and wakes the loop if it sleeps: for other threads.
    ///
    /// # Errors
    /// As `push`.
    #[inline]
    pub fn push_and_wake(&self, py: Python<'_>, runnable: Runnable) -> PyResult<()> {
        if self.is_simulated() {
            self.push_from_outside(py, 0, runnable)?;
        } else {
            self.push(py, runnable)?;
        }
        self.wake_if_asleep(py);
        Ok(())
    }

    /// Wakes the loop if it sleeps.
    #[inline]
    pub fn wake_if_asleep(&self, py: Python<'_>) {
        if self.sleep_state.wake() {
            self.waker.with(py, |waker| waker.as_ref().map(|waker| waker.wake()));
        }
    }

    /// `wake_if_asleep` for a thread that is about to release the GIL: returns the waker, which that thread has to call
    /// at once after that, if the loop sleeps. A loop that wakes earlier finds the GIL taken, and sleeps again.
    pub fn begin_wake_up(&self, py: Python<'_>) -> Option<Arc<Waker>> {
        if self.sleep_state.wake() { self.waker.with(py, |waker| waker.clone()) } else { None }
    }

    /// How many callbacks are ready.
    #[inline]
    pub fn ready_count(&self, py: Python<'_>) -> usize {
        self.queue.with(py, |queue| queue.len())
    }

    /// Shows each task whose step is in the queue, with the number of items before it. `show` runs no Python code.
    pub(crate) fn for_each_ready_task(&self, py: Python<'_>, mut show: impl FnMut(usize, &TaskRef<'_>)) {
        self.queue.with(py, |queue| {
            let tasks = queue.iter().enumerate().filter_map(|(place, item)| Some((place, item.task(py)?)));
            tasks.for_each(|(place, task)| show(place, task));
        });
    }

    /// The handle being run; known in debug mode only.
    pub fn current_handle<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let pointer = self.current.with(py, |current| current.as_ref().map(|handle| handle.clone_ref(py)));
        pointer.map(|handle| handle.bind(py))
    }

    /// Sets the thread that runs the loop; None when it stops running.
    pub fn set_thread(&self, thread: Option<u64>) {
        self.thread.store(thread.unwrap_or(0), Ordering::Relaxed); // Relaxed: ordered by the GIL.
    }

    /// Identifier of the running thread (as `threading.get_ident()`), if the loop runs.
    pub fn thread(&self) -> Option<u64> {
        // Relaxed: ordered by the GIL.
        Some(self.thread.load(Ordering::Relaxed)).filter(|thread| *thread != 0)
    }

    /// # Errors
    /// `RuntimeError` when the loop is closed.
    #[inline]
    pub fn check_open(&self) -> PyResult<()> {
        if self.closed.get() { Err(closed_error()) } else { Ok(()) }
    }

    /// Whether `call_soon` would accept a callback now.
    ///
    /// # Errors
    /// `RuntimeError` when the loop is closed or, in debug mode, when it runs in another thread.
    #[inline]
    pub(crate) fn check_scheduling(&self, py: Python<'_>) -> PyResult<()> {
        self.check_open()?;
        if self.debug.get() { scheduling::check_thread(py, self) } else { Ok(()) }
    }

    /// Drops everything scheduled, as `close()` does.
    pub fn clear_scheduled(&self, py: Python<'_>) {
        let ready: VecDeque<Runnable> = self.queue.with(py, ReadyQueue::take_all);
        let timers = self.timers.with(py, Timers::take_all);
        for runnable in ready {
            if let Runnable::Handle(handle) = runnable {
                handle.leave_loop(py);
            }
        }
        timers::retire(py, timers);
        self.shared_context.forget(py);
    }
}

/// `time.monotonic()`: the system's clock, unless a program has replaced that function.
#[inline]
///
/// # Errors
/// What the replacement raises.
pub fn system_time(py: Python<'_>) -> PyResult<f64> {
    match hooks::MONOTONIC.replacement(py)? {
        Some(function) => function.call0()?.extract(),
        None => Ok(monotonic_seconds()),
    }
}

/// The system's monotonic clock in seconds, equal to `time.monotonic()`.
#[must_use]
pub fn monotonic_seconds() -> f64 {
    ferrio_sys::clock::seconds(ferrio_sys::clock::monotonic())
}

#[cold]
fn closed_error() -> PyErr {
    crate::capi::raise::error::<PyRuntimeError>("Event loop is closed")
}

impl LoopBase {
    /// Makes the collector track the handles that have other references. Called when a loop stops: it may never run
    /// again, and become garbage together with the objects that keep its handles.
    pub fn show_shared_handles(&self, py: Python<'_>) {
        self.timers.with(py, |timers| timers.iter().for_each(|handle| handle.show_if_shared(py)));
        self.queue.with(py, |queue| queue.iter().for_each(|item| item.show_if_shared(py)));
    }
}
