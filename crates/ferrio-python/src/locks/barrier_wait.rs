//! The bodies of a barrier's coroutines.
//!
//! All of them hold the lock of the barrier's condition. A task enters once the previous round has drained, waits until
//! all parties have arrived, and leaves; the last one to leave opens the barrier for the next round. Every task that
//! entered leaves through `depart`, however its wait ends.

use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::raise::raised;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Awaiting, Body, Visitor};
use pyo3::prelude::*;

use super::barrier::{Barrier, Phase, State};
use super::condition::Condition;
use super::condition_wait::{AcquireLock, Wait as ConditionWait};
use crate::common::imports;

/// The body of `Barrier.wait`; returns the number of tasks that entered before.
pub(super) struct Wait {
    barrier: OwnedRef<Barrier>,
    condition: OwnedRef<Condition>,
    stage: Stage,
}

enum Stage {
    Begun,
    /// Waits for the condition's lock.
    Entering(AcquireLock),
    /// Waits until the barrier has drained.
    Blocked(ConditionWait),
    /// Inside, with the number of tasks that entered before; waits until all parties have arrived.
    Inside(ConditionWait, i64),
}

#[cold]
fn broken(py: Python<'_>, text: &str) -> PyErr {
    match imports::broken_barrier_error(py).and_then(|class| class.call1((text,))) {
        Ok(exception) => raised(&exception),
        Err(error) => error,
    }
}

fn nothing(py: Python<'_>) -> Bound<'_, PyAny> {
    py.None().into_bound(py)
}

impl Wait {
    pub(super) fn new(barrier: &Bound<'_, Barrier>) -> PyResult<Self> {
        let condition = OwnedRef::of(&Barrier::condition(barrier)?);
        Ok(Self { barrier: OwnedRef::of(barrier), condition, stage: Stage::Begun })
    }

    /// With the lock held: waits while the barrier drains, then enters.
    fn come_in<'py>(&mut self, py: Python<'py>) -> PyResult<Step<'py>> {
        let state = self.barrier.bind(py).get().state.get(py);
        match state.phase {
            Phase::Draining | Phase::Resetting => {
                self.stage = Stage::Blocked(ConditionWait::new(self.condition.bind(py)));
                return self.resume(py, Ok(nothing(py)));
            }
            Phase::Broken => return self.leave(py, Err(broken(py, "Barrier aborted"))),
            Phase::Filling => {}
        }
        let number = state.count;
        self.barrier.bind(py).get().state.with(py, |state| state.count += 1);
        if number + 1 == state.parties {
            self.barrier.bind(py).get().state.with(py, |state| state.phase = Phase::Draining);
            let outcome = self.notify_all(py);
            return self.depart(py, outcome.map(|()| number));
        }
        self.stay(py, number)
    }

    /// Inside: waits until all parties have arrived.
    fn stay<'py>(&mut self, py: Python<'py>, number: i64) -> PyResult<Step<'py>> {
        match self.barrier.bind(py).get().state.get(py).phase {
            Phase::Filling => {
                self.stage = Stage::Inside(ConditionWait::new(self.condition.bind(py)), number);
                self.resume(py, Ok(nothing(py)))
            }
            Phase::Draining => self.depart(py, Ok(number)),
            Phase::Broken | Phase::Resetting => self.depart(py, Err(broken(py, "Abort or reset of barrier"))),
        }
    }

    /// Leaves the barrier; the last task opens it for the next round.
    fn depart<'py>(&mut self, py: Python<'py>, outcome: PyResult<i64>) -> PyResult<Step<'py>> {
        let is_last = self.barrier.bind(py).get().state.with(py, |state| {
            state.count -= 1;
            if state.count == 0 && matches!(state.phase, Phase::Resetting | Phase::Draining) {
                state.phase = Phase::Filling;
            }
            state.count == 0
        });
        let notified = if is_last { self.notify_all(py) } else { Ok(()) };
        self.leave(py, notified.and(outcome))
    }

    /// Releases the condition's lock.
    fn leave<'py>(&self, py: Python<'py>, outcome: PyResult<i64>) -> PyResult<Step<'py>> {
        Condition::give_up_lock(self.condition.bind(py))?;
        Ok(Step::Returned(outcome?.into_pyobject(py)?.into_any()))
    }

    fn notify_all(&self, py: Python<'_>) -> PyResult<()> {
        notify_all(self.condition.bind(py))
    }
}

