//! `wait_for`: one awaitable, with a timeout.
//!
//! Since 3.12 it awaits inside a `Timeout`; the variant of 3.11 is in `in_task.rs`.

mod in_task;

use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Awaiting, Body, Visitor, spawn};
use ferrio_cpython::objects::current::get_running_loop;
use ferrio_cpython::objects::future::{
    DoneCallback, add_done_callback, finish_with_none, future_like, remove_done_callback,
};
use pyo3::prelude::*;

use crate::common::imports;
use crate::tasks::call_graph::current_waiter;
use crate::tasks::ensure;
use crate::tasks::wait_for::in_task::WaitForInTask;
use crate::timeouts::{Timeout, timeout_error};

/// Wait for a future or coroutine for up to `timeout` seconds, None for ever; then it is cancelled and `TimeoutError`
/// raised. Returns its result.
#[pyfunction]
pub(crate) fn wait_for(py: Python<'_>, fut: Py<PyAny>, timeout: Py<PyAny>) -> PyResult<Py<PyAny>> {
    if imports::python_version(py) < (3, 12) {
        return spawn(py, "wait_for", WaitForInTask::new(fut, timeout));
    }
    spawn(py, "wait_for", WaitFor { future: fut, timeout, stage: Stage::New })
}

struct WaitFor {
    future: Py<PyAny>,
    timeout: Py<PyAny>,
    stage: Stage,
}

enum Stage {
    New,
    Within(Awaiting, Py<Timeout>),
    Cancelling(CancelAndWait),
}

impl WaitFor {
    fn begin(&mut self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let delay = self.timeout.bind(py);
        if !delay.is_none() && delay.le(0)? {
            let future = ensure(self.future.bind(py), None)?;
            if future_like::is_done(&future)? {
                return Ok(Some(future_like::result(&future)?.unbind()));
            }
            self.future = future.clone().unbind();
            self.stage = Stage::Cancelling(CancelAndWait::new(&future)?);
            return Ok(None);
        }
        let owner = get_running_loop(py)?;
        let timeout = Timeout::after(&owner, delay)?;
        Timeout::enter(timeout.bind(py))?;
        match Awaiting::new(self.future.bind(py)) {
            Ok(awaiting) => {
                self.stage = Stage::Within(awaiting, timeout);
                Ok(None)
            }
            Err(error) => {
                Timeout::exit(timeout.bind(py), Some(error.value(py).as_any()))?;
                Err(error)
            }
        }
    }
}

impl Body for WaitFor {
    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        if let Stage::New = self.stage
            && let Some(result) = self.begin(py)?
        {
            return Ok(Step::Returned(result.into_bound(py)));
        }
        match &mut self.stage {
            Stage::New => Ok(Step::Returned(py.None().into_bound(py))),
            Stage::Within(awaiting, timeout) => {
                let step = awaiting.resume(py, input);
                let raised = match &step {
                    Ok(Step::Yielded(_)) => return step,
                    Ok(Step::Returned(_)) => None,
                    Err(error) => Some(error.value(py).as_any()),
                };
                Timeout::exit(timeout.bind(py), raised)?;
                step
            }
            Stage::Cancelling(cancelling) => {
                if let Step::Yielded(waiter) = cancelling.resume(py, input)? {
                    return Ok(Step::Yielded(waiter));
                }
                overdue_result(self.future.bind(py)).map(Step::Returned)
            }
        }
    }

    fn awaiting(&self) -> Option<&Awaiting> {
        match &self.stage {
            Stage::New => None,
            Stage::Within(awaiting, _) => Some(awaiting),
            Stage::Cancelling(cancelling) => cancelling.awaiting(),
        }
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show(&self.future);
        match &self.stage {
            Stage::New => {}
            Stage::Within(awaiting, timeout) => {
                awaiting.traverse(visitor);
                visitor.show(timeout);
            }
            Stage::Cancelling(cancelling) => cancelling.traverse(visitor),
        }
    }
}

/// The result of a future that was cancelled after its timeout; `TimeoutError` if the cancellation succeeded.
pub(crate) fn overdue_result<'py>(future: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = future.py();
    match future_like::result(future) {
        Err(error) if error.is_instance(py, imports::cancelled_error(py)?) => {
            Err(timeout_error(error.value(py).as_any())?)
        }
        outcome => outcome,
    }
}

/// Cancels a future and waits until it is done. It does not await the future directly, so that the wait itself can be
/// cancelled.
pub(crate) struct CancelAndWait {
    future: Py<PyAny>,
    waiter: Py<PyAny>,
    task: Option<Py<PyAny>>,
    awaiting: Awaiting,
}

pub(crate) static RELEASE_WAITER: DoneCallback = DoneCallback::new("_release_waiter", release_waiter);

fn release_waiter<'py>(waiter: &Bound<'py, PyAny>, _: &Bound<'py, PyAny>) -> PyResult<()> {
    if future_like::is_done(waiter)? { Ok(()) } else { finish_with_none(waiter, 0) }
}

impl CancelAndWait {
    pub(crate) fn new(future: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = future.py();
        let owner = get_running_loop(py)?;
        let waiter = owner.call_method0(pyo3::intern!(py, "create_future"))?;
        add_done_callback(future, &waiter, &RELEASE_WAITER)?;
        let task = current_waiter(&owner)?;
        if let Some(task) = &task {
            future_like::add_waiter(future, task)?;
        }
        let awaiting = Awaiting::new(&waiter)?;
        let this =
            Self { future: future.clone().unbind(), waiter: waiter.unbind(), task: task.map(Bound::unbind), awaiting };
        if let Err(error) = future_like::cancel(future) {
            this.end(py)?;
            return Err(error);
        }
        Ok(this)
    }

    fn end(&self, py: Python<'_>) -> PyResult<()> {
        let future = self.future.bind(py);
        remove_done_callback(future, self.waiter.bind(py), &RELEASE_WAITER)?;
        match &self.task {
            Some(task) => future_like::discard_waiter(future, task.bind(py)),
            None => Ok(()),
        }
    }
}

impl Body for CancelAndWait {
    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let step = self.awaiting.resume(py, input);
        if !matches!(step, Ok(Step::Yielded(_))) {
            self.end(py)?;
        }
        step
    }

    fn awaiting(&self) -> Option<&Awaiting> {
        Some(&self.awaiting)
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show(&self.future);
        visitor.show(&self.waiter);
        visitor.show_any(self.task.as_ref());
        self.awaiting.traverse(visitor);
    }
}
