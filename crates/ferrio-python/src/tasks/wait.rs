//! `wait`: until all of some futures are done, or the first of them, or a timeout.
//!
//! One shared object counts the pending futures and completes the one that `wait` awaits. Invariant: when the coroutine
//! ends, it has removed its callbacks from all futures, and its timer is no longer scheduled.

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Awaiting, Body, Visitor, spawn};
use ferrio_cpython::objects::coroutine_check::is_coroutine;
use ferrio_cpython::objects::current::get_running_loop;
use ferrio_cpython::objects::future::{
    DoneCallback, add_done_callback, finish_with_none, future_like, remove_done_callback,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PySet, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::common::imports;
use crate::common::timer::Timer;
use crate::tasks::call_graph::current_waiter;

/// Wait for the futures and tasks in the iterable `fs`. Returns two sets: those done and those pending. A timeout, in
/// seconds, raises nothing: what is not done by then is pending.
#[pyfunction]
#[pyo3(signature = (fs, *, timeout=None, return_when=ReturnWhen(None)))]
#[pyo3(text_signature = "(fs, *, timeout=None, return_when='ALL_COMPLETED')")]
pub(crate) fn wait(
    py: Python<'_>,
    fs: Py<PyAny>,
    timeout: Option<Py<PyAny>>,
    return_when: ReturnWhen,
) -> PyResult<Py<PyAny>> {
    spawn(py, "wait", Wait { request: Some(Request { fs, timeout, return_when: return_when.0 }), wake: None })
}

/// The `return_when` argument; None for the default. A Python None that is passed in is an invalid value.
pub(crate) struct ReturnWhen(Option<Py<PyAny>>);

impl<'a, 'py> FromPyObject<'a, 'py> for ReturnWhen {
    type Error = PyErr;

    fn extract(given: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        Ok(Self(Some(given.to_owned().unbind())))
    }
}

struct Request {
    fs: Py<PyAny>,
    timeout: Option<Py<PyAny>>,
    return_when: Option<Py<PyAny>>,
}

struct Wait {
    /// Present until the coroutine starts.
    request: Option<Request>,
    /// Present while it waits.
    wake: Option<(Awaiting, Py<Waiting>)>,
}

/// The condition that ends the wait.
#[derive(Clone, Copy)]
enum Until {
    First,
    FirstException,
    All,
}

/// The state of a running `wait()`, which the done callbacks of its futures change.
#[pyclass(frozen, module = "ferrio")]
pub(crate) struct Waiting {
    futures: Vec<Py<PyAny>>,
    until: Until,
    waiter: Py<PyAny>,
    /// The task that waits, on versions with call graphs.
    task: Option<Py<PyAny>>,
    inner: GilCell<Progress>,
}

struct Progress {
    remaining: usize,
    timer: Option<Timer>,
}

static ON_COMPLETION: DoneCallback = DoneCallback::new("_wait.<locals>._on_completion", on_completion);

fn on_completion<'py>(waiting: &Bound<'py, PyAny>, future: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = waiting.py();
    let this = waiting.cast::<Waiting>()?.get();
    let remaining = this.inner.with(py, |inner| {
        inner.remaining = inner.remaining.saturating_sub(1);
        inner.remaining
    });
    let enough = remaining == 0
        || match this.until {
            Until::First => true,
            Until::FirstException => matches!(future_like::failure(future)?, Some(future_like::Failure::Exception(_))),
            Until::All => false,
        };
    if enough {
        this.stop_timer(py)?;
        let waiter = this.waiter.bind(py);
        if !future_like::is_done(waiter)? {
            finish_with_none(waiter, 0)?;
        }
    }
    match &this.task {
        Some(task) => future_like::discard_waiter(future, task.bind(py)),
        None => Ok(()),
    }
}

