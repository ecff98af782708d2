//! The seams at which a simulation takes the place of what surrounds a loop: its clock, its poll, its threads.
//!
//! A loop runs its ordinary turns while it is simulated. The clock is the simulation's; a poll asks the simulation what
//! lands, due timers included; after each callback the simulation may insert what another thread would have appended
//! meanwhile. Without a simulation each seam costs a branch where there was one, or a branch in a poll.

use ferrio_engine::Deadline;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::{Clock, LoopBase};
use crate::objects::handle::HandleRef;
use crate::objects::runnable::{Runnable, TaskStep};
use crate::objects::task;
pub use crate::objects::task::SetOrder;

/// Gets the simulation, the loop, where in the ready queue a callback's own appends begin, and the task whose step ran.
pub type AfterCallback = fn(&Bound<'_, PyAny>, &Bound<'_, LoopBase>, usize, Option<Bound<'_, PyAny>>) -> PyResult<()>;

/// Gets the simulation, the loop and a job.
pub type SubmitJob = fn(&Bound<'_, PyAny>, &Bound<'_, LoopBase>, Bound<'_, PyAny>) -> PyResult<()>;

/// Gets the simulation.
pub type BeforeCall = fn(&Bound<'_, PyAny>) -> PyResult<()>;

/// Gets the simulation and the future of a job.
pub type WatchJob = fn(&Bound<'_, PyAny>, &Bound<'_, PyAny>) -> PyResult<()>;

/// What a simulation does in place of a loop's surroundings; the first argument is the simulation.
pub struct Seams {
    /// A reading of the clock, by the loop.
    pub now: fn(&Bound<'_, PyAny>, &Bound<'_, LoopBase>) -> f64,
    /// A reading of the clock, by the program.
    pub read: fn(&Bound<'_, PyAny>, &Bound<'_, LoopBase>) -> PyResult<f64>,
    /// The reading of the clock to which a timer adds this many seconds.
    pub now_before: fn(&Bound<'_, PyAny>, &Bound<'_, LoopBase>, f64) -> PyResult<f64>,
    /// Queues what lands in this turn.
    pub poll: fn(&Bound<'_, PyAny>, &Bound<'_, LoopBase>) -> PyResult<()>,
    /// A callback has run.
    pub ran: AfterCallback,
    /// Chooses in which order sets of tasks are iterated.
    pub choose_order_of_sets: fn(&Bound<'_, PyAny>) -> SetOrder,
    /// Takes a job of the loop's, for a thread of the simulation's.
    pub submit: SubmitJob,
    /// Another thread is about to call the loop. None if it need not wait.
    pub before_call: Option<BeforeCall>,
    /// Gets the future of a job that was handed to a thread of the program's. None if sockets and threads are the
    /// simulation's.
    pub watch_job: Option<WatchJob>,
    /// Gets what other threads do for the loop. None if they need not ask.
    pub outside: Option<Outside>,
}

/// What is told of what other threads do for a loop; the first argument of each is the simulation.
#[derive(Clone, Copy)]
pub struct Outside {
    /// A job is made; gives its number, from 1 on.
    pub made: fn(&Bound<'_, PyAny>) -> u64,
    /// A thread begins with the job of this number.
    pub began: fn(&Bound<'_, PyAny>, u64),
    /// It has called this function, with this outcome.
    pub ended: JobEnded,
    /// Queues the outcome of the job of this number or, for 0, what a thread has called the loop with.
    pub lands: fn(&Bound<'_, PyAny>, &LoopBase, u64, Runnable) -> PyResult<()>,
}

/// Gets the simulation, the number of a job, its function and its outcome.
pub type JobEnded = fn(&Bound<'_, PyAny>, u64, &Bound<'_, PyAny>, &PyResult<Bound<'_, PyAny>>);

/// A simulation, as a loop sees it.
pub struct Simulator {
    object: Py<PyAny>,
    seams: &'static Seams,
}

impl Simulator {
    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.object)
    }
}

/// A timer that is armed.
pub struct ArmedTimer<'py> {
    /// When it is due.
    pub deadline: f64,
    /// Increases with the order of arming.
    pub sequence: u64,
    /// It ends a sleep.
    pub is_sleep: bool,
    /// Its handle.
    pub handle: Bound<'py, PyAny>,
}

impl LoopBase {
    /// Puts a simulation in the place of the loop's surroundings; None puts them back.
    pub fn simulate(&self, py: Python<'_>, simulation: Option<(Py<PyAny>, &'static Seams)>) {
        if self.simulated.get() != simulation.is_some() {
            task::note_simulation(py, simulation.is_some());
        }
        self.simulated.set(simulation.is_some());
        self.io_is_simulated.set(simulation.as_ref().is_some_and(|(_, seams)| seams.watch_job.is_none()));
        let simulator = simulation.map(|(object, seams)| Simulator { object, seams });
        let before = self.simulator.with(py, |place| std::mem::replace(place, simulator));
        self.update_special();
        self.clock.set(py, Clock::Unknown);
        drop(before);
    }

    /// Whether the loop is simulated.
    #[inline]
    pub fn is_simulated(&self) -> bool {
        self.simulated.get()
    }

    /// Whether sockets and threads are the simulation's too.
    #[inline]
    pub fn has_simulated_io(&self) -> bool {
        self.io_is_simulated.get()
    }

    /// Tells the simulation of a job that a thread of the program's does.
    ///
    /// # Errors
    /// The simulation's.
    #[cold]
    pub fn watch_job(&self, future: &Bound<'_, PyAny>) -> PyResult<()> {
        match self.simulation(future.py()) {
            Some((simulation, Seams { watch_job: Some(watch), .. })) => watch(&simulation, future),
            Some(_) | None => Ok(()),
        }
    }

    /// The simulation, if the loop is simulated.
    #[cold]
    pub fn simulation<'py>(&self, py: Python<'py>) -> Option<(Bound<'py, PyAny>, &'static Seams)> {
        self.simulator.with(py, |place| place.as_ref().map(|this| (this.object.bind(py).clone(), this.seams)))
    }

    #[cold]
    pub(super) fn simulated_time(slf: &Bound<'_, Self>) -> PyResult<f64> {
        match slf.get().simulation(slf.py()) {
            Some((simulation, seams)) => Ok((seams.now)(&simulation, slf)),
            None => super::system_time(slf.py()),
        }
    }

    /// The reading of the clock to which a timer adds `delay` seconds.
    ///
    /// # Errors
    /// As `now`.
    #[inline]
    pub fn now_before(slf: &Bound<'_, Self>, delay: f64) -> PyResult<f64> {
        if slf.get().is_simulated() { Self::simulated_time_before(slf, delay) } else { Self::now(slf) }
    }

    #[cold]
    fn simulated_time_before(slf: &Bound<'_, Self>, delay: f64) -> PyResult<f64> {
        let own_clock = Self::has_own_clock(slf)?;
        match slf.get().simulation(slf.py()) {
            Some((simulation, seams)) if !own_clock => (seams.now_before)(&simulation, slf, delay),
            _ => Self::now(slf),
        }
    }

    /// What is told of other threads, if it asks.
    #[cold]
    pub fn outside<'py>(&self, py: Python<'py>) -> Option<(Bound<'py, PyAny>, Outside)> {
        self.simulation(py).and_then(|(simulation, seams)| Some((simulation, seams.outside?)))
    }

    /// A number for a job of the loop's; 0 if jobs are not counted.
    #[inline]
    pub fn count_job(&self, py: Python<'_>) -> u64 {
        if self.is_simulated() { self.count_simulated_job(py) } else { 0 }
    }

    #[cold]
    fn count_simulated_job(&self, py: Python<'_>) -> u64 {
        self.outside(py).map_or(0, |(simulation, outside)| (outside.made)(&simulation))
    }

    /// Queues what another thread brings: the outcome of a job with this number or, for 0, a call.
    ///
    /// # Errors
    /// As `push`.
    #[cold]
    pub fn push_from_outside(&self, py: Python<'_>, job: u64, runnable: Runnable) -> PyResult<()> {
        let is_outside = job != 0 || self.thread() != Some(crate::thread_identifier(py));
        let Some((simulation, seams)) = self.simulation(py).filter(|_| is_outside) else {
            return self.push(py, runnable);
        };
        if let Some(outside) = seams.outside {
            return (outside.lands)(&simulation, self, job, runnable);
        }
        if let Some(before_call) = seams.before_call {
            before_call(&simulation)?;
        }
        self.push(py, runnable)
    }

    /// The number that the next timer gets.
    pub fn next_timer(&self, py: Python<'_>) -> u64 {
        self.timers.with(py, |timers| timers.next_sequence())
    }

    /// The timers that are due up to `end` and not cancelled, in the order in which they are due.
    #[must_use]
    pub fn armed_timers<'py>(&self, py: Python<'py>, end: f64) -> Vec<ArmedTimer<'py>> {
        let mut found: Vec<(Deadline, u64, HandleRef)> = self.timers.with(py, |timers| {
            let items = timers.armed_up_to(Deadline(end));
            items.map(|(deadline, sequence, handle)| (deadline, sequence, handle.clone_ref(py))).collect()
        });
        found.sort_by_key(|(deadline, sequence, _)| (*deadline, *sequence));
        let show = |(Deadline(deadline), sequence, handle): (Deadline, u64, HandleRef)| ArmedTimer {
            deadline,
            sequence,
            is_sleep: handle.ends_sleep(py),
            handle: handle.bind(py),
        };
        found.into_iter().map(show).collect()
    }

    /// Moves the timer with this number to the ready queue.
    ///
    /// # Errors
    /// `MemoryError`; then it is still armed.
    pub fn land_timer(&self, py: Python<'_>, sequence: u64) -> PyResult<()> {
        self.reserve(py, 1)?;
        if let Some(handle) = self.timers.with(py, |timers| timers.take(sequence)) {
            handle.update(py, |body| body.scheduled = false);
            self.push_reserved(py, Runnable::Handle(handle));
        }
        Ok(())
    }

    /// Takes out what is ready from `place` on.
    pub fn take_ready(&self, py: Python<'_>, place: usize) -> Vec<Runnable> {
        self.queue.with(py, |queue| queue.take_from(place))
    }

    /// The number of the task that runs, which is the same in each run of a simulated program; 0 for none.
    #[must_use]
    pub fn running_number(slf: &Bound<'_, Self>) -> u64 {
        slf.get().running.number(slf.py())
    }

    /// Lets the simulation choose in which order sets of tasks are iterated in this run.
    #[cold]
    pub(crate) fn choose_order_of_sets(slf: &Bound<'_, Self>) {
        let Some((simulation, seams)) = slf.get().simulation(slf.py()) else { return };
        task::set_order_of_sets(slf.py(), Some((seams.choose_order_of_sets)(&simulation)));
    }

    #[cold]
    pub(super) fn ran(slf: &Bound<'_, Self>, place: usize, runnable: &Runnable) -> PyResult<()> {
        let py = slf.py();
        let Some((simulation, seams)) = slf.get().simulation(py) else { return Ok(()) };
        let task = match runnable {
            Runnable::Task(TaskStep::Step(task, _) | TaskStep::Wakeup(task, _)) => Some(task.get(py)),
            Runnable::Handle(_) | Runnable::DoneCallback(_) | Runnable::Native(_) => None,
        };
        (seams.ran)(&simulation, slf, place, task)
    }
}

/// The number of a task: the same in each run of a simulated program.
#[must_use]
pub fn task_number(task: &Bound<'_, PyAny>) -> u64 {
    task::number(task)
}

/// Sets the number of the next unnamed task; returns what it was to be.
#[must_use]
pub fn restart_task_numbers(py: Python<'_>, next: u64) -> u64 {
    task::restart_numbers(py, next)
}

/// Sets in which order the sets of tasks of the run that begins are iterated; None if that is to be chosen.
pub fn set_order_of_sets(py: Python<'_>, order: Option<SetOrder>) {
    task::set_order_of_sets(py, order);
}

/// Whether that is still to be chosen.
#[must_use]
pub fn is_order_of_sets_open(py: Python<'_>) -> bool {
    task::is_order_of_sets_open(py)
}
