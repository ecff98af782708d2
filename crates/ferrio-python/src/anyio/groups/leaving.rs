//! `TaskGroup.__aexit__`: waits for the tasks, then raises what they raised.
//!
//! Stages: not begun; waiting for the last task, in a scope that is shielded once a cancellation has arrived; one
//! shielded turn instead, if there is no task; ended.

use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::raise::{handling, raised};
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Awaiting, Body, Visitor};
use ferrio_cpython::objects::create_task::waiter;
use ferrio_cpython::objects::current::get_running_loop;
use pyo3::prelude::*;

use super::TaskGroup;
use crate::anyio::checkpoints::ShieldedTurn;
use crate::anyio::scopes::{CancelScope, is_anyio_cancellation};
use crate::common::imports;

/// The body of the coroutine.
pub(super) struct Leave {
    group: OwnedRef<TaskGroup>,
    /// The exception that ended the block, or the cancellation that ended the wait.
    exception: Option<OwnedRef>,
    stage: Stage,
}

enum Stage {
    New,
    Waiting { scope: OwnedRef<CancelScope>, awaiting: Option<Awaiting> },
    Turn(ShieldedTurn),
    Ended,
}

impl Leave {
    pub(super) fn new(group: &Bound<'_, TaskGroup>, exception: Option<Bound<'_, PyAny>>) -> Self {
        Self { group: OwnedRef::of(group), exception: exception.map(OwnedRef::from), stage: Stage::New }
    }

    /// Cancels the tasks if the block failed, and begins to wait.
    fn begin(&mut self, py: Python<'_>) -> PyResult<()> {
        let group = self.group.bind(py).get();
        if let Some(exception) = self.exception.as_ref().map(|exception| exception.bind(py)) {
            CancelScope::cancel_for(group.scope(py), None)?;
            if !exception.is_instance(imports::cancelled_error(py)?)? {
                group.exceptions(py)?.append(exception)?;
            }
        }
        self.stage = if group.tasks.is_empty(py) {
            Stage::Turn(ShieldedTurn::default())
        } else {
            let scope = CancelScope::unlimited(py, false)?;
            CancelScope::enter(&scope)?;
            Stage::Waiting { scope: OwnedRef::of(&scope), awaiting: None }
        };
        Ok(())
    }

    /// Goes on waiting; None when there is nothing more to wait for.
    fn wait<'py>(
        &mut self,
        py: Python<'py>,
        input: PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match &mut self.stage {
            Stage::Turn(turn) => match turn.resume(py, input)? {
                Step::Yielded(yielded) => Ok(Some(yielded)),
                Step::Returned(_) => Ok(None),
            },
            Stage::Waiting { .. } => self.wait_for_tasks(py, input),
            Stage::New | Stage::Ended => Ok(None),
        }
    }

    fn wait_for_tasks<'py>(
        &mut self,
        py: Python<'py>,
        input: PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Stage::Waiting { scope, awaiting } = &mut self.stage else { return Ok(None) };
        let scope = scope.bind(py).clone();
        let group = self.group.bind(py).get();
        let mut input = Some(input);
        loop {
            let current = match awaiting {
                Some(current) => current,
                None if group.tasks.is_empty(py) => break,
                None => {
                    let future = waiter(&get_running_loop(py)?)?;
                    let before = group.inner.with(py, |inner| inner.completed.replace(OwnedRef::of(&future)));
                    drop(before);
                    awaiting.insert(Awaiting::new(&future)?)
                }
            };
            match current.resume(py, input.take().unwrap_or_else(|| Ok(py.None().into_bound(py)))) {
                Ok(Step::Yielded(yielded)) => return Ok(Some(yielded)),
                Ok(Step::Returned(_)) => {}
                Err(error) if error.is_instance(py, imports::cancelled_error(py)?) => {
                    *awaiting = None;
                    // More cancellations would not make the tasks end any sooner.
                    CancelScope::shield_from_now_on(&scope, true)?;
                    CancelScope::cancel_for(group.scope(py), None)?;
                    let error = error.into_value(py).into_bound(py).into_any();
                    if replaces(self.exception.as_ref(), &error)? {
                        let before = self.exception.replace(OwnedRef::from(error));
                        drop(before);
                    }
                }
                Err(error) => {
                    let swallowed = handling(py, &error, || CancelScope::exit(&scope, Some(error.value(py).as_any())))?;
                    return if swallowed { Ok(None) } else { Err(error) };
                }
            }
            *awaiting = None;
            let before = group.inner.with(py, |inner| inner.completed.take());
            drop(before);
        }
        CancelScope::exit(&scope, None)?;
        Ok(None)
    }

    /// The error that the group ends with, once there are no tasks.
    fn failure(&self, py: Python<'_>) -> PyResult<()> {
        let exceptions = self.group.bind(py).get().exceptions(py)?;
        if !exceptions.is_empty() {
            let made = imports::base_exception_group(py)?.call1(("unhandled errors in a TaskGroup", exceptions))?;
            // `raise ... from None`.
            let error = raised(&made);
            error.set_cause(py, None);
            return Err(error);
        }
        match &self.exception {
            Some(exception) => Err(raised(exception.bind(py))),
            None => Ok(()),
        }
    }

    fn proceed<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let outcome = match self.stage {
            Stage::New => input.and_then(|none| self.begin(py).map(|()| none)),
            Stage::Waiting { .. } | Stage::Turn(_) | Stage::Ended => input,
        };
        let waited = match (outcome, &self.stage) {
            // Only an error of `begin` leads here: nothing is waited for.
            (Err(error), Stage::New) => Err(error),
            (input, _) => self.wait(py, input),
        };
        let ended = match waited {
            Ok(Some(yielded)) => return Ok(Step::Yielded(yielded)),
            Ok(None) => self.failure(py),
            Err(error) => Err(error),
        };
        self.stage = Stage::Ended;
        let scope = self.group.bind(py).get().scope(py);
        let swallowed = match ended {
            Ok(()) => CancelScope::exit(scope, None)?,
            Err(error) => {
                if !handling(py, &error, || CancelScope::exit(scope, Some(error.value(py).as_any())))? {
                    return Err(error);
                }
                true
            }
        };
        Ok(Step::Returned(crate::locks::boolean(py, swallowed)))
    }
}

/// Whether a cancellation that arrives takes the place of the exception that ended the block: not of one that a program
/// has to see.
fn replaces(exception: Option<&OwnedRef>, arrived: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = arrived.py();
    let Some(exception) = exception else { return Ok(true) };
    Ok(exception.bind(py).is_instance(imports::cancelled_error(py)?)? && !is_anyio_cancellation(arrived)?)
}

impl Body for Leave {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let outcome = self.proceed(py, input);
        if !matches!(outcome, Ok(Step::Yielded(_))) {
            let before = self.group.bind(py).get().inner.with(py, |inner| inner.exceptions.take());
            drop((before, self.exception.take()));
        }
        outcome
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.group);
        if let Some(exception) = &self.exception {
            visitor.show_owned(exception);
        }
        match &self.stage {
            Stage::New | Stage::Ended => {}
            Stage::Turn(turn) => turn.traverse(visitor),
            Stage::Waiting { scope, awaiting } => {
                visitor.show_owned(scope);
                if let Some(awaiting) = awaiting {
                    awaiting.traverse(visitor);
                }
            }
        }
    }

    fn awaiting(&self) -> Option<&Awaiting> {
        match &self.stage {
            Stage::Waiting { awaiting, .. } => awaiting.as_ref(),
            Stage::New | Stage::Turn(_) | Stage::Ended => None,
        }
    }
}
