//! `Job`: a call that a worker makes for a loop, and the loop's future that gets the outcome.
//!
//! States: *waiting* in the queue, *running*, *finished* (the loop has to complete the future), *over*. The worker moves
//! a job from waiting to running and from running to finished, the loop from finished to over. A cancelled future moves
//! it from waiting to over: then no worker runs it. As in asyncio, the future learns the outcome in a callback of the
//! loop, and a cancellation reaches the job in a callback too.

use ferrio_cpython::capi::context;
use ferrio_cpython::capi::memory;
use ferrio_cpython::objects::future::{DoneCallback, add_done_callback, future_like};
use ferrio_cpython::objects::recording::{self, labels};
use ferrio_cpython::objects::waiter::FutureWaiter;
use ferrio_cpython::{GilCell, LoopBase, Runnable};
use ferrio_engine::{Waiter, WaiterState};
use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::common::{imports, noted};
use crate::threads::running;

/// Shows as what links the loop's future to the executor's in asyncio.
static CHECK_CANCEL: DoneCallback = DoneCallback::new("_chain_future.<locals>._call_check_cancel", check_cancel);

/// What surrounds a call in the worker: calls its second argument; the first one is the job's own.
pub(crate) type Surround =
    for<'py> fn(&Bound<'py, PyAny>, &mut dyn FnMut() -> PyResult<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>>;

/// The exception for the future when the call has raised another one.
pub(crate) type Failure = for<'py> fn(&Bound<'py, PyBaseException>) -> PyResult<Bound<'py, PyAny>>;

/// What a worker is to call.
pub(crate) enum Call {
    /// `function(*arguments)`, in the worker's own context.
    Plain { function: Py<PyAny>, arguments: Py<PyTuple> },
    /// `context.run(function, *arguments, **keywords)`.
    InContext { context: Py<PyAny>, function: Py<PyAny>, arguments: Py<PyTuple>, keywords: Option<Py<PyDict>> },
    /// `context.run(function, *arguments)`, surrounded.
    Surrounded { surround: Surround, own: Py<PyAny>, context: Py<PyAny>, function: Py<PyAny>, arguments: Py<PyTuple> },
}

impl Call {
    fn make<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Plain { function, arguments } => function.bind(py).call1(arguments.bind(py)),
            Self::InContext { context, function, arguments, keywords } => {
                let keywords = keywords.as_ref().map(|keywords| keywords.bind(py));
                context::run_in(py, context.bind(py), || function.bind(py).call(arguments.bind(py), keywords))
            }
            Self::Surrounded { surround, own, context, function, arguments } => surround(own.bind(py), &mut || {
                context::run_in(py, context.bind(py), || function.bind(py).call1(arguments.bind(py)))
            }),
        }
    }

    fn function<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        match self {
            Self::Plain { function, .. } | Self::InContext { function, .. } | Self::Surrounded { function, .. } => {
                function.bind(py)
            }
        }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Plain { function, arguments } => {
                visit.call(function)?;
                visit.call(arguments)
            }
            Self::InContext { context, function, arguments, keywords } => {
                visit.call(context)?;
                visit.call(function)?;
                visit.call(arguments)?;
                visit.call(keywords)
            }
            Self::Surrounded { own, context, function, arguments, .. } => {
                visit.call(own)?;
                visit.call(context)?;
                visit.call(function)?;
                visit.call(arguments)
            }
        }
    }
}

enum Outcome {
    Result(Py<PyAny>),
    Exception(Py<PyBaseException>),
    Cancelled,
}

enum State {
    Waiting(Call, FutureWaiter),
    Running(FutureWaiter),
    Finished(FutureWaiter, Outcome),
    Over,
}

/// A call for a worker.
#[pyclass(frozen, module = "ferrio")]
pub(crate) struct Job {
    owner: Py<LoopBase>,
    failure: Failure,
    /// When it was made, if that was recorded; else 0.
    queued_at: u64,
    /// Its number, if the loop's surroundings count its jobs; else 0.
    number: u64,
    state: GilCell<State>,
}