fn notify_all(condition: &Bound<'_, Condition>) -> PyResult<()> {
    Condition::notify_all(condition)
}

impl Body for Wait {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        match &mut self.stage {
            Stage::Begun => {
                input?;
                self.stage = Stage::Entering(AcquireLock::new(self.condition.bind(py))?);
                self.resume(py, Ok(nothing(py)))
            }
            Stage::Entering(lockup) => match lockup.resume(py, input)? {
                step @ Step::Yielded(_) => Ok(step),
                Step::Returned(_) => self.come_in(py),
            },
            Stage::Blocked(wait) => match wait.resume(py, input) {
                Ok(step @ Step::Yielded(_)) => Ok(step),
                Ok(Step::Returned(_)) => self.come_in(py),
                Err(error) => self.leave(py, Err(error)),
            },
            Stage::Inside(wait, number) => {
                let number = *number;
                match wait.resume(py, input) {
                    Ok(step @ Step::Yielded(_)) => Ok(step),
                    Ok(Step::Returned(_)) => self.stay(py, number),
                    Err(error) => self.depart(py, Err(error)),
                }
            }
        }
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.barrier);
        visitor.show_owned(&self.condition);
        match &self.stage {
            Stage::Begun => {}
            Stage::Entering(lockup) => lockup.traverse(visitor),
            Stage::Blocked(wait) | Stage::Inside(wait, _) => wait.traverse(visitor),
        }
    }
}

/// A change of the barrier's state under its condition: `reset` and `abort`.
pub(super) struct Turn {
    barrier: OwnedRef<Barrier>,
    condition: OwnedRef<Condition>,
    change: fn(&mut State),
    lockup: Option<AcquireLock>,
}

impl Turn {
    pub(super) fn new(barrier: &Bound<'_, Barrier>, change: fn(&mut State)) -> PyResult<Self> {
        let condition = OwnedRef::of(&Barrier::condition(barrier)?);
        Ok(Self { barrier: OwnedRef::of(barrier), condition, change, lockup: None })
    }
}

impl Body for Turn {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let condition = self.condition.bind(py);
        let lockup = match &mut self.lockup {
            Some(lockup) => lockup,
            place @ None => place.insert(AcquireLock::new(condition)?),
        };
        if let step @ Step::Yielded(_) = lockup.resume(py, input)? {
            return Ok(step);
        }
        self.barrier.bind(py).get().state.with(py, self.change);
        let notified = notify_all(condition);
        Condition::give_up_lock(condition)?;
        notified.map(|()| Step::Returned(nothing(py)))
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.barrier);
        visitor.show_owned(&self.condition);
        self.lockup.iter().for_each(|lockup| lockup.traverse(visitor));
    }
}

/// The body of a subclass's `__aenter__`: calls its `wait`.
pub(super) struct Enter {
    barrier: OwnedRef<Barrier>,
    awaiting: Option<Awaiting>,
}

impl Enter {
    pub(super) fn new(barrier: &Bound<'_, Barrier>) -> Self {
        Self { barrier: OwnedRef::of(barrier), awaiting: None }
    }
}

impl Body for Enter {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let awaiting = match &mut self.awaiting {
            Some(awaiting) => awaiting,
            place @ None => {
                let waiting = self.barrier.bind(py).call_method0(pyo3::intern!(py, "wait"))?;
                place.insert(Awaiting::new(&waiting)?)
            }
        };
        awaiting.resume(py, input)
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.barrier);
        self.awaiting.iter().for_each(|awaiting| awaiting.traverse(visitor));
    }
}

/// The body of `__aexit__`, which does nothing.
pub(super) struct Nothing;

impl Body for Nothing {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        input?;
        Ok(Step::Returned(nothing(py)))
    }

    fn traverse(&self, _: &Visitor<'_>) {}
}
