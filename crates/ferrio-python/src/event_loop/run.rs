//! Running, stopping and closing a loop; the order of a turn.
//!
//! A turn polls the system for events, queues due timers and runs the callbacks that are queued by then; callbacks
//! queued during the turn run in the next one. `PollPolicy` skips polls while callbacks are ready. However a run ends,
//! the state that `run_forever` set up (running loop, asyncgen hooks, origin tracking, wakeup descriptor) is restored.

use std::io;
use std::time::Duration;

use ferrio_cpython::LoopBase;
use ferrio_cpython::capi::interned;
use ferrio_cpython::capi::memory;
use ferrio_cpython::objects::current::without_task;
use ferrio_cpython::objects::future::future_like;
use ferrio_cpython::objects::recording::timeline;
use ferrio_cpython::objects::watching;
use ferrio_engine::Deadline;
use ferrio_sys::Poller;
use ferrio_sys::clock::monotonic;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::common::imports;
use crate::common::numbers;
use crate::event_loop::end_of_callback;
use crate::event_loop::end_of_turn;
use crate::event_loop::exception_handler;
use crate::event_loop::io_driver::{self, WAKER};
use crate::event_loop::nested_runs::{self, InnerRun, Outer};
use crate::event_loop::signals;
use crate::event_loop::{Loop, base};
use crate::tasks::ensure;

/// Poll interval when no waker could be created.
const WAKERLESS_NAP: Duration = Duration::from_millis(5);

/// The clock's resolution in seconds: a timer due within it is due.
const CLOCK_RESOLUTION: f64 = 1e-9;

/// The clock reading in seconds below which two neighbouring floats differ by less than the clock's resolution.
const FINE_INSTANTS: f64 = 8_388_608.0;

/// The longest single wait in seconds, as asyncio's `MAXIMUM_SELECT_TIMEOUT`.
const LONGEST_WAIT: f64 = 24.0 * 3600.0;

#[pymethods]
impl Loop {
    /// Run until `stop()` is called.
    pub(crate) fn run_forever(slf: &Bound<'_, Self>) -> PyResult<()> {
        base(slf).check_open()?;
        match nested_runs::outer(slf)? {
            None => run(slf),
            Some(Outer::Same) => nested_runs::run_forever(slf),
            // Restores the other loop as the running one before its task: Python 3.14 and later compare them.
            Some(Outer::Other(other)) => without_task(&other, || {
                other.cast::<Self>().map_or(Ok(()), end_of_callback::finish)?;
                let outcome = run(slf);
                let set_running = pyo3::intern!(slf.py(), "_set_running_loop");
                outcome.and(events_module(slf.py())?.call_method1(set_running, (&other,)).map(drop))
            }),
        }
    }

    /// Run until the future is done; gives its result or raises its exception.
    fn run_until_complete<'py>(slf: &Bound<'py, Self>, future: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        base(slf).check_open()?;
        if let Some(Outer::Same) = nested_runs::outer(slf)? {
            return nested_runs::run_until_complete(slf, future);
        }
        let new_task = !future_like::is_future(future)?;
        let future = ensure(future, Some(slf))?;
        if new_task {
            // `run_until_complete` raises an exception if the future is not done at the end, so logging it too is
            // unnecessary.
            future.setattr(pyo3::intern!(py, "_log_destroy_pending"), false)?;
        }
        let stop_loop = stop_callback(py)?;
        future.call_method1(pyo3::intern!(py, "add_done_callback"), (stop_loop,))?;
        let before = slf.get().outermost.with(py, |place| place.replace(future.clone().unbind()));
        // Looked up on the object, so that subclasses can override it.
        let outcome = slf.call_method0(pyo3::intern!(py, "run_forever"));
        let after = slf.get().outermost.with(py, |place| std::mem::replace(place, before));
        drop(after);
        let done = || future.call_method0(pyo3::intern!(py, "done"))?.is_truthy();
        let retrieve = || {
            if done()? && !future.call_method0(pyo3::intern!(py, "cancelled"))?.is_truthy()? {
                // The coroutine raised a BaseException, which propagates to the caller, so it counts as retrieved.
                future.call_method0(pyo3::intern!(py, "exception"))?;
            }
            Ok(())
        };
        let retrieved = if outcome.is_err() && new_task { retrieve() } else { Ok(()) };
        future.call_method1(pyo3::intern!(py, "remove_done_callback"), (stop_loop,))?;
        retrieved.and(outcome)?;
        if !done()? {
            return Err(ferrio_cpython::error::<PyRuntimeError>("Event loop stopped before Future completed."));
        }
        future.call_method0(pyo3::intern!(py, "result"))
    }

    /// Stop after the current turn, or after one turn if the loop does not run yet.
    fn stop(slf: &Bound<'_, Self>) {
        base(slf).stopping.set(true);
    }

    /// Close the loop: nothing scheduled is run any more, its descriptors are closed. It must not be running.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let base = base(slf);
        if base.thread().is_some() {
            return Err(ferrio_cpython::error::<PyRuntimeError>("Cannot close a running event loop"));
        }
        if base.closed.get() {
            return Ok(());
        }
        if base.debug.get() {
            imports::base_events_logger(py)?.call_method1(name!("debug"), ("Close %r", slf))?;
        }
        slf.get().io.tape.detach(py, base);
        base.closed.set(true);
        base.clear_scheduled(py);
        slf.get().io.close(py);
        let closed = crate::event_loop::executors::close(slf);
        // The wakeup descriptor is the waker's.
        let closed = closed.and_then(|()| signals::close(slf));
        let waker = base.waker.with(py, Option::take);
        drop(waker);
        let this = slf.get().this.with(py, Option::take);
        drop(this);
        closed
    }

    /// Shows `nest_asyncio` that the loop needs no patches: `nested_runs` recognises that it was applied.
    #[classattr]
    fn _nest_patched() -> bool {
        true
    }
}