impl Job {
    /// A job for a loop, whose future `future` is. It is not run if the future is cancelled before that.
    pub(crate) fn new<'py>(
        owner: &Bound<'py, LoopBase>,
        call: Call,
        future: &Bound<'py, PyAny>,
        failure: Failure,
    ) -> PyResult<Bound<'py, Self>> {
        let state = GilCell::new(State::Waiting(call, FutureWaiter::new(future)));
        let number = owner.get().count_job(owner.py());
        let queued_at = noted::instant();
        Bound::new(owner.py(), Self { owner: owner.clone().unbind(), failure, queued_at, number, state })
    }

    /// A job as asyncio has them: the future shows that it is linked to it.
    pub(crate) fn linked<'py>(
        owner: &Bound<'py, LoopBase>,
        call: Call,
        future: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let job = Self::new(owner, call, future, converted)?;
        add_done_callback(future, job.as_any(), &CHECK_CANCEL)?;
        Ok(job)
    }

    /// The function, if the job waits to call it without arguments and without anything around it but a context.
    pub(crate) fn bare_function<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| {
            let State::Waiting(call, _) = state else { return None };
            let (function, arguments) = match call {
                Call::Plain { function, arguments } | Call::InContext { function, arguments, keywords: None, .. } => {
                    (function, arguments)
                }
                Call::InContext { .. } | Call::Surrounded { .. } => return None,
            };
            arguments.bind(py).is_empty().then(|| function.bind(py).clone())
        })
    }

    /// The function that the job waits to call.
    pub(crate) fn function<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| match state {
            State::Waiting(
                Call::Plain { function, .. } | Call::InContext { function, .. } | Call::Surrounded { function, .. },
                _,
            ) => Some(function.bind(py).clone()),
            _ => None,
        })
    }

    /// The loop that waits for it.
    pub(crate) fn owner<'py>(&self, py: Python<'py>) -> &Bound<'py, LoopBase> {
        self.owner.bind(py)
    }

    /// Its number, if the loop's surroundings count its jobs; else 0.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// When it was made, in nanoseconds of the monotonic clock; 0 if that was not recorded.
    pub(crate) fn queued_at(&self) -> u64 {
        self.queued_at
    }

    /// Looks at the loop's future, unless the job is over. `look` must not run Python code.
    pub(crate) fn with_future<R>(&self, py: Python<'_>, look: impl FnOnce(&FutureWaiter) -> R) -> Option<R> {
        self.state.with(py, |state| match state {
            State::Waiting(_, future) | State::Running(future) | State::Finished(future, _) => Some(look(future)),
            State::Over => None,
        })
    }

    /// Makes the call, in a worker. Returns the loop that has the outcome in its queue and is not woken yet.
    pub(crate) fn run<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, LoopBase>>> {
        Self::run_then(slf, || Ok(()))
    }

    /// The same; `then` is called between the call and its outcome, which it may replace by its error.
    pub(crate) fn run_then<'py>(
        slf: &Bound<'py, Self>,
        then: impl FnOnce() -> PyResult<()>,
    ) -> PyResult<Option<Bound<'py, LoopBase>>> {
        let py = slf.py();
        let Some(call) = slf.get().begin(py) else { return Ok(None) };
        let is_recorded = recording::is_on();
        if is_recorded {
            if slf.get().queued_at != 0 {
                recording::note_job_wait(py, noted::instant().saturating_sub(slf.get().queued_at));
            }
            recording::note_job(py, true, labels::of_callable(call.function(py)));
            running::begin(slf.as_any(), call.function(py));
        }
        let this = slf.get();
        if this.number != 0
            && let Some((simulation, outside)) = this.owner.bind(py).get().outside(py)
        {
            (outside.began)(&simulation, this.number);
        }
        let made = call.make(py);
        if this.number != 0
            && let Some((simulation, outside)) = this.owner.bind(py).get().outside(py)
        {
            (outside.ended)(&simulation, this.number, call.function(py), &made);
        }
        if is_recorded {
            recording::note_job(py, false, 0);
            running::end(slf.as_any());
        }
        let outcome = match then().and(made) {
            Ok(result) => Outcome::Result(result.unbind()),
            Err(error) => Outcome::Exception(error.into_value(py)),
        };
        Self::finish(slf, outcome)
        // The call is released here, after the outcome is on its way.
    }

    /// Ends with this outcome, without the call.
    pub(crate) fn end_with(slf: &Bound<'_, Self>, outcome: PyResult<Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().begin(py).is_none() {
            return Ok(());
        }
        let outcome = match outcome {
            Ok(result) => Outcome::Result(result.unbind()),
            Err(error) => Outcome::Exception(error.into_value(py)),
        };
        Self::finish(slf, outcome).map(drop)
    }

    fn begin(&self, py: Python<'_>) -> Option<Call> {
        self.state.with(py, |state| match std::mem::replace(state, State::Over) {
            State::Waiting(call, future) if future.waiter_state() == WaiterState::Waiting => {
                *state = State::Running(future);
                Some(call)
            }
            other => {
                *state = other;
                None
            }
        })
    }

    /// Queues the completion in the loop.
    fn finish<'py>(slf: &Bound<'py, Self>, outcome: Outcome) -> PyResult<Option<Bound<'py, LoopBase>>> {
        let py = slf.py();
        let owner = slf.get().owner.bind(py);
        let before = slf.get().state.with(py, |state| std::mem::replace(state, State::Over));
        let (future, call) = match before {
            State::Running(future) => (future, None),
            State::Waiting(call, future) => (future, Some(call)),
            State::Finished(..) | State::Over => return Ok(None),
        };
        if owner.get().closed.get() {
            // On a closed loop nobody waits for the outcome.
            return Ok(None);
        }
        slf.get().state.with(py, |state| *state = State::Finished(future, outcome));
        drop(call);
        let completion = Runnable::native(slf.clone(), complete, 0);
        match slf.get().number {
            0 => owner.get().push(py, completion)?,
            number => owner.get().push_from_outside(py, number, completion)?,
        }
        Ok(Some(owner.clone()))
    }
}

