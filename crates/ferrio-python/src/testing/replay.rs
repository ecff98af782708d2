//! Repeats a recording: what landed lands again, at the same places, and the system's answers are the recorded ones.
//!
//! The program runs on the ordinary loop. In each turn this takes from the recording what landed in it; during a
//! callback it takes the answers to what the program asks (`event_loop::recording`). As soon as the program does
//! something else than is recorded, the run is over, and says where it left the recording.

use std::time::Duration;

use ferrio_cpython::objects::loop_base::task_number;
use ferrio_cpython::{LoopBase, Outside, Runnable, Seams};
use pyo3::prelude::*;

use crate::event_loop::recording::{self, Landing, Recording};
use crate::event_loop::{Loop, base, run, signals};
use crate::testing::brought::Replay;
use crate::testing::record::name_of_thread;
use crate::testing::seams::SEAMS;
use crate::testing::simulation::Simulation;
use crate::threads::job::Job;

/// How long a thread of the program's may take, in a run that repeats a recording, to do what it did in the real one.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a look for that is apart from the next.
const NAP: Duration = Duration::from_millis(1);

type Object<'py> = Bound<'py, PyAny>;

static REPLAY: Seams = Seams {
    now,
    read: |slf, owner| Ok(now(slf, owner)),
    now_before: |slf, owner, _| Ok(now(slf, owner)),
    poll,
    ran,
    submit,
    before_call: None,
    outside: Some(Outside { made, began, ended, lands }),
    ..SEAMS
};

#[pymethods]
impl Simulation {
    /// Take the place of the loop's surroundings with what is recorded.
    fn attach_recording(slf: &Bound<'_, Self>, owner: &Bound<'_, Loop>, recorded: &Bound<'_, Recording>) {
        let py = slf.py();
        let replay = Replay::new(recorded.clone().unbind());
        let before = slf.get().state.with(py, |state| state.replay.replace(Box::new(replay)));
        drop(before);
        owner.get().io.tape.set(py, Some(recorded.clone().unbind()));
        base(owner).simulate(py, Some((slf.clone().into_any().unbind(), &REPLAY)));
    }

    /// Repeat nothing more: what is left of the run is undisturbed.
    fn leave_recording(slf: &Bound<'_, Self>, owner: &Bound<'_, Loop>) {
        let py = slf.py();
        owner.get().io.tape.detach(py, base(owner));
        base(owner).simulate(py, Some((slf.clone().into_any().unbind(), &SEAMS)));
        let before = slf.get().state.with(py, |state| state.replay.take());
        let Some(before) = before else { return };
        let Replay { outcomes, calls, .. } = *before;
        for runnable in outcomes.into_values().chain(calls.into_iter().map(|(_, _, runnable)| runnable)) {
            let _ = base(owner).push(py, runnable);
        }
    }

    /// Raise Drift if the program has left the recording.
    fn check_recording(slf: &Bound<'_, Self>, task: Option<Object<'_>>) -> PyResult<()> {
        match recording_of(slf.as_any()) {
            Some(recording) => raise_left(slf.py(), slf.get(), recording.get(), task),
            None => Ok(()),
        }
    }
}

fn recording_of<'py>(slf: &Object<'py>) -> Option<Bound<'py, Recording>> {
    let py = slf.py();
    let this = slf.cast::<Simulation>().ok()?.get();
    this.state.with(py, |state| state.replay.as_ref().map(|replay| replay.recording.bind(py).clone()))
}

fn now(slf: &Object<'_>, owner: &Bound<'_, LoopBase>) -> f64 {
    let py = slf.py();
    let Ok(this) = slf.cast::<Simulation>() else { return f64::NAN };
    if recording::is_own_thread(owner.get(), py)
        && let Some(recording) = recording_of(slf)
    {
        let seconds = recording.get().read_clock(py);
        this.get().state.with(py, |state| state.now = seconds);
        return seconds;
    }
    this.get().state.with(py, |state| state.now)
}

fn poll(slf: &Object<'_>, owner: &Bound<'_, LoopBase>) -> PyResult<()> {
    let py = slf.py();
    let this = slf.cast::<Simulation>()?.get();
    let Some(recording) = recording_of(slf) else { return Ok(()) };
    let run = Run { this, owner: owner.cast::<Loop>()?, recording: recording.get() };
    run.go_on_with_parked()?;
    run.land_all()?;
    run.recording.begin_turn(py);
    run.check(None)?;
    run.land_all()?;
    run.recording.end_poll(py);
    run.owner.get().io.poll_next(py);
    run.check(None)
}

