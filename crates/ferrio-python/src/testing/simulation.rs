//! `Simulation`: the state of a simulated loop's surroundings, and the plans of its runs.
//!
//! Python drives it: `begin` plans a run, the loop runs, `end` reports it to the search. The object named `world`
//! supplies what needs Python: threads for jobs, what to do when nothing is left to happen, the story of a run.

use ferrio_cpython::GilCell;
use ferrio_cpython::objects::loop_base::{
    SetOrder, is_order_of_sets_open, restart_task_numbers, set_order_of_sets, task_number,
};
use ferrio_cpython::objects::task;
use ferrio_engine::{Choice, Freedom, Freedoms, Plan, Role, ScheduleSearch, Tape};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3::{PyTraverseError, PyVisit};

use crate::event_loop::{Loop, base};
use crate::testing::state::{Arrival, State, UnderWay, mix};
use crate::threads::job::Job;
use crate::transports::socket::SocketTransport;
use crate::transports::socket::close::{force_close, release};

/// The surroundings of a simulated loop.
#[pyclass(frozen, module = "ferrio._ferrio")]
pub(crate) struct Simulation {
    pub(super) world: GilCell<Option<Py<PyAny>>>,
    pub(super) state: GilCell<State>,
}

impl Simulation {
    pub(super) fn world<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.world.with(py, |world| world.as_ref().map(|world| world.bind(py).clone()))
    }

    /// Tells the story's writer that a choice was made.
    pub(super) fn tell(
        &self,
        py: Python<'_>,
        what: &str,
        seconds: f64,
        subject: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.tell_of(py, what, (seconds, subject, 0))
    }

    /// Tells it of something pending, and of which chain it is.
    pub(super) fn tell_of_arrival(
        &self,
        py: Python<'_>,
        what: &str,
        job: &Bound<'_, PyAny>,
        chain: u64,
    ) -> PyResult<()> {
        self.tell_of(py, what, (0.0, Some(job.clone()), chain))
    }

    fn tell_of(
        &self,
        py: Python<'_>,
        what: &str,
        (seconds, subject, chain): (f64, Option<Bound<'_, PyAny>>, u64),
    ) -> PyResult<()> {
        if !self.state.with(py, |state| state.tracing) {
            return Ok(());
        }
        let Some(world) = self.world(py) else { return Ok(()) };
        world.call_method1(name!("tell"), (what, seconds, subject, chain)).map(drop)
    }

    fn restart(&self, py: Python<'_>, tape: Tape, plan: Option<Plan>) {
        let may_reverse = tape.allows(Freedom::Set);
        let before = self.state.with(py, |state| state.begin_run(tape, plan));
        drop(before);
        set_order_of_sets(py, (!may_reverse).then(SetOrder::default));
        let _ = restart_task_numbers(py, 1);
    }
}

#[pymethods]
impl Simulation {
    #[new]
    fn new(world: Py<PyAny>, seed: u64, stall: f64, most_turns: u64) -> Self {
        let state = State::new(seed, stall, most_turns);
        Self { world: GilCell::new(Some(world)), state: GilCell::new(state) }
    }

    /// Begin the next run of the search; False if all schedules were run.
    fn begin(&self, py: Python<'_>, freedoms: u8) -> bool {
        let Some(plan) = self.state.with(py, |state| state.search.next_plan()) else { return false };
        let freedoms = freedom_set(freedoms);
        self.state.with(py, |state| state.freedoms = freedoms);
        self.restart(py, plan.tape(freedoms), Some(plan));
        true
    }

    /// Begin the run once more that `begin` began, or an undisturbed one if the search had none left.
    fn again(&self, py: Python<'_>) {
        let (plan, freedoms) = self.state.with(py, |state| (state.plan.take(), state.freedoms));
        let tape = plan.as_ref().map_or_else(|| Plan::repeat(Vec::new()).tape(freedoms), |plan| plan.tape(freedoms));
        self.restart(py, tape, plan);
    }

    /// Begin a run that repeats these choices and is undisturbed from there on.
    fn repeat(&self, py: Python<'_>, planned: Vec<u8>, freedoms: u8) {
        self.restart(py, Plan::repeat(planned).tape(freedom_set(freedoms)), None);
    }

    /// End a run.
    fn end(&self, py: Python<'_>) {
        self.state.with(py, |state| {
            if let Some(plan) = state.plan.take() {
                state.search.finish(&plan, &state.tape, state.outcome);
            }
        });
    }

    /// From now on make no choices: what is left of the run is undisturbed.
    fn choose_no_more(&self, py: Python<'_>) {
        let tape = self.state.with(py, |state| std::mem::take(&mut state.tape));
        self.state.with(py, |state| {
            state.cancel = None;
            state.turns = 0;
            state.still_turns = 0;
        });
        if is_order_of_sets_open(py) {
            set_order_of_sets(py, Some(SetOrder::default()));
        }
        drop(tape);
    }