fn run(slf: &Bound<'_, Loop>) -> PyResult<()> {
    let py = slf.py();
    let asyncgen_hooks = imports::get_asyncgen_hooks(py)?.call0()?;
    let outcome = memory::catch_no_memory(py, || set_up(slf).and_then(|()| run_turns(slf, None)));
    let put_back = memory::catch_no_memory(py, || tear_down(slf, &asyncgen_hooks));
    outcome.and(put_back)
}

/// asyncio's `events` module. Its functions are looked up at each run: there is a set in C and one in Python, and
/// programs swap them.
fn events_module(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static CELL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    interned::import(py, &CELL, name!("asyncio"), name!("events"))
}

/// The done callback of `run_until_complete`: asyncio's own function, by which anyio finds the root task.
fn stop_callback(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static CELL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    interned::import(py, &CELL, name!("asyncio.base_events"), name!("_run_until_complete_cb"))
}

fn set_up(slf: &Bound<'_, Loop>) -> PyResult<()> {
    let py = slf.py();
    let base = base(slf);
    crate::event_loop::debug::track_origins(slf, base.debug.get())?;
    let first = slf.getattr(pyo3::intern!(py, "_asyncgen_firstiter_hook"))?;
    let last = slf.getattr(pyo3::intern!(py, "_asyncgen_finalizer_hook"))?;
    imports::set_asyncgen_hooks(py)?.call1((first, last))?;
    base.invalidate_time_source(py);
    base.set_thread(Some(ferrio_cpython::thread_identifier(py)));
    events_module(py)?.call_method1(pyo3::intern!(py, "_set_running_loop"), (slf,))?;
    slf.get().shown_running.set(false);
    slf.get().io.begin_run(py);
    slf.get().io.tape.begin_run(py, base);
    watching::begin_run(slf.as_super());
    slf.get().io.activity.begin_run();
    Ok(())
}

/// Restores what a run changed; each part is restored even if another one fails.
fn tear_down(slf: &Bound<'_, Loop>, asyncgen_hooks: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = slf.py();
    let base = base(slf);
    let reported = LoopBase::end_block(slf.as_super(), || None);
    slf.get().io.tape.end_run(py, base);
    watching::end_run(slf.as_super());
    base.stopping.set(false);
    base.set_thread(None);
    slf.get().io.activity.end_run();
    base.show_shared_handles(py);
    let set_running = pyo3::intern!(py, "_set_running_loop");
    let running = events_module(py).and_then(|events| events.call_method1(set_running, (py.None(),)).map(drop));
    slf.get().shown_running.set(running.is_err());
    let tracked = crate::event_loop::debug::track_origins(slf, false);
    let hooks =
        || imports::set_asyncgen_hooks(py)?.call1(asyncgen_hooks.extract::<(Py<PyAny>, Py<PyAny>)>()?).map(drop);
    let hooked = hooks();
    running.and(tracked).and(hooked).and(signals::end_run(slf)).and(reported)
}