impl Request {
    fn begin<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Waiting>> {
        let fs = self.fs.bind(py);
        if future_like::is_future(fs)? || is_coroutine(fs)? {
            let text = format!("expect a list of futures, not {}", fs.get_type().name()?);
            return Err(ferrio_cpython::error::<PyTypeError>(text));
        }
        if !fs.is_truthy()? {
            return Err(ferrio_cpython::error::<PyValueError>("Set of Tasks/Futures is empty."));
        }
        let until = self.until(py)?;
        let set = imports::set(py)?.call1((fs,))?.cast_into::<PySet>()?;
        let futures: Vec<Py<PyAny>> =
            set.try_iter()?.map(|future| future.map(Bound::unbind)).collect::<PyResult<_>>()?;
        for future in &futures {
            if is_coroutine(future.bind(py))? {
                return Err(ferrio_cpython::error::<PyTypeError>(
                    "Passing coroutines is forbidden, use tasks explicitly.",
                ));
            }
        }
        let owner = get_running_loop(py)?;
        let waiter = owner.call_method0(pyo3::intern!(py, "create_future"))?;
        let timer = self.timeout.as_ref().filter(|timeout| !timeout.is_none(py));
        let timer = timer.map(|timeout| Timer::finish(&owner, timeout.bind(py), &waiter)).transpose()?;
        let task = current_waiter(&owner)?;
        let inner = GilCell::new(Progress { remaining: futures.len(), timer });
        let waiting =
            Bound::new(py, Waiting { futures, until, waiter: waiter.unbind(), task: task.map(Bound::unbind), inner })?;
        let this = waiting.get();
        for future in &this.futures {
            add_done_callback(future.bind(py), waiting.as_any(), &ON_COMPLETION)?;
            if let Some(task) = &this.task {
                future_like::add_waiter(future.bind(py), task.bind(py))?;
            }
        }
        Ok(waiting)
    }

    fn until(&self, py: Python<'_>) -> PyResult<Until> {
        let Some(return_when) = &self.return_when else {
            return Ok(Until::All);
        };
        let return_when = return_when.bind(py);
        for (known, until) in [
            (imports::first_completed(py)?, Until::First),
            (imports::first_exception(py)?, Until::FirstException),
            (imports::all_completed(py)?, Until::All),
        ] {
            if return_when.is(known) || return_when.eq(known)? {
                return Ok(until);
            }
        }
        Err(ferrio_cpython::error::<PyValueError>(format!("Invalid return_when value: {return_when}")))
    }
}

impl Waiting {
    fn stop_timer(&self, py: Python<'_>) -> PyResult<()> {
        match self.inner.with(py, |inner| inner.timer.take()) {
            Some(timer) => timer.cancel(py),
            None => Ok(()),
        }
    }

    /// Stops the timer and removes the callbacks and call graph edges.
    fn end(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.stop_timer(py)?;
        for future in &this.futures {
            remove_done_callback(future.bind(py), slf.as_any(), &ON_COMPLETION)?;
            if let Some(task) = &this.task {
                future_like::discard_waiter(future.bind(py), task.bind(py))?;
            }
        }
        Ok(())
    }

    fn sort<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let (done, pending) = (PySet::empty(py)?, PySet::empty(py)?);
        for future in &self.futures {
            let future = future.bind(py);
            (if future_like::is_done(future)? { &done } else { &pending }).add(future)?;
        }
        memory::tuple(py, [done, pending])
    }
}

#[pymethods]
impl Waiting {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.futures.iter().try_for_each(|future| visit.call(future))?;
        visit.call(&self.waiter)?;
        visit.call(&self.task)?;
        let timer = |inner: &Progress| inner.timer.as_ref().map_or(Ok(()), |timer| timer.visit(&visit));
        self.inner.traverse(&visit, timer).unwrap_or(Ok(()))
    }
}

impl Body for Wait {
    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        if let Some(request) = self.request.take() {
            let waiting = request.begin(py)?;
            let awaiting = Awaiting::new(waiting.get().waiter.bind(py))?;
            self.wake = Some((awaiting, waiting.unbind()));
        }
        let Some((awaiting, waiting)) = &mut self.wake else {
            return Ok(Step::Returned(py.None().into_bound(py)));
        };
        let step = awaiting.resume(py, input);
        if let Ok(Step::Yielded(_)) = step {
            return step;
        }
        let waiting = waiting.bind(py);
        Waiting::end(waiting)?;
        step?;
        Ok(Step::Returned(waiting.get().sort(py)?.into_any()))
    }

    fn awaiting(&self) -> Option<&Awaiting> {
        self.wake.as_ref().map(|(awaiting, _)| awaiting)
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        if let Some(request) = &self.request {
            visitor.show(&request.fs);
        }
        if let Some((awaiting, waiting)) = &self.wake {
            awaiting.traverse(visitor);
            visitor.show(waiting);
        }
    }
}