    /// Begin another search.
    fn search(&self, py: Python<'_>, seed: u64) {
        let before = self.state.with(py, |state| std::mem::replace(&mut state.search, ScheduleSearch::new(seed)));
        drop(before);
    }

    /// Cancel the task with this number after this many of its steps, in the run that has begun.
    fn cancel_at(&self, py: Python<'_>, task: u64, step: u32) {
        self.state.with(py, |state| state.cancel = Some((task, step)));
    }

    /// The choices of the run: for each the freedom, the alternative taken, how many there were, and its cost.
    #[getter]
    fn choices(&self, py: Python<'_>) -> Vec<(&'static str, u8, u8, u8)> {
        let log = self.state.with(py, |state| state.tape.log().to_vec());
        log.iter()
            .map(|choice: &Choice| (choice.freedom.name(), choice.taken, choice.alternatives, choice.cost))
            .collect()
    }

    /// The alternatives taken.
    #[getter]
    fn taken<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let log: Vec<u8> = self.state.with(py, |state| state.tape.log().iter().map(|choice| choice.taken).collect());
        PyBytes::new(py, &log)
    }

    /// The tasks that made steps, by number, and how many.
    #[getter]
    fn steps(&self, py: Python<'_>) -> Vec<(u64, u32)> {
        let mut steps: Vec<(u64, u32)> =
            self.state.with(py, |state| state.steps.iter().map(|(task, steps)| (*task, *steps)).collect());
        steps.sort_unstable();
        steps
    }

    /// A fingerprint of what happened in the run.
    #[getter]
    fn outcome(&self, py: Python<'_>) -> u64 {
        self.state.with(py, |state| state.outcome)
    }

    /// The time of the loop's clock.
    #[getter]
    fn now(&self, py: Python<'_>) -> f64 {
        self.state.with(py, |state| state.now)
    }

    /// Let the clock go on by this many seconds.
    fn advance(&self, py: Python<'_>, seconds: f64) {
        self.state.with(py, |state| state.now += seconds.max(0.0));
    }

    /// Whether each schedule was run.
    #[getter]
    fn exhausted(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.search.is_exhausted())
    }

    /// How many different schedules were run.
    #[getter]
    fn distinct(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.search.distinct())
    }

    /// The estimated probability that a further random schedule leads to something new.
    #[getter]
    fn unseen(&self, py: Python<'_>) -> f64 {
        self.state.with(py, |state| state.search.unseen())
    }

    /// Whether `world.tell` is told about choices.
    #[setter]
    fn set_tracing(&self, py: Python<'_>, tracing: bool) {
        self.state.with(py, |state| state.tracing = tracing);
    }

    /// Another thread, which is none of the simulation's, has started.
    fn note_foreign_thread(&self, py: Python<'_>) {
        self.state.with(py, |state| state.foreign = true);
    }

    /// What another thread does next for the loop is ready to land.
    pub(super) fn arrive(&self, py: Python<'_>, job: Py<PyAny>, chain: u64) {
        self.state.with(py, |state| state.arrivals.push(Arrival { job, chain, by_thread: true, until: f64::INFINITY }));
    }

    /// Something comes by the network; it lands at `earliest` or at most `delay` seconds later.
    fn send(&self, py: Python<'_>, job: Py<PyAny>, chain: u64, earliest: f64, delay: f64) {
        let arrival = Arrival { job, chain, by_thread: false, until: earliest + delay };
        self.state.with(py, |state| {
            if earliest <= state.now {
                state.arrivals.push(arrival);
            } else {
                let place = state.under_way.partition_point(|other| other.from <= earliest);
                state.under_way.insert(place, UnderWay { from: earliest, arrival });
            }
        });
    }

    /// Whether a job of a thread of the program's is not done.
    fn has_jobs(&self, py: Python<'_>) -> PyResult<bool> {
        let mut jobs = self.state.with(py, |state| std::mem::take(&mut state.jobs));
        let mut left = Vec::new();
        while let Some(future) = jobs.pop() {
            if !future.call_method0(py, name!("done"))?.is_truthy(py)? {
                left.push(future);
            }
        }
        let is_any = !left.is_empty();
        self.state.with(py, |state| state.jobs.append(&mut left));
        Ok(is_any)
    }

    /// Whether each turn looks at the network.
    #[setter]
    fn set_networked(&self, py: Python<'_>, networked: bool) {
        self.state.with(py, |state| state.networked = networked);
    }

    /// Whether jobs have slept, for which they still have to wait.
    #[setter]
    fn set_owes(&self, py: Python<'_>, owes: bool) {
        self.state.with(py, |state| state.owes = owes);
    }

    /// Whether the invariants are checked after each callback.
    #[setter]
    fn set_has_invariants(&self, py: Python<'_>, has_invariants: bool) {
        self.state.with(py, |state| state.has_invariants = has_invariants);
    }

    /// Choose one of `alternatives` about when and how something arrives.
    fn choose(&self, py: Python<'_>, cost: u8, alternatives: usize) -> usize {
        self.state.with(py, |state| {
            let chosen = state.tape.choose(Freedom::Arrival, cost, alternatives);
            state.outcome = mix(state.outcome, chosen as u64 | 1 << 61);
            chosen
        })
    }

    /// Drop what the loop has registered for a descriptor that is about to be closed. A transport of an ended run must
    /// not unregister the number when it is freed: by then another run may use it.
    #[staticmethod]
    fn forget(owner: &Bound<'_, Loop>, fd: i32) -> PyResult<()> {
        let py = owner.py();
        for role in [Role::Stream, Role::Reader, Role::Writer] {
            let handler = owner.get().io.unregister(py, fd, role);
            let target = handler.as_ref().and_then(|handler| handler.target(py));
            if let Some(transport) = target.as_ref().and_then(|target| target.cast::<SocketTransport>().ok()) {
                force_close(transport, None)?;
                release(transport)?;
            }
            drop(handler);
        }
        Ok(())
    }

    /// Run a job, in the thread that calls this, and call `then` before its outcome is on its way.
    #[staticmethod]
    fn run_job(job: &Bound<'_, PyAny>, then: &Bound<'_, PyAny>) -> PyResult<()> {
        Job::run_then(job.cast::<Job>()?, || then.call0().map(drop)).map(drop)
    }

    /// Whether a task of ferrio's is pending.
    #[staticmethod]
    fn has_tasks(py: Python<'_>) -> bool {
        task::is_any_pending(py)
    }

    /// Drop all that is scheduled, and let the loop use executors again if it was told to shut them down.
    #[staticmethod]
    fn clear(owner: &Bound<'_, Loop>) {
        base(owner).clear_scheduled(owner.py());
        owner.get().executors.reopen(owner.py());
    }

    /// The asynchronous generators that are being iterated; None if there never were any.
    #[staticmethod]
    fn generators<'py>(owner: &Bound<'py, Loop>) -> Option<Bound<'py, PyAny>> {
        owner.get().asyncgens.alive(owner.py())
    }

    /// Whether the loop watches descriptors.
    #[staticmethod]
    fn watches(owner: &Bound<'_, Loop>) -> bool {
        owner.get().io.registrations.with(owner.py(), |registrations| registrations.count()) > 0
    }

    /// The future that the loop runs until it is done; None if there is none.
    #[staticmethod]
    fn outermost(owner: &Bound<'_, Loop>) -> Option<Py<PyAny>> {
        let py = owner.py();
        owner.get().outermost.with(py, |future| future.as_ref().map(|future| future.clone_ref(py)))
    }

    /// Whether the loop has signal handlers.
    #[staticmethod]
    fn has_signal_handlers(owner: &Bound<'_, Loop>) -> bool {
        !owner.get().signals.is_empty(owner.py())
    }

    /// The descriptors that the loop watches.
    #[staticmethod]
    fn descriptors(owner: &Bound<'_, Loop>) -> Vec<i32> {
        owner.get().io.registrations.with(owner.py(), |registrations| registrations.watched().collect())
    }

    /// How many callbacks are ready.
    #[staticmethod]
    fn ready(owner: &Bound<'_, Loop>) -> usize {
        base(owner).ready_count(owner.py())
    }

    /// The number of a task, the same in each run.
    #[staticmethod]
    fn number(task: &Bound<'_, PyAny>) -> u64 {
        task_number(task)
    }

    /// Set the number of the next task; gives what it was to be.
    #[staticmethod]
    fn restart_numbers(py: Python<'_>, next: u64) -> u64 {
        restart_task_numbers(py, next)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.world.traverse(&visit, |world| visit.call(world)).transpose()?;
        let arrivals = self.state.traverse(&visit, |state| {
            state.arrivals.iter().try_for_each(|this| visit.call(&this.job))?;
            state.under_way.iter().try_for_each(|this| visit.call(&this.arrival.job))?;
            state.jobs.iter().try_for_each(|future| visit.call(future))?;
            let replayed = state.replay.iter().flat_map(|replay| replay.jobs.values());
            replayed.into_iter().try_for_each(|job| visit.call(job))
        });
        arrivals.transpose().map(drop)
    }

    fn __clear__(&self, py: Python<'_>) {
        let world = self.world.with(py, Option::take);
        drop(world);
        let kept = self.state.with(py, |state| {
            let arrivals = (std::mem::take(&mut state.arrivals), std::mem::take(&mut state.under_way));
            (arrivals, std::mem::take(&mut state.jobs), state.replay.take())
        });
        drop(kept);
    }
}

/// The freedoms whose bits are set, the weakest being the lowest bit.
fn freedom_set(bits: u8) -> Freedoms {
    let allowed = Freedom::ALL.into_iter().enumerate().filter(|(index, _)| bits & 1 << index != 0);
    allowed.fold(Freedoms::NONE, |set, (_, freedom)| set.with(freedom))
}
