//! `TaskGroup.__aexit__`: waits for the tasks and raises their errors.
//!
//! Stages: not started, waiting (for the group's future, which the last task completes; repeatedly if the wait is
//! cancelled while tasks remain), ended. Since 3.14 the group drops its parent and its errors however this ends.

use ferrio_cpython::capi::raise::raised;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Awaiting, Body, Visitor};
use pyo3::exceptions::PyGeneratorExit;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyType};

use super::group::TaskGroup;
use crate::common::imports;
use crate::compat::task_groups::behavior;
use crate::locks::is_cancellation;

/// The body of the coroutine.
pub(super) struct Leave {
    group: Py<TaskGroup>,
    /// How the block was left, with its exception.
    left: Left,
    exception: Option<Py<PyAny>>,
    /// The cancellation to raise in the parent, unless tasks have failed.
    cancellation: Option<Py<PyAny>>,
    /// The last cancellation during the wait, from any source.
    latest: Option<Py<PyAny>>,
    begun: bool,
    /// Whether the parent was uncancelled for the group's cancellation.
    uncancelled: bool,
    awaiting: Option<Awaiting>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    AtTheEnd,
    ByCancellation,
    ByException,
}

impl Leave {
    /// Creates the body of `__aexit__(class, exception, traceback)`.
    pub(super) fn new(
        group: &Bound<'_, TaskGroup>,
        class: &Bound<'_, PyAny>,
        exception: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let py = group.py();
        let cancelled = imports::cancelled_error(py)?;
        let left = if class.is_none() {
            Left::AtTheEnd
        } else if class.is(cancelled)
            || (behavior(py)?.knows_subclasses && class.cast::<PyType>()?.is_subclass(cancelled)?)
        {
            Left::ByCancellation
        } else {
            Left::ByException
        };
        let exception = Some(exception.clone().unbind()).filter(|exception| !exception.is_none(py));
        Ok(Self {
            group: group.clone().unbind(),
            left,
            exception,
            cancellation: None,
            latest: None,
            begun: false,
            uncancelled: false,
            awaiting: None,
        })
    }
}

impl Body for Leave {
    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let group = self.group.bind(py).clone();
        let outcome = self.advance(&group, input);
        if !matches!(outcome, Ok(Step::Yielded(_))) && behavior(py)?.forgets {
            group.get().forget(py);
        }
        outcome
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show(&self.group);
        visitor.show_any(self.exception.as_ref());
        visitor.show_any(self.cancellation.as_ref());
        visitor.show_any(self.latest.as_ref());
        self.awaiting.iter().for_each(|awaiting| awaiting.traverse(visitor));
    }
}

/// Whether a `CancelledError` that `cancel()` requested is still to be raised in the parent. Before 3.13 `uncancel()`
/// does not withdraw it, so it is awaited here; later versions withdraw it.
fn is_cancellation_due(group: &Bound<'_, TaskGroup>) -> PyResult<bool> {
    let py = group.py();
    if !group.get().state.with(py, |state| state.cancelled) || imports::python_version(py) >= (3, 13) {
        return Ok(false);
    }
    let due = group.get().parent(py).getattr_opt(pyo3::intern!(py, "_must_cancel"))?;
    due.map_or(Ok(false), |due| due.is_truthy())
}

