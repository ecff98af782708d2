//! The body of `CapacityLimiter.acquire` and `acquire_on_behalf_of`.

use ferrio_cpython::capi::memory::BoxSpace;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::raise::handling;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Awaiting, Body, Visitor};
use pyo3::prelude::*;

use super::backend;
use super::limiter_tokens::{CLASS, lend_now, pass_on, waiting};
use super::originals::{self, Blocked, nothing};
use super::scopes_of_tasks::{ShieldedTurn, is_cancelled, running_task};
use crate::locks::event::{Event, Wait};

pub(super) struct Acquire {
    limiter: OwnedRef,
    /// None before the first resumption for the task that runs then.
    borrower: Option<OwnedRef>,
    stage: Stage,
}

enum Stage {
    New,
    /// Waits for the exception that cancels the task.
    Cancelled,
    /// Has a token, and lets the other tasks run.
    Turn(ShieldedTurn),
    /// Waits until somebody gives it a token.
    Waiting(Box<(Wait, Blocked)>),
    /// anyio's own method serves.
    Theirs(Awaiting),
}

impl Acquire {
    pub(super) fn new(limiter: &Bound<'_, PyAny>, borrower: Option<OwnedRef>) -> Self {
        Self { limiter: OwnedRef::of(limiter), borrower, stage: Stage::New }
    }

    fn begin<'py>(&mut self, py: Python<'py>) -> PyResult<Step<'py>> {
        let limiter = self.limiter.bind(py);
        let Some((_, task)) = running_task(py)?.filter(|_| CLASS.is_exact(limiter)) else {
            let (awaiting, step) = match &self.borrower {
                None => originals::await_original(limiter, "CapacityLimiter.acquire", &[])?,
                Some(borrower) => {
                    let name = "CapacityLimiter.acquire_on_behalf_of";
                    originals::await_original(limiter, name, &[borrower.bind(py)])?
                }
            };
            self.stage = Stage::Theirs(awaiting);
            return Ok(step);
        };
        let borrower = self.borrower.get_or_insert_with(|| OwnedRef::of(&task)).bind(py);
        if is_cancelled(&task)? {
            self.stage = Stage::Cancelled;
            return Ok(Step::Yielded(nothing(py)));
        }
        if lend_now(limiter, borrower)? {
            self.stage = Stage::Turn(ShieldedTurn::begin(&task)?);
            return Ok(Step::Yielded(nothing(py)));
        }
        let blocked = Blocked::now(py);
        let space = BoxSpace::new(py)?;
        let event = Bound::new(py, Event::default())?;
        waiting(limiter)?.set_item(borrower, &event)?;
        let mut wait = Event::waiting(&event);
        match wait.resume(py, Ok(nothing(py))) {
            Ok(step) => {
                self.stage = Stage::Waiting(space.fill((wait, blocked)));
                Ok(step)
            }
            Err(error) => Err(self.failed(py, error, &event, &blocked)),
        }
    }

    /// The error with which a wait ends that `error` has ended.
    fn failed(&self, py: Python<'_>, error: PyErr, event: &Bound<'_, Event>, blocked: &Blocked) -> PyErr {
        let error = originals::with_context(py, error, || blocked.error(py));
        handling(py, &error, || self.give_up(py, event)).err().unwrap_or(error)
    }

    /// Leaves the waiters, or passes the token on that it got meanwhile.
    fn give_up(&self, py: Python<'_>, event: &Bound<'_, Event>) -> PyResult<()> {
        let limiter = self.limiter.bind(py);
        let Some(borrower) = &self.borrower else {
            return Ok(());
        };
        waiting(limiter)?.call_method1(pyo3::intern!(py, "pop"), (borrower.bind(py), py.None()))?;
        if event.get().is_set(py) { pass_on(limiter, borrower.bind(py)) } else { Ok(()) }
    }

    /// `self.release_on_behalf_of(borrower)`.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        let Some(borrower) = &self.borrower else {
            return Ok(());
        };
        if !backend::does_as_4_16() {
            return self.limiter.bind(py).call_method0(name!("release")).map(drop);
        }
        let name = pyo3::intern!(py, "release_on_behalf_of");
        self.limiter.bind(py).call_method1(name, (borrower.bind(py),)).map(drop)
    }
}

impl Body for Acquire {
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
                if let Err(error) = turn.end(py, input) {
                    handling(py, &error, || self.release(py))?;
                    return Err(error);
                }
                Ok(Step::Returned(nothing(py)))
            }
            Stage::Waiting(waiting) => match waiting.0.resume(py, input) {
                Ok(Step::Returned(_)) => Ok(Step::Returned(nothing(py))),
                Ok(step @ Step::Yielded(_)) => Ok(step),
                Err(error) => {
                    let event = waiting.0.event(py).clone();
                    let blocked = std::mem::take(&mut waiting.1);
                    Err(self.failed(py, error, &event, &blocked))
                }
            },
            Stage::Theirs(awaiting) => awaiting.resume(py, input),
        }
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.limiter);
        self.borrower.iter().for_each(|borrower| visitor.show_owned(borrower));
        match &self.stage {
            Stage::New | Stage::Cancelled => {}
            Stage::Turn(turn) => turn.traverse(visitor),
            Stage::Waiting(waiting) => {
                waiting.0.traverse(visitor);
                waiting.1.traverse(visitor);
            }
            Stage::Theirs(awaiting) => awaiting.traverse(visitor),
        }
    }
}
