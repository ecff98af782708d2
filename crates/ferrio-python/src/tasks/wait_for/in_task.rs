//! `wait_for` as in 3.11: the awaitable runs in a task of its own, which the timeout cancels.
//!
//! Invariant: when the coroutine ends, the task is done, its timer is no longer scheduled and its callbacks are
//! removed.

use ferrio_cpython::capi::raise::{handling, raised};
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Awaiting, Body, Visitor};
use ferrio_cpython::objects::current::get_running_loop;
use ferrio_cpython::objects::future::{add_done_callback, future_like, remove_done_callback};
use pyo3::prelude::*;

use crate::common::imports;
use crate::common::timer::Timer;
use crate::tasks::ensure;
use crate::tasks::wait_for::{CancelAndWait, RELEASE_WAITER, overdue_result};

pub(crate) struct WaitForInTask {
    awaitable: Py<PyAny>,
    timeout: Py<PyAny>,
    stage: Stage,
}

enum Stage {
    New,
    /// Without a timeout the awaitable is awaited directly.
    Untimed(Awaiting),
    Timed(Timed),
    /// The task is being cancelled; the error, if there is one, then ends the coroutine.
    Cancelling {
        future: Py<PyAny>,
        cancelling: CancelAndWait,
        timer: Option<Timer>,
        because: Option<PyErr>,
    },
}

/// Waits for the task or the timer, whichever is first.
struct Timed {
    future: Py<PyAny>,
    waiter: Py<PyAny>,
    awaiting: Awaiting,
    timer: Timer,
}

impl WaitForInTask {
    pub(crate) fn new(awaitable: Py<PyAny>, timeout: Py<PyAny>) -> Self {
        Self { awaitable, timeout, stage: Stage::New }
    }

    /// Starts the wait; returns the result if it is available immediately.
    fn begin<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let owner = get_running_loop(py)?;
        let (awaitable, timeout) = (self.awaitable.bind(py), self.timeout.bind(py));
        if timeout.is_none() {
            self.stage = Stage::Untimed(Awaiting::new(awaitable)?);
            return Ok(None);
        }
        if timeout.le(0)? {
            let future = ensure(awaitable, Some(&owner))?;
            if future_like::is_done(&future)? {
                return future_like::result(&future).map(Some);
            }
            let cancelling = CancelAndWait::new(&future)?;
            self.stage = Stage::Cancelling { future: future.unbind(), cancelling, timer: None, because: None };
            return Ok(None);
        }
        let waiter = owner.call_method0(pyo3::intern!(py, "create_future"))?;
        let timer = Timer::finish(&owner, timeout, &waiter)?;
        let future = ensure(awaitable, Some(&owner))?;
        add_done_callback(&future, &waiter, &RELEASE_WAITER)?;
        let awaiting = Awaiting::new(&waiter)?;
        self.stage = Stage::Timed(Timed { future: future.unbind(), waiter: waiter.unbind(), awaiting, timer });
        Ok(None)
    }

    /// Called when the waiter is done or the wait was cancelled: returns the result, or starts to cancel the task.
    fn woken<'py>(&mut self, py: Python<'py>, because: Option<PyErr>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Stage::Timed(Timed { future, waiter, timer, .. }) = std::mem::replace(&mut self.stage, Stage::New) else {
            return Ok(None);
        };
        let cancelled = imports::cancelled_error(py)?;
        if let Some(error) = because.as_ref().filter(|error| !error.is_instance(py, cancelled)) {
            timer.cancel(py)?;
            return Err(error.clone_ref(py));
        }
        if future_like::is_done(future.bind(py))? {
            timer.cancel(py)?;
            let result = || future_like::result(future.bind(py)).map(Some);
            return because.as_ref().map_or_else(result, |error| handling(py, error, result));
        }
        remove_done_callback(future.bind(py), waiter.bind(py), &RELEASE_WAITER)?;
        let cancelling = CancelAndWait::new(future.bind(py))?;
        self.stage = Stage::Cancelling { future, cancelling, timer: Some(timer), because };
        Ok(None)
    }
}

impl Body for WaitForInTask {
    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        if let Stage::New = self.stage
            && let Some(result) = self.begin(py)?
        {
            return Ok(Step::Returned(result));
        }
        let mut input = input;
        if let Stage::Timed(timed) = &mut self.stage {
            let because = match timed.awaiting.resume(py, input) {
                Ok(Step::Yielded(future)) => return Ok(Step::Yielded(future)),
                Ok(Step::Returned(_)) => None,
                Err(error) => Some(error),
            };
            if let Some(result) = self.woken(py, because)? {
                return Ok(Step::Returned(result));
            }
            input = Ok(py.None().into_bound(py));
        }
        match &mut self.stage {
            Stage::New | Stage::Timed(_) => Ok(Step::Returned(py.None().into_bound(py))),
            Stage::Untimed(awaiting) => awaiting.resume(py, input),
            Stage::Cancelling { future, cancelling, timer, because } => {
                let step = cancelling.resume(py, input);
                if let Ok(Step::Yielded(_)) = step {
                    return step;
                }
                if let Some(timer) = timer {
                    timer.cancel(py)?;
                }
                match (step, because.take()) {
                    (Ok(_), Some(error)) | (Err(error), None) => Err(error),
                    (Ok(_), None) => overdue_result(future.bind(py)).map(Step::Returned),
                    // It was cancelled again while it handled the first cancellation.
                    (Err(error), Some(first)) => Err(handling(py, &first, || raised(error.value(py).as_any()))),
                }
            }
        }
    }

    fn awaiting(&self) -> Option<&Awaiting> {
        match &self.stage {
            Stage::New => None,
            Stage::Untimed(awaiting) | Stage::Timed(Timed { awaiting, .. }) => Some(awaiting),
            Stage::Cancelling { cancelling, .. } => cancelling.awaiting(),
        }
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show(&self.awaitable);
        match &self.stage {
            Stage::New => {}
            Stage::Untimed(awaiting) => awaiting.traverse(visitor),
            Stage::Timed(timed) => {
                visitor.show(&timed.future);
                visitor.show(&timed.waiter);
                timed.awaiting.traverse(visitor);
                timed.timer.traverse(visitor);
            }
            Stage::Cancelling { future, cancelling, timer, .. } => {
                visitor.show(future);
                cancelling.traverse(visitor);
                if let Some(timer) = timer {
                    timer.traverse(visitor);
                }
            }
        }
    }
}