#[pymethods]
impl Job {
    /// For `shutdown(cancel_futures=True)` of executors, which cancels the futures of the items in the queue.
    #[getter]
    fn future(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    /// Cancel the job unless it has begun, and with it the future of the loop.
    fn cancel(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        if !slf.get().state.with(py, |state| matches!(state, State::Waiting(..))) {
            return Ok(false);
        }
        if let Some(owner) = Self::finish(slf, Outcome::Cancelled)? {
            owner.get().wake_if_asleep(py);
        }
        Ok(true)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.owner)?;
        let outcome = self.state.traverse(&visit, |state| match state {
            State::Waiting(call, future) => {
                call.traverse(&visit)?;
                future.traverse(&visit)
            }
            State::Running(future) => future.traverse(&visit),
            State::Finished(future, outcome) => {
                future.traverse(&visit)?;
                match outcome {
                    Outcome::Result(result) => visit.call(result),
                    Outcome::Exception(exception) => visit.call(exception),
                    Outcome::Cancelled => Ok(()),
                }
            }
            State::Over => Ok(()),
        });
        outcome.unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        let state = self.state.with(py, |state| std::mem::replace(state, State::Over));
        drop(state);
    }
}

/// The future is done: if it was cancelled, no worker is to begin the job.
fn check_cancel<'py>(job: &Bound<'py, PyAny>, future: &Bound<'py, PyAny>) -> PyResult<()> {
    if !future_like::is_cancelled(future)? {
        return Ok(());
    }
    let before = job
        .cast::<Job>()?
        .get()
        .state
        .with(job.py(), |state| matches!(state, State::Waiting(..)).then(|| std::mem::replace(state, State::Over)));
    drop(before);
    Ok(())
}

/// Completes the future, in the loop, unless it is done.
fn complete(object: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    let py = object.py();
    let job = object.cast::<Job>()?.get();
    let failure = job.failure;
    let state = job.state.with(py, |state| std::mem::replace(state, State::Over));
    let State::Finished(future, outcome) = state else { return Ok(()) };
    match outcome {
        Outcome::Result(result) => future.wake(py, result.into_bound(py)),
        Outcome::Cancelled => future.cancel(py).map(drop),
        Outcome::Exception(exception) => fail(&future.future(py), exception.bind(py), failure),
    }
}

#[cold]
fn fail(future: &Bound<'_, PyAny>, exception: &Bound<'_, PyBaseException>, failure: Failure) -> PyResult<()> {
    let py = future.py();
    if future_like::is_done(future)? {
        return Ok(());
    }
    future.call_method1(pyo3::intern!(py, "set_exception"), (failure(exception)?,)).map(drop)
}

/// asyncio's exception for one of `concurrent.futures`.
fn converted<'py>(exception: &Bound<'py, PyBaseException>) -> PyResult<Bound<'py, PyAny>> {
    let py = exception.py();
    imports::convert_future_exception(py)?.call1(memory::tuple(py, [exception])?)
}