fn ran(slf: &Object<'_>, owner: &Bound<'_, LoopBase>, _: usize, task: Option<Object<'_>>) -> PyResult<()> {
    let py = slf.py();
    let this = slf.cast::<Simulation>()?.get();
    let Some(recording) = recording_of(slf) else { return Ok(()) };
    let run = Run { this, owner: owner.cast::<Loop>()?, recording: recording.get() };
    if let Some(task) = &task
        && this.state.with(py, |state| state.tracing)
        && let Some(world) = this.world(py)
    {
        world.call_method1(name!("note_step"), (task,))?;
    }
    run.check(task.clone())?;
    let came = if task.is_some() { "another step runs" } else { "a callback of no task runs" };
    run.recording.end_step(py, task.as_ref().map_or(0, task_number), came);
    run.check(task)?;
    for landing in run.recording.take_landings(py) {
        run.land(landing)?;
    }
    run.go_on_with_parked()
}

fn submit(slf: &Object<'_>, _: &Bound<'_, LoopBase>, job: Object<'_>) -> PyResult<()> {
    let number = job.cast::<Job>()?.get().number();
    let before = slf.cast::<Simulation>()?.get().state.with(slf.py(), |state| {
        let replay = state.replay.as_mut()?;
        replay.jobs.insert(number, job.unbind())
    });
    drop(before);
    Ok(())
}

fn made(slf: &Object<'_>) -> u64 {
    recording_of(slf).map_or(0, |recording| recording.get().next_job(slf.py()))
}

fn began(slf: &Object<'_>, job: u64) {
    if let Some(recording) = recording_of(slf) {
        recording.get().set_job(slf.py(), job);
    }
}

fn ended(slf: &Object<'_>, _: u64, _: &Object<'_>, _: &PyResult<Object<'_>>) {
    if let Some(recording) = recording_of(slf) {
        recording.get().set_job(slf.py(), 0);
    }
}

/// Keeps what a thread brings until the recording says that it lands.
fn lands(slf: &Object<'_>, base: &LoopBase, job: u64, runnable: Runnable) -> PyResult<()> {
    let py = slf.py();
    let Some(recording) = recording_of(slf) else { return base.push(py, runnable) };
    let thread = recording.get().job_of_thread(py);
    let name = if job == 0 && thread == 0 { name_of_thread(py) } else { String::new() };
    let before = slf.cast::<Simulation>()?.get().state.with(py, |state| {
        let replay = state.replay.as_mut()?;
        if job != 0 {
            return replay.outcomes.insert(job, runnable);
        }
        replay.calls.push((thread, name, runnable));
        None
    });
    drop(before);
    Ok(())
}

/// Raises if the program has left the recording, or that has ended.
fn raise_left(py: Python<'_>, this: &Simulation, recording: &Recording, task: Option<Object<'_>>) -> PyResult<()> {
    let Some(left) = recording.left(py) else { return Ok(()) };
    let Some(world) = this.world(py) else { return Ok(()) };
    let arguments = (left.turn, left.entry, left.expected, left.came, task);
    world.call_method1(name!("left_recording"), arguments).map(drop)
}

struct Run<'a, 'py> {
    this: &'a Simulation,
    owner: &'a Bound<'py, Loop>,
    recording: &'a Recording,
}

