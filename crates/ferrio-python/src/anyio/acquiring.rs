//! The body of `acquire` and of `__aenter__` for locks and semaphores, whose waiters are futures in a `deque`.

use std::marker::PhantomData;

use ferrio_cpython::LoopBase;
use ferrio_cpython::capi::exact_type::ExactType;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::raise::handling;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::capi::slot::Slot;
use ferrio_cpython::objects::coroutine::{Awaiting, Body, Visitor};
use ferrio_cpython::objects::create_task;
use ferrio_cpython::objects::waiter::FutureWaiter;
use ferrio_engine::WaiterState;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::originals::{self, nothing};
use super::scopes_of_tasks::{ShieldedTurn, is_cancelled, running_task};
use crate::locks::is_cancellation;

/// A class whose objects are acquired this way.
pub(super) trait Acquirable: 'static {
    /// anyio's class.
    const CLASS: &'static ExactType;
    /// The qualified name of its `acquire`.
    const ACQUIRE: &'static str;
    /// Its `_waiters`, a `deque`.
    const WAITERS: &'static Slot;
    /// Its `_fast_acquire`.
    const TAKES_AT_ONCE: &'static Slot;

    /// Whether a task can have it without waiting.
    fn is_free(object: &Bound<'_, PyAny>) -> PyResult<bool>;

    /// Gives it to a task, which need not wait.
    fn take(object: &Bound<'_, PyAny>, task: &Bound<'_, PyAny>) -> PyResult<()>;

    /// Refuses a task that may not wait for it.
    fn check_waiting(object: &Bound<'_, PyAny>, task: &Bound<'_, PyAny>) -> PyResult<()>;

    /// What stands for a task among the waiters.
    fn entry<'py>(task: Bound<'py, PyAny>, future: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>;

    /// The future of an entry.
    fn future<'py>(entry: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>;
}

/// What the coroutine returns.
#[derive(Clone, Copy)]
pub(super) enum Returns {
    None,
    Itself,
}

pub(super) struct Acquire<A> {
    object: OwnedRef,
    returns: Returns,
    stage: Stage,
    class: PhantomData<fn() -> A>,
}

enum Stage {
    New,
    /// Waits for the exception that cancels the task.
    Cancelled,
    /// Has it, and lets the other tasks run.
    Turn(ShieldedTurn),
    /// Waits for its future; with its entry among the waiters.
    Waiting(Awaiting, OwnedRef),
    /// anyio's own method serves.
    Theirs(Awaiting),
}

impl<A: Acquirable> Acquire<A> {
    pub(super) fn new(object: &Bound<'_, PyAny>, returns: Returns) -> Self {
        Self { object: OwnedRef::of(object), returns, stage: Stage::New, class: PhantomData }
    }

    fn begin<'py>(&mut self, py: Python<'py>) -> PyResult<Step<'py>> {
        let object = self.object.bind(py);
        let Some((owner, task)) = running_task(py)?.filter(|_| A::CLASS.is_exact(object)) else {
            let (awaiting, step) = originals::await_original(object, A::ACQUIRE, &[])?;
            self.stage = Stage::Theirs(awaiting);
            return Ok(self.returning(py, step));
        };
        if !A::is_free(object)? {
            return self.park(py, &owner, task);
        }
        if is_cancelled(&task)? {
            self.stage = Stage::Cancelled;
            return Ok(Step::Yielded(nothing(py)));
        }
        A::take(object, &task)?;
        if A::TAKES_AT_ONCE.get(object)?.is_truthy()? {
            return Ok(self.returned(py));
        }
        self.stage = Stage::Turn(ShieldedTurn::begin(&task)?);
        Ok(Step::Yielded(nothing(py)))
    }

    fn park<'py>(
        &mut self,
        py: Python<'py>,
        owner: &Bound<'py, LoopBase>,
        task: Bound<'py, PyAny>,
    ) -> PyResult<Step<'py>> {
        let object = self.object.bind(py);
        A::check_waiting(object, &task)?;
        let future = create_task::waiter(owner)?;
        let mut awaiting = Awaiting::new(&future)?;
        let entry = A::entry(task, future)?;
        A::WAITERS.get(object)?.call_method1(pyo3::intern!(py, "append"), (&entry,))?;
        let step = awaiting.resume(py, Ok(nothing(py)))?;
        self.stage = Stage::Waiting(awaiting, entry.into());
        Ok(step)
    }

    /// Leaves the waiters, or passes on what it got meanwhile.
    fn give_up(&self, py: Python<'_>, entry: &Bound<'_, PyAny>) -> PyResult<()> {
        if FutureWaiter::new(&A::future(entry)?).state_now(py)? == WaiterState::Cancelled {
            let waiters = A::WAITERS.get(self.object.bind(py))?;
            return match waiters.call_method1(pyo3::intern!(py, "remove"), (entry,)) {
                Err(error) if !error.is_instance_of::<PyValueError>(py) => Err(error),
                Ok(_) | Err(_) => Ok(()),
            };
        }
        self.release(py)
    }

    fn release(&self, py: Python<'_>) -> PyResult<()> {
        self.object.bind(py).call_method0(pyo3::intern!(py, "release")).map(drop)
    }

    fn returned<'py>(&self, py: Python<'py>) -> Step<'py> {
        Step::Returned(match self.returns {
            Returns::None => nothing(py),
            Returns::Itself => self.object.bind(py).clone(),
        })
    }

    /// A step of what it awaits, as its own.
    fn returning<'py>(&self, py: Python<'py>, step: Step<'py>) -> Step<'py> {
        match step {
            Step::Returned(_) => self.returned(py),
            step @ Step::Yielded(_) => step,
        }
    }

    /// Does what an `except CancelledError` clause does before it raises again.
    fn failed(&self, py: Python<'_>, error: PyErr, undo: impl FnOnce() -> PyResult<()>) -> PyErr {
        match is_cancellation(py, &error) {
            Ok(true) => handling(py, &error, undo).err().unwrap_or(error),
            Ok(false) => error,
            Err(other) => other,
        }
    }
}

impl<A: Acquirable> Body for Acquire<A> {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        match &mut self.stage {
            Stage::New => {
                input?;
                self.begin(py)
            }
            Stage::Cancelled => input.map(|_| Step::Yielded(nothing(py))),
            Stage::Turn(turn) => {
                let turn = std::mem::replace(turn, ShieldedTurn::Bare);
                match turn.end(py, input) {
                    Ok(()) => Ok(self.returned(py)),
                    Err(error) => Err(self.failed(py, error, || self.release(py))),
                }
            }
            Stage::Waiting(awaiting, entry) => match awaiting.resume(py, input) {
                Ok(step) => Ok(self.returning(py, step)),
                Err(error) => {
                    let entry = entry.bind(py).clone();
                    Err(self.failed(py, error, || self.give_up(py, &entry)))
                }
            },
            Stage::Theirs(awaiting) => {
                let step = awaiting.resume(py, input)?;
                Ok(self.returning(py, step))
            }
        }
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.object);
        match &self.stage {
            Stage::New | Stage::Cancelled => {}
            Stage::Turn(turn) => turn.traverse(visitor),
            Stage::Waiting(awaiting, entry) => {
                awaiting.traverse(visitor);
                visitor.show_owned(entry);
            }
            Stage::Theirs(awaiting) => awaiting.traverse(visitor),
        }
    }

    fn awaiting(&self) -> Option<&Awaiting> {
        match &self.stage {
            Stage::Waiting(awaiting, _) | Stage::Theirs(awaiting) => Some(awaiting),
            Stage::New | Stage::Cancelled | Stage::Turn(_) => None,
        }
    }
}