/// Runs turns until the loop is stopped or, if `inner` is given, the nested run is over.
pub(crate) fn run_turns(slf: &Bound<'_, Loop>, mut inner: Option<&mut InnerRun<'_, '_>>) -> PyResult<()> {
    loop {
        turn(slf)?;
        let is_over = match &mut inner {
            None => base(slf).stopping.get(),
            Some(inner) => inner.is_over(slf)?,
        };
        if is_over {
            return Ok(());
        }
    }
}

fn turn(slf: &Bound<'_, Loop>) -> PyResult<()> {
    let py = slf.py();
    let base = base(slf);
    let io = &slf.get().io;
    let idle = base.ready_count(py) == 0;
    if io.must_poll(py, idle, base.stopping.get()) {
        LoopBase::flush_current_task(slf.as_super())?;
        let timeout = if idle && !base.stopping.get() { time_to_wait(slf)? } else { Some(Duration::ZERO) };
        poll(slf, timeout)?;
    }
    // The poll of a simulation has queued what is due.
    if base.has_timers(py) && base.next_deadline(py).is_some() && !base.is_simulated() {
        land_due(slf, LoopBase::now(slf.as_super())?)?;
    }
    io.end_of_turn.begin(py);
    let outcome = LoopBase::run_turn(slf.as_super());
    outcome.and(end_of_turn::finish(slf))
}

/// Queues the timers that are due.
pub(crate) fn land_due(slf: &Bound<'_, Loop>, now: f64) -> PyResult<()> {
    let margin = if now.abs() < FINE_INSTANTS { CLOCK_RESOLUTION } else { coarse_margin(slf.py(), now)? };
    base(slf).collect_due(slf.py(), Deadline(now + margin))
}

/// How far ahead of `now` timers are due, in seconds, on a clock whose neighbouring readings differ by more than its
/// resolution. Before 3.15 asyncio did not ensure that a timer at the current instant is due at all.
#[cold]
fn coarse_margin(py: Python<'_>, now: f64) -> PyResult<f64> {
    static HEEDED: PyOnceLock<bool> = PyOnceLock::new();
    let probe = || -> PyResult<bool> {
        let run_once = ferrio_cpython::module(py, name!("asyncio.base_events"))?
            .getattr(name!("BaseEventLoop"))?
            .getattr(name!("_run_once"))?;
        run_once.getattr(name!("__code__"))?.getattr(name!("co_names"))?.contains("ulp")
    };
    let heeded = *HEEDED.get_or_try_init(py, probe)?;
    Ok(if heeded { CLOCK_RESOLUTION.max(numbers::ulp(now)) } else { CLOCK_RESOLUTION })
}

/// How long the loop may sleep; None for no limit.
fn time_to_wait(slf: &Bound<'_, Loop>) -> PyResult<Option<Duration>> {
    time_until_timer(slf, || LoopBase::now(slf.as_super()))
}

/// The same by this clock.
pub(crate) fn time_until_timer(
    slf: &Bound<'_, Loop>,
    now: impl FnOnce() -> PyResult<f64>,
) -> PyResult<Option<Duration>> {
    let Some(Deadline(when)) = base(slf).next_deadline(slf.py()) else {
        return Ok(None);
    };
    let seconds = when - now()?;
    // NaN compares false and gives no wait, as in asyncio.
    Ok(Some(if seconds > 0.0 { Duration::from_secs_f64(seconds.min(LONGEST_WAIT)) } else { Duration::ZERO }))
}

fn poll(slf: &Bound<'_, Loop>, timeout: Option<Duration>) -> PyResult<()> {
    if base(slf).is_simulated() { poll_simulation(slf) } else { poll_system(slf, timeout) }
}