impl<'py> Run<'_, 'py> {
    fn py(&self) -> Python<'py> {
        self.owner.py()
    }

    fn check(&self, task: Option<Object<'py>>) -> PyResult<()> {
        raise_left(self.py(), self.this, self.recording, task)
    }

    fn with<R>(&self, look: impl FnOnce(&mut Replay) -> R) -> Option<R> {
        self.this.state.with(self.py(), |state| state.replay.as_mut().map(|replay| look(replay)))
    }

    fn land_all(&self) -> PyResult<()> {
        while let Some(landing) = self.recording.take_landing(self.py()) {
            self.land(landing)?;
        }
        Ok(())
    }

    fn land(&self, landing: Landing) -> PyResult<()> {
        let py = self.py();
        match landing {
            Landing::Event(registration, readiness) => self.dispatch(registration, readiness),
            Landing::Due(seconds) => {
                self.recording.set_clock(py, seconds);
                self.this.state.with(py, |state| state.now = seconds);
                run::land_due(self.owner, seconds)
            }
            Landing::Signal(number) => signals::deliver(self.owner, i32::try_from(number).unwrap_or(0)),
            Landing::Interrupt(is_running) => match self.this.world(py) {
                Some(world) => world.call_method1(name!("interrupt"), (is_running,)).map(drop),
                None => Ok(()),
            },
            Landing::Began(job) => self.begin(job),
            Landing::Landed(job, place) => {
                // What another library's threads do has no beginning that is recorded.
                self.begin(job)?;
                self.wait(&format!("the outcome of job {job}"), |replay| replay.outcomes.contains_key(&job))?;
                let outcome = self.with(|replay| replay.outcomes.remove(&job)).flatten();
                self.queue(outcome, place)
            }
            Landing::Called(job, thread, place) => {
                let find =
                    |replay: &Replay| replay.calls.iter().position(|(other, name, _)| (*other, name) == (job, &thread));
                let who = if job == 0 { format!("the thread {thread:?}") } else { format!("job {job}") };
                self.wait(&format!("a call of {who}"), |replay| find(replay).is_some())?;
                let call = self.with(|replay| find(replay).map(|index| replay.calls.remove(index).2)).flatten();
                self.queue(call, place)
            }
        }
    }

    fn dispatch(&self, registration: u64, readiness: u32) -> PyResult<()> {
        let py = self.py();
        let io = &self.owner.get().io;
        let Some(fd) = self.recording.descriptor(py, registration) else { return Ok(()) };
        let entry = io.registrations.with(py, |registrations| registrations.poller_entry(fd));
        let Some(entry) = entry else { return Ok(()) };
        base(self.owner).reserve(py, 2)?;
        let readiness = ferrio_sys::Readiness::from_bits(readiness);
        io.dispatch(py, base(self.owner), ferrio_sys::Token(entry.token), readiness);
        Ok(())
    }

    /// Lets a thread do a job; a lookup has found what is recorded.
    fn begin(&self, job: u64) -> PyResult<()> {
        let py = self.py();
        if job > self.recording.jobs(py) {
            self.recording.leave_before(
                py,
                format!("a thread begins with job {job}"),
                "there is no such job".to_owned(),
            );
            return self.check(None);
        }
        let Some(given) = self.with(|replay| replay.jobs.remove(&job)).flatten() else { return Ok(()) };
        let Some(world) = self.this.world(py) else { return Ok(()) };
        match self.recording.lookup(py, job) {
            Some(found) => {
                let outcome = world.call_method1(name!("found_by_lookup"), (found,));
                let given = given.into_bound(py).cast_into::<Job>()?;
                Job::end_with(&given, outcome)
            }
            None => world.call_method1(name!("run"), (given, job)).map(drop),
        }
    }

    /// Lets jobs that have waited for something that is done by now go on.
    fn go_on_with_parked(&self) -> PyResult<()> {
        let py = self.py();
        loop {
            let next = self
                .this
                .state
                .with(py, |state| if state.arrivals.is_empty() { None } else { Some(state.arrivals.remove(0)) });
            let Some(arrival) = next else { return Ok(()) };
            if let Some(world) = self.this.world(py) {
                let method = if arrival.by_thread { name!("run") } else { name!("land") };
                world.call_method1(method, (arrival.job, arrival.chain))?;
            }
        }
    }

    /// Lets the next timeout of a job pass that waits for another thread; false if there is none.
    fn let_timeout_pass(&self) -> PyResult<bool> {
        let next =
            self.this.state.with(self.py(), |state| (!state.under_way.is_empty()).then(|| state.under_way.remove(0)));
        let Some(next) = next else { return Ok(false) };
        self.this.state.with(self.py(), |state| state.arrivals.push(next.arrival));
        self.go_on_with_parked()?;
        Ok(true)
    }

    /// Waits for a thread of the program's. If a job has not come so far, what it has waited for has not come in time.
    fn wait(&self, what: &str, is_there: impl Fn(&Replay) -> bool) -> PyResult<()> {
        let py = self.py();
        let began = ferrio_sys::clock::monotonic();
        while !self.with(|replay| is_there(replay)).unwrap_or(true) {
            if self.let_timeout_pass()? {
                continue;
            }
            if u128::from(ferrio_sys::clock::monotonic() - began) > PATIENCE.as_nanos() {
                self.recording.leave_before(py, what.to_owned(), "nothing of the kind".to_owned());
                return self.check(None);
            }
            py.detach(|| std::thread::park_timeout(NAP));
            py.check_signals()?;
        }
        Ok(())
    }

    /// Queues what a thread has brought, after `place` callbacks.
    fn queue(&self, runnable: Option<Runnable>, place: u64) -> PyResult<()> {
        let py = self.py();
        let Some(runnable) = runnable else { return Ok(()) };
        let base = base(self.owner);
        let after = base.take_ready(py, usize::try_from(place).unwrap_or(usize::MAX));
        base.reserve(py, after.len() + 1)?;
        base.push_reserved(py, runnable);
        for runnable in after {
            base.push_reserved(py, runnable);
        }
        Ok(())
    }
}