impl Leave {
    fn advance<'py>(
        &mut self,
        group: &Bound<'py, TaskGroup>,
        input: PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Step<'py>> {
        let py = group.py();
        if !self.begun {
            self.begun = true;
            self.begin(group)?;
        }
        let mut input = Some(input);
        loop {
            let awaiting = match &mut self.awaiting {
                Some(awaiting) => awaiting,
                None if !group.get().has_tasks(py)? && !is_cancellation_due(group)? => return self.end(group),
                place @ None => place.insert(Awaiting::new(&group.get().completion(py)?)?),
            };
            let input = input.take().unwrap_or_else(|| Ok(py.None().into_bound(py)));
            match awaiting.resume(py, input) {
                Ok(step @ Step::Yielded(_)) => return Ok(step),
                Ok(Step::Returned(_)) => {}
                Err(error) if is_cancellation(py, &error)? => {
                    // The parent was cancelled during the wait here; that may happen again.
                    let error = error.into_value(py).into_any();
                    let before = self.latest.replace(error.clone_ref(py));
                    drop(before);
                    if !group.get().state.with(py, |state| state.aborting) {
                        self.cancellation = Some(error);
                        TaskGroup::abort(group)?;
                    }
                }
                Err(error) => return Err(error),
            }
            self.awaiting = None;
            let before = group.get().state.with(py, |state| state.completed.take());
            drop(before);
        }
    }

    fn begin(&mut self, group: &Bound<'_, TaskGroup>) -> PyResult<()> {
        let py = group.py();
        let state = &group.get().state;
        state.with(py, |state| state.exiting = true);
        if let Some(exception) = &self.exception {
            TaskGroup::note_base_error(group, exception.bind(py))?;
        }
        if self.left == Left::ByCancellation {
            self.cancellation = self.exception.as_ref().map(|exception| exception.clone_ref(py));
        }
        if behavior(py)?.uncancels_first && !state.with(py, |state| state.cancelled) {
            self.uncancel_parent(group)?;
        }
        if self.left != Left::AtTheEnd && !state.with(py, |state| state.aborting) {
            // The parent is being cancelled, or the block failed.
            TaskGroup::abort(group)?;
        }
        Ok(())
    }

    /// Uncancels the parent, if the group has cancelled it.
    fn uncancel_parent(&mut self, group: &Bound<'_, TaskGroup>) -> PyResult<()> {
        let py = group.py();
        let (requested, cancelled) =
            group.get().state.with(py, |state| (state.parent_cancel_requested, state.cancelled));
        if !requested || self.uncancelled {
            return Ok(());
        }
        self.uncancelled = true;
        if group.get().parent(py).call_method0(name!("uncancel"))?.eq(0)? {
            // Only the group has cancelled it.
            self.cancellation = None;
        } else if self.cancellation.is_none() && (cancelled || behavior(py)?.keeps_outer_cancellation) {
            self.cancellation = self.latest.take();
        }
        Ok(())
    }

    /// Ends the group, once all tasks are done.
    fn end<'py>(&mut self, group: &Bound<'py, TaskGroup>) -> PyResult<Step<'py>> {
        let py = group.py();
        let behavior = behavior(py)?;
        let state = &group.get().state;
        let base_error = state.with(py, |state| state.base_error.as_ref().map(|error| error.clone_ref(py)));
        if let Some(base_error) = base_error {
            return Err(raised(base_error.bind(py)));
        }
        // A group that `cancel()` ended leaves no cancellation behind on any Python, even if it was called while the
        // parent waited here.
        if !behavior.uncancels_first || state.with(py, |state| state.cancelled) {
            self.uncancel_parent(group)?;
        }
        let errors = group.get().errors(py);
        if let Some(cancellation) = &self.cancellation
            && !errors.is_truthy()?
        {
            return Err(raised(cancellation.bind(py)));
        }
        if self.left == Left::ByException {
            errors.call_method1(pyo3::intern!(py, "append"), (&self.exception,))?;
        }
        if !errors.is_truthy()? {
            // On Pythons without `cancel()`, only such a call leads here with an exception from the block.
            return Ok(Step::Returned(if behavior.suppresses || self.left != Left::AtTheEnd {
                PyBool::new(py, true).to_owned().into_any()
            } else {
                py.None().into_bound(py)
            }));
        }
        if behavior.cancels_again {
            let parent = group.get().parent(py);
            if parent.call_method0(name!("cancelling"))?.is_truthy()? {
                // The count of cancellations stays, and the next await is cancelled.
                parent.call_method0(name!("uncancel"))?;
                parent.call_method0(name!("cancel"))?;
            }
        }
        if behavior.lets_generators_close
            && errors.len()? == 1
            && let Some(exception) = self.exception.as_ref().map(|exception| exception.bind(py))
            && exception.is_instance_of::<PyGeneratorExit>()
        {
            return Err(raised(exception));
        }
        let made = imports::base_exception_group(py)?.call1(("unhandled errors in a TaskGroup", errors));
        let before = state.with(py, |state| state.errors.take());
        drop(before);
        // `raise ... from None`.
        let error = raised(&made?);
        error.set_cause(py, None);
        Err(error)
    }
}