/// Asks the system what is ready, and queues the handlers.
pub(crate) fn poll_system(slf: &Bound<'_, Loop>, timeout: Option<Duration>) -> PyResult<()> {
    let py = slf.py();
    let io = &slf.get().io;
    if let Some(pulse) = base(slf).pulse() {
        pulse.look_for_events();
        LoopBase::end_block(slf.as_super(), || None)?;
    }
    let Some(poller) = io.own_poller(py).map_err(|error| exception_handler::from_io(&error))? else { return Ok(()) };
    let mut events = io.take_events(py);
    timeline::begin_poll(base(slf));
    let outcome = if !events.is_empty() {
        // Events of an earlier poll for which there was not enough memory.
        Ok(())
    } else if timeout == Some(Duration::ZERO) {
        // Other threads get the interpreter at its switch interval; releasing it here would cost more than the poll.
        poller.wait(&mut events, timeout)
    } else {
        // If no descriptor is free for the waker, nothing can wake the loop, so it polls at short intervals.
        let timeout = match io.ensure_waker(py, base(slf)) {
            Ok(_) => timeout,
            Err(_) => Some(timeout.map_or(WAKERLESS_NAP, |timeout| timeout.min(WAKERLESS_NAP))),
        };
        signals::before_sleep(slf)?;
        sleep_in(slf, &poller, &mut events, timeout)
    };
    io.polled(py, !events.is_empty());
    timeline::end_poll(base(slf), py, events.len());
    let interrupted = match outcome {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = base(slf).reserve(py, 2 * events.len()) {
        // An edge-triggered event is reported once, so the next turn processes these events again.
        io.put_events(py, events);
        return Err(error);
    }
    let mut received = Ok(());
    for (token, readiness) in events.iter() {
        if token == WAKER {
            // Other events are reported only once, so they are dispatched before the error is raised.
            received = received.and(signals::receive(slf));
        } else {
            if io.tape.is_on() {
                io.tape.note_event(py, io_driver::descriptor_of(token), readiness.bits());
            }
            io.dispatch(py, base(slf), token, readiness);
        }
    }
    events.clear();
    io.put_events(py, events);
    let answered = io.bells.answer(py, base(slf));
    received.and(answered)?;
    py.check_signals()?;
    interrupted.map_err(|error| exception_handler::from_io(&error))
}

/// Asks the simulation what lands. No poll is noted, so that each turn polls.
#[cold]
fn poll_simulation(slf: &Bound<'_, Loop>) -> PyResult<()> {
    let py = slf.py();
    if let Some((simulation, seams)) = base(slf).simulation(py) {
        let pulse = base(slf).pulse();
        // It may wait for the simulation's threads.
        pulse.inspect(|pulse| pulse.begin_wait());
        let outcome = (seams.poll)(&simulation, slf.as_super());
        base(slf).pulse().inspect(|pulse| pulse.end_wait());
        outcome?;
    }
    // It may have a bell from the time before it was simulated.
    slf.get().io.bells.answer(py, base(slf))?;
    py.check_signals()
}

fn sleep_in(
    slf: &Bound<'_, Loop>,
    poller: &Poller,
    events: &mut ferrio_sys::Events,
    timeout: Option<Duration>,
) -> io::Result<()> {
    let base = base(slf);
    // Code that ran since the queue was found empty (the loop's clock, signal handlers) may have let other threads run,
    // or stopped the loop. From here to the system call nothing releases the GIL: a thread that schedules later sees
    // the sleep state and ends the sleep.
    let is_idle = base.ready_count(slf.py()) == 0 && !base.stopping.get();
    let timeout = if is_idle { timeout } else { Some(Duration::ZERO) };
    let io = &slf.get().io;
    let mut spin = io.spin_time(slf.py(), timeout);
    let began = monotonic();
    let pulse = base.pulse();
    pulse.inspect(|pulse| pulse.begin_wait());
    io.activity.begin_sleep(began);
    base.sleep_state.spin();
    let mut timeout = timeout;
    if io.bells.is_any_rung(slf.py()) {
        (timeout, spin) = (Some(Duration::ZERO), 0);
    }
    let outcome = slf.py().detach(|| {
        let outcome = wait_in(base, poller, events, timeout, || monotonic() - began < spin);
        pulse.inspect(|pulse| pulse.regain());
        outcome
    });
    // Looked up again: the watchdog may have been turned on meanwhile.
    base.pulse().inspect(|pulse| pulse.end_wait());
    // A bell is no reason to spin next time: that took more of both processors than the system call which it saved
    // (`make bench-rust`, "answered by a thread").
    let called = base.sleep_state.end_wait() && !io.bells.is_any_rung(slf.py());
    let asleep = monotonic() - began;
    io.record_sleep(slf.py(), asleep, called);
    io.activity.end_sleep(asleep);
    outcome
}

/// Waits without the GIL: at first by polling, while `spins`.
fn wait_in(
    base: &LoopBase,
    poller: &Poller,
    events: &mut ferrio_sys::Events,
    timeout: Option<Duration>,
    spins: impl Fn() -> bool,
) -> io::Result<()> {
    while spins() && base.sleep_state.is_waiting() {
        poller.wait(events, Some(Duration::ZERO))?;
        if !events.is_empty() {
            return Ok(());
        }
    }
    let timeout = if base.sleep_state.fall_asleep() { timeout } else { Some(Duration::ZERO) };
    poller.wait(events, timeout)
}
