//! Records a loop: notes what its real surroundings do, in the order in which the program can tell it.
//!
//! A recording is at the seams of a simulation, but it replaces nothing: the clock, the poll and the threads are the
//! system's. Each turn polls, so that a recording need not know which turns would have.

use std::time::Duration;

use ferrio_cpython::objects::loop_base::{SetOrder, system_time, task_number};
use ferrio_cpython::{LoopBase, Outside, Runnable, Seams};
use ferrio_engine::Recorded;
use pyo3::prelude::*;

use crate::common::imports;
use crate::event_loop::recording::{self, Recording};
use crate::event_loop::{Loop, base, run};

type Object<'py> = Bound<'py, PyAny>;

static RECORD: Seams = Seams {
    now,
    read: |slf, owner| Ok(now(slf, owner)),
    now_before: |slf, owner, _| Ok(now(slf, owner)),
    poll,
    ran,
    choose_order_of_sets: |_| SetOrder::default(),
    submit: |_, _, _| Ok(()),
    before_call: None,
    watch_job: Some(|_, _| Ok(())),
    outside: Some(Outside { made, began, ended, lands }),
};

/// Record the next loop that the calling thread runs. `RuntimeError` if that is recorded already.
#[pyfunction]
#[pyo3(name = "_record_next_loop")]
pub(crate) fn record_next_loop(to: &Bound<'_, Recording>) -> PyResult<()> {
    recording::await_loop(to, &RECORD)
}

fn of<'a>(slf: &'a Object<'_>) -> Option<&'a Recording> {
    slf.cast::<Recording>().ok().map(Bound::get)
}

fn now(slf: &Object<'_>, owner: &Bound<'_, LoopBase>) -> f64 {
    let py = slf.py();
    let seconds = system_time(py).unwrap_or(f64::NAN);
    if recording::is_own_thread(owner.get(), py)
        && let Some(recording) = of(slf)
    {
        recording.note(py, &Recorded::Clock(seconds));
    }
    seconds
}

fn poll(slf: &Object<'_>, owner: &Bound<'_, LoopBase>) -> PyResult<()> {
    let py = slf.py();
    let owner = owner.cast::<Loop>()?;
    if let Some(recording) = of(slf) {
        recording.note(py, &Recorded::Turn);
    }
    let is_idle = base(owner).ready_count(py) == 0 && !base(owner).stopping.get();
    let time =
        || if LoopBase::has_own_clock(owner.as_super())? { LoopBase::now(owner.as_super()) } else { system_time(py) };
    let timeout = if is_idle { run::time_until_timer(owner, time)? } else { Some(Duration::ZERO) };
    if let Some(recording) = of(slf) {
        if timeout != Some(Duration::ZERO) {
            recording.flush(py);
        }
        let (failure, is_over) = recording.progress(py);
        if is_over {
            owner.get().io.tape.detach(py, base(owner));
        }
        if let Some(number) = failure {
            report(py, number)?;
        }
    }
    run::poll_system(owner, timeout)?;
    if base(owner).next_deadline(py).is_some() {
        let seconds = time()?;
        if let Some(recording) = of(slf) {
            recording.note(py, &Recorded::Due(seconds));
        }
        run::land_due(owner, seconds)?;
    }
    if let Some(recording) = of(slf) {
        recording.note(py, &Recorded::Polled);
    }
    owner.get().io.poll_next(py);
    Ok(())
}

/// Says that writing has failed; the program goes on.
#[cold]
fn report(py: Python<'_>, number: i32) -> PyResult<()> {
    let error = std::io::Error::from_raw_os_error(number);
    let text = format!("a recording of ferrio.testing has ended, because it cannot be written: {error}");
    imports::base_events_logger(py)?.call_method1(name!("warning"), (text,)).map(drop)
}

fn ran(slf: &Object<'_>, _: &Bound<'_, LoopBase>, _: usize, task: Option<Object<'_>>) -> PyResult<()> {
    let py = slf.py();
    let Some(recording) = of(slf) else { return Ok(()) };
    let (number, is_first) = recording.number_of(py, task.as_ref().map_or(0, task_number));
    if let Some(task) = task
        && is_first
    {
        let name = described(&task).unwrap_or_default();
        recording.note(py, &Recorded::Task(number, &name));
    }
    recording.note(py, &Recorded::Step(number));
    Ok(())
}

/// A task's name, its function and where that is.
fn described(task: &Object<'_>) -> Option<String> {
    let py = task.py();
    let describe =
        ferrio_cpython::module(py, name!("ferrio.testing._places")).ok()?.getattr(name!("described")).ok()?;
    describe.call1((task,)).ok()?.extract().ok()
}

fn made(slf: &Object<'_>) -> u64 {
    of(slf).map_or(0, |recording| recording.next_job(slf.py()))
}

fn began(slf: &Object<'_>, job: u64) {
    if let Some(recording) = of(slf) {
        recording.set_job(slf.py(), job);
        recording.note(slf.py(), &Recorded::Began(job));
    }
}

fn ended(slf: &Object<'_>, job: u64, function: &Object<'_>, outcome: &PyResult<Object<'_>>) {
    let py = slf.py();
    let Some(recording) = of(slf) else { return };
    recording.set_job(py, 0);
    let found = || {
        let module = ferrio_cpython::module(py, name!("ferrio.testing._recordings")).ok()?;
        let encode = module.getattr(name!("encode_lookup")).ok()?;
        let (result, error) = match outcome {
            Ok(result) => (result.clone(), py.None().into_bound(py)),
            Err(error) => (py.None().into_bound(py), error.value(py).clone().into_any()),
        };
        encode.call1((result, error)).ok()?.extract::<Option<String>>().ok()?
    };
    if is_lookup(function)
        && let Some(found) = found()
    {
        recording.note(py, &Recorded::Lookup(job, &found));
    }
}

fn is_lookup(function: &Object<'_>) -> bool {
    let py = function.py();
    let named = |name| ferrio_cpython::module(py, name!("socket")).and_then(|socket| socket.getattr(name));
    ["getaddrinfo", "getnameinfo"].iter().any(|name| named(*name).is_ok_and(|known| known.is(function)))
}

fn lands(slf: &Object<'_>, base: &LoopBase, job: u64, runnable: Runnable) -> PyResult<()> {
    let py = slf.py();
    let place = base.ready_count(py) as u64;
    base.push(py, runnable)?;
    let Some(recording) = of(slf) else { return Ok(()) };
    if job != 0 {
        recording.note(py, &Recorded::Landed(job, place));
        return Ok(());
    }
    let job = recording.job_of_thread(py);
    let name = if job == 0 { name_of_thread(py) } else { String::new() };
    recording.note(py, &Recorded::Called(job, &name, place));
    Ok(())
}

/// The calling thread's name; empty if Python has not made it.
pub(super) fn name_of_thread(py: Python<'_>) -> String {
    let name = || {
        let active = ferrio_cpython::module(py, name!("threading")).ok()?.getattr(name!("_active")).ok()?;
        let thread = active.call_method1(name!("get"), (ferrio_cpython::thread_identifier(py),)).ok()?;
        thread.getattr_opt(name!("name")).ok()??.extract().ok()
    };
    name().unwrap_or_default()
}
