//! Running a program under many schedules.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use ferrio_engine::{Plan, Sampling, ScheduleSearch, Tape};

use crate::error::{Panic, RunError};
use crate::runtime::Runtime;
use crate::runtime::choices::{Choices, End};

use super::schedule::{Order, Schedule};

/// How late the loop looks at the clock, if nothing else is said.
const STALL: Duration = Duration::from_millis(5);

/// Why a run failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The program panicked, as a failed assertion does.
    Panicked(Panic),
    /// Nothing is ready, no timer is armed, no thread is at work and no descriptor is watched, but the program has not
    /// ended.
    Deadlock,
    /// It took a million turns.
    Livelock,
    /// It could not run, or was stopped.
    Run(RunError),
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(panic) => match panic.text() {
                Some(text) => write!(formatter, "it panicked: {text}"),
                None => formatter.write_str("it panicked"),
            },
            Self::Deadlock => formatter.write_str("deadlock: nothing can happen any more, but it has not ended"),
            Self::Livelock => formatter.write_str("livelock: it took a million turns"),
            Self::Run(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Run(error) => Some(error),
            Self::Panicked(_) | Self::Deadlock | Self::Livelock => None,
        }
    }
}

/// A run that failed.
#[derive(Debug)]
pub struct Finding {
    fault: Fault,
    schedule: Schedule,
    runs: usize,
}

impl Finding {
    /// Why it failed.
    #[must_use]
    pub const fn fault(&self) -> &Fault {
        &self.fault
    }

    /// The schedule under which it failed, for [`repeat`].
    #[must_use]
    pub const fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// How many runs there were, with this one.
    #[must_use]
    pub const fn runs(&self) -> usize {
        self.runs
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "run {} failed: {}; its schedule is `{}`", self.runs, self.fault, self.schedule)
    }
}

impl std::error::Error for Finding {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.fault)
    }
}

/// What is known about a program that did not fail.
#[derive(Clone, Copy, Debug)]
pub struct Explored {
    runs: usize,
    distinct: usize,
    is_exhausted: bool,
    unseen: f64,
}

impl Explored {
    /// How many runs there were.
    #[must_use]
    pub const fn runs(&self) -> usize {
        self.runs
    }

    /// How many different schedules they had.
    #[must_use]
    pub const fn distinct(&self) -> usize {
        self.distinct
    }

    /// Whether each legal schedule was run.
    #[must_use]
    pub const fn is_exhausted(&self) -> bool {
        self.is_exhausted
    }

    /// An estimate of the probability that one more random schedule does something new.
    #[must_use]
    pub const fn unseen(&self) -> f64 {
        self.unseen
    }
}

/// Runs a program under many schedules, in virtual time, until one fails.
///
/// What varies is what a real run leaves open: when the results of [`to_thread`](crate::to_thread) come and in which
/// order, and how late the loop looks at the clock; [`Order`] may allow more. The first run is undisturbed; then come
/// those that differ from it in one choice, in two, and so on, and random ones. The search is that of the Python package's
/// `ferrio.testing`.
///
/// The program has to depend on nothing else: threads of its own, sockets of other processes and the system's clock are
/// not under control. A call in a thread may wait for other calls that have begun and for what it asks of the runtime. One
/// that waits for a task costs a second whenever its result is chosen before that task has run.
///
/// ```
/// use std::cell::Cell;
/// use ferrio::testing::{self, Explorer};
/// use ferrio::{join_all, to_thread};
///
/// /// Both read the balance before either writes it, if the results come in an unlucky order.
/// async fn withdraw_twice() {
///     let balance = std::rc::Rc::new(Cell::new(100));
///     join_all([10, 20].map(|amount| {
///         let balance = std::rc::Rc::clone(&balance);
///         async move {
///             let seen = balance.get();
///             to_thread(|| ()).await; // asks a database, say
///             balance.set(seen - amount);
///         }
///     }))
///     .await;
///     assert_eq!(balance.get(), 70);
/// }
///
/// let finding = Explorer::new().run(withdraw_twice).expect_err("money is lost");
/// let schedule = finding.schedule().clone();
/// let again = std::panic::catch_unwind(|| testing::repeat(&schedule, withdraw_twice()));
/// assert!(again.is_err(), "the same run panics again");
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing until `run` is called"]
pub struct Explorer {
    seed: u64,
    schedules: usize,
    order: Order,
    stall: Duration,
}

impl Explorer {
    /// At most 1000 schedules that ferrio's runtime can have, with delays of up to 5 ms.
    pub const fn new() -> Self {
        Self { seed: 0, schedules: 1000, order: Order::Loop, stall: STALL }
    }

    /// Sets the seed of the random part.
    pub const fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Sets the most schedules to run.
    pub const fn schedules(self, schedules: usize) -> Self {
        Self { schedules, ..self }
    }

    /// Sets which schedules are legal.
    pub const fn order(self, order: Order) -> Self {
        Self { order, ..self }
    }

    /// Sets how late the loop may look at the clock; zero for never.
    pub const fn stall(self, stall: Duration) -> Self {
        Self { stall, ..self }
    }

    /// Runs the futures that `program` returns, each under another schedule.
    ///
    /// # Errors
    ///
    /// The first run that fails.
    ///
    /// ```
    /// use ferrio::testing::Explorer;
    /// use ferrio::{Queue, to_thread};
    ///
    /// let explored = Explorer::new().run(|| async {
    ///     let queue = Queue::unbounded();
    ///     to_thread(|| ()).await;
    ///     queue.put(1).await.expect("it is open");
    ///     assert_eq!(queue.get().await, Ok(1));
    /// })?;
    /// assert!(explored.is_exhausted());
    /// # Ok::<(), Box<ferrio::testing::Finding>>(())
    /// ```
    pub fn run<F: Future>(&self, mut program: impl FnMut() -> F) -> Result<Explored, Box<Finding>> {
        let mut search = ScheduleSearch::new(self.seed);
        while search.runs() < self.schedules
            && let Some(plan) = search.next_plan()
        {
            let tape = plan.tape(self.order.freedoms(self.stall));
            let ran = run_once(tape, self.stall, &mut program);
            search.finish(&plan, &ran.tape, ran.fingerprint);
            if let Err(fault) = ran.outcome {
                let schedule = Schedule::of(self.order, self.stall, ran.tape.log());
                return Err(Box::new(Finding { fault, schedule, runs: search.runs() }));
            }
        }
        Ok(Explored {
            runs: search.runs(),
            distinct: search.distinct(),
            is_exhausted: search.is_exhausted(),
            unseen: search.unseen(),
        })
    }
}

impl Default for Explorer {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs `future` under the schedule of an earlier run; the same program does the same again.
///
/// # Errors
///
/// Any error of the run; a panic goes on here.
///
/// # Panics
///
/// Panics if `future` does.
///
/// ```
/// use ferrio::testing;
///
/// let schedule = "loop:5000000:1".parse()?;
/// let order = testing::repeat(&schedule, async {
///     let mut outcomes = ferrio::as_completed([1, 2].map(|number| ferrio::to_thread(move || number)));
///     let first = outcomes.next().await.expect("there are two");
///     first.expect("it has a result")
/// })?;
/// assert_eq!(order, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn repeat<F: Future>(schedule: &Schedule, future: F) -> Result<F::Output, Fault> {
    let tape = Plan::repeat(schedule.taken.clone()).tape(schedule.order.freedoms(schedule.stall));
    resume(run_once(tape, schedule.stall, || future))
}

/// Runs `future` under a random schedule, which `seed` decides: the same seed and the same program give the same run.
///
/// # Errors
///
/// Any error of the run; a panic goes on here.
///
/// # Panics
///
/// Panics if `future` does.
///
/// ```
/// use ferrio::testing;
///
/// let program = || async {
///     let mut outcomes = ferrio::as_completed([1, 2, 3].map(|number| ferrio::to_thread(move || number)));
///     let mut order = Vec::new();
///     while let Some(outcome) = outcomes.next().await {
///         order.push(outcome.expect("it has a result"));
///     }
///     order
/// };
/// for seed in 0..10 {
///     assert_eq!(testing::run_with_seed(seed, program())?, testing::run_with_seed(seed, program())?);
/// }
/// # Ok::<(), testing::Fault>(())
/// ```
pub fn run_with_seed<F: Future>(seed: u64, future: F) -> Result<F::Output, Fault> {
    let sampling = Sampling::Uniform { seed, percent: 25, stickiness: 50, expected: HashMap::new() };
    resume(run_once(Tape::new(Vec::new(), Order::Loop.freedoms(STALL), sampling), STALL, || future))
}

/// How a run went.
struct Ran<T> {
    outcome: Result<T, Fault>,
    tape: Tape,
    /// A digest of the steps that were made.
    fingerprint: u64,
}

fn run_once<F: Future>(tape: Tape, stall: Duration, program: impl FnOnce() -> F) -> Ran<F::Output> {
    let runtime = Runtime::with_choices(Choices::new(tape, stall.as_secs_f64()));
    let outcome = catch_unwind(AssertUnwindSafe(|| runtime.run_until(program())));
    let choices = runtime.local().choices().expect("it was made with them");
    let outcome = match outcome {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(error)) => Err(match choices.end() {
            Some(End::Deadlock) => Fault::Deadlock,
            Some(End::Livelock) => Fault::Livelock,
            None => Fault::Run(error),
        }),
        Err(payload) => Err(Fault::Panicked(Panic::new(payload))),
    };
    Ran { outcome, tape: choices.tape(), fingerprint: choices.outcome() }
}

fn resume<T>(ran: Ran<T>) -> Result<T, Fault> {
    match ran.outcome {
        Err(Fault::Panicked(panic)) => resume_unwind(panic.into_payload()),
        outcome => outcome,
    }
}
