//! `as_completed`: awaitables in the order in which they complete.
//!
//! `Completions` holds the pending futures, the completed ones that were not returned yet, and the futures of the tasks
//! that wait for the next one, in FIFO order. As with asyncio's queue, a woken waiter may find that another task was
//! faster, and then joins the end of the wait queue. Invariants: `left` counts the awaitables that are not reserved for
//! a waiter yet; after the timeout nothing is pending, and each open reservation gets an entry without a future.

use std::collections::VecDeque;

use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Awaiting, Body, Visitor, spawn};
use ferrio_cpython::objects::coroutine_check::is_coroutine;
use ferrio_cpython::objects::current::{CurrentTaskCall, get_running_loop, running_task};
use ferrio_cpython::objects::future::future_like;
use ferrio_cpython::objects::future::{DoneCallback, add_done_callback, remove_done_callback};
use ferrio_cpython::{GilCell, get_event_loop};
use pyo3::exceptions::{PyStopAsyncIteration, PyTimeoutError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PySet;
use pyo3::{PyTraverseError, PyVisit};

use super::ensure_future::ensure;
use crate::common::imports;

static HANDLE_COMPLETION: DoneCallback =
    DoneCallback::new("_AsCompletedIterator._handle_completion", handle_completion);

/// The first version whose iterators are also asynchronous.
const ASYNCHRONOUS: (u8, u8) = (3, 13);

/// Iterate over awaitables as they get done.
///
/// A plain iteration gives coroutines; the first one awaited returns the first result there is, and so on. Since Python
/// 3.13 an asynchronous iteration gives the futures themselves. After `timeout` seconds, `TimeoutError` is raised in
/// place of what is not done.
#[pyfunction]
#[pyo3(signature = (fs, *, timeout=None))]
pub(super) fn as_completed<'py>(
    fs: &Bound<'py, PyAny>,
    timeout: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = fs.py();
    if imports::python_version(py) < ASYNCHRONOUS {
        let request = Request { fs: fs.clone().unbind(), timeout: timeout.map(|timeout| timeout.clone().unbind()) };
        return Ok(Bound::new(py, LazyCompletions(GilCell::new(Lazy::New(request))))?.into_any());
    }
    if imports::isawaitable(py)?.call1((fs,))?.is_truthy()? {
        let text = format!("expects an iterable of awaitables, not {}", fs.get_type().name()?);
        return Err(ferrio_cpython::error::<PyTypeError>(text));
    }
    Ok(Completions::begin(fs, timeout)?.into_any())
}

/// The iterator that `as_completed()` returns.
#[pyclass(frozen, weakref, name = "_AsCompletedIterator", module = "ferrio")]
pub(crate) struct Completions {
    inner: GilCell<Inner>,
    /// The task that waits, on versions with call graphs.
    waiter: Option<Py<PyAny>>,
}

struct Inner {
    /// The pending futures; None while they are being created.
    todo: Option<Py<PySet>>,
    left: usize,
    /// The completed futures; None stands for one that missed the timeout.
    done: VecDeque<Option<Py<PyAny>>>,
    getters: VecDeque<Py<PyAny>>,
    timer: Option<Py<PyAny>>,
}

impl Completions {
    fn begin<'py>(fs: &Bound<'py, PyAny>, timeout: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, Self>> {
        let py = fs.py();
        let owner = get_event_loop(py)?;
        let waiter = if imports::python_version(py) >= (3, 14) {
            running_task(py, &get_running_loop(py)?, CurrentTaskCall::WithoutLoop)?.map(Bound::unbind)
        } else {
            None
        };
        let inner = Inner { todo: None, left: 0, done: VecDeque::new(), getters: VecDeque::new(), timer: None };
        let this = Bound::new(py, Self { inner: GilCell::new(inner), waiter })?;
        let todo = PySet::empty(py)?;
        for awaitable in py.get_type::<PySet>().call1((fs,))?.try_iter()? {
            todo.add(ensure(&awaitable?, Some(&owner))?)?;
        }
        for future in &todo {
            add_done_callback(&future, this.as_any(), &HANDLE_COMPLETION)?;
            if let Some(waiter) = &this.get().waiter {
                future_like::add_waiter(&future, waiter.bind(py))?;
            }
        }
        if let Some(timeout) = timeout.filter(|_| !todo.is_empty()) {
            let method = this.getattr(pyo3::intern!(py, "_handle_timeout"))?;
            let timer = owner.call_method1(pyo3::intern!(py, "call_later"), (timeout, method))?.unbind();
            this.get().inner.with(py, |inner| inner.timer = Some(timer));
        }
        let count = todo.len();
        this.get().inner.with(py, |inner| {
            inner.left = count;
            inner.todo = Some(todo.unbind());
        });
        Ok(this)
    }

    fn todo<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PySet>> {
        self.inner.with(py, |inner| inner.todo.as_ref().map(|todo| todo.bind(py).clone()))
    }

    /// Reserves one of the remaining awaitables. False if none remain.
    fn promise(&self, py: Python<'_>) -> bool {
        self.inner.with(py, |inner| {
            let some = inner.left > 0;
            inner.left -= usize::from(some);
            some
        })
    }

    fn put(&self, py: Python<'_>, entry: Option<Py<PyAny>>) -> PyResult<()> {
        self.inner.with(py, |inner| inner.done.push_back(entry));
        self.wake_next(py)
    }

    fn wake_next(&self, py: Python<'_>) -> PyResult<()> {
        while let Some(getter) = self.inner.with(py, |inner| inner.getters.pop_front()) {
            let getter = getter.into_bound(py);
            if !future_like::is_done(&getter)? {
                return future_like::set_result(&getter, py.None().into_bound(py));
            }
        }
        Ok(())
    }

    /// Leaves the wait queue because of an error, and passes a wake-up already received on to the next waiter.
    fn give_up(&self, py: Python<'_>, getter: &Py<PyAny>) -> PyResult<()> {
        let own = getter.bind(py);
        future_like::cancel(own)?;
        let (removed, available) = self.inner.with(py, |inner| {
            let place = inner.getters.iter().position(|other| other.is(own));
            (place.and_then(|place| inner.getters.remove(place)), !inner.done.is_empty())
        });
        drop(removed);
        if imports::python_version(py) >= (3, 14) {
            self.inner.with(py, |inner| inner.left += 1);
        }
        if available && !future_like::is_cancelled(own)? { self.wake_next(py) } else { Ok(()) }
    }
}

#[pymethods]
impl Completions {
    fn __aiter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __anext__(slf: Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let body = WaitForOne { completions: slf.unbind(), kind: Kind::Future, stage: Stage::New };
        spawn(py, "_AsCompletedIterator.__anext__", body)
    }

    fn __next__(slf: Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        if !slf.get().promise(py) {
            return Ok(None);
        }
        let name = if imports::python_version(py) >= ASYNCHRONOUS {
            "_AsCompletedIterator._wait_for_one"
        } else {
            "as_completed.<locals>._wait_for_one"
        };
        let body = WaitForOne { completions: slf.unbind(), kind: Kind::Result, stage: Stage::Promised };
        spawn(py, name, body).map(Some)
    }

    /// Handle the timeout.
    fn _handle_timeout(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let Some(todo) = this.todo(py) else { return Ok(()) };
        for future in todo.iter().collect::<Vec<_>>() {
            remove_done_callback(&future, slf.as_any(), &HANDLE_COMPLETION)?;
            if let Some(waiter) = &this.waiter {
                future_like::discard_waiter(&future, waiter.bind(py))?;
            }
            this.put(py, None)?;
        }
        todo.clear();
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.waiter)?;
        let shown = self.inner.traverse(&visit, |inner| {
            visit.call(&inner.todo)?;
            visit.call(&inner.timer)?;
            inner.done.iter().flatten().chain(&inner.getters).try_for_each(|object| visit.call(object))
        });
        shown.unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        let owned = self.inner.with(py, |inner| {
            (inner.todo.take(), inner.timer.take(), std::mem::take(&mut inner.done), std::mem::take(&mut inner.getters))
        });
        drop(owned);
    }
}

/// Handles the completion of a future.
fn handle_completion<'py>(completions: &Bound<'py, PyAny>, future: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = future.py();
    let this = completions.cast::<Completions>()?.get();
    let Some(todo) = this.todo(py).filter(|todo| !todo.is_empty()) else {
        // The timeout came first.
        return Ok(());
    };
    todo.discard(future)?;
    if let Some(waiter) = &this.waiter {
        future_like::discard_waiter(future, waiter.bind(py))?;
    }
    this.put(py, Some(future.clone().unbind()))?;
    if todo.is_empty()
        && let Some(timer) = this.inner.with(py, |inner| inner.timer.take())
    {
        timer.call_method0(py, pyo3::intern!(py, "cancel"))?;
    }
    Ok(())
}

/// The coroutine that waits for the next completion.
struct WaitForOne {
    completions: Py<Completions>,
    kind: Kind,
    stage: Stage,
}

/// What the coroutine returns.
#[derive(Clone, Copy)]
enum Kind {
    Future,
    Result,
}

enum Stage {
    /// Nothing is reserved yet.
    New,
    Promised,
    /// In the wait queue with a future.
    Waiting(Awaiting, Py<PyAny>),
}

impl Body for WaitForOne {
    fn resume<'py>(&mut self, py: Python<'py>, input: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let completions = self.completions.bind(py).get();
        let mut input = input;
        if let Stage::New = self.stage {
            if !completions.promise(py) {
                return Err(ferrio_cpython::error::<PyStopAsyncIteration>(()));
            }
            self.stage = Stage::Promised;
        }
        loop {
            if let Stage::Waiting(awaiting, getter) = &mut self.stage {
                match awaiting.resume(py, input) {
                    Ok(Step::Yielded(yielded)) => return Ok(Step::Yielded(yielded)),
                    Ok(Step::Returned(_)) => {}
                    Err(error) => {
                        completions.give_up(py, getter)?;
                        return Err(error);
                    }
                }
            }
            if let Some(entry) = completions.inner.with(py, |inner| inner.done.pop_front()) {
                return Ok(Step::Returned(self.outcome(entry.map(|future| future.into_bound(py)))?));
            }
            let getter = get_running_loop(py)?.call_method0(pyo3::intern!(py, "create_future"))?;
            let awaiting = Awaiting::new(&getter)?;
            let waiting = getter.clone().unbind();
            completions.inner.with(py, |inner| inner.getters.push_back(waiting));
            self.stage = Stage::Waiting(awaiting, getter.unbind());
            input = Ok(py.None().into_bound(py));
        }
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show(&self.completions);
        if let Stage::Waiting(awaiting, getter) = &self.stage {
            awaiting.traverse(visitor);
            visitor.show(getter);
        }
    }
}

impl WaitForOne {
    fn outcome<'py>(&self, entry: Option<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        match (entry, self.kind) {
            (None, _) => Err(ferrio_cpython::error::<PyTimeoutError>(())),
            (Some(future), Kind::Future) => Ok(future),
            (Some(future), Kind::Result) => future_like::result(&future),
        }
    }
}

/// The arguments of `as_completed()`.
struct Request {
    fs: Py<PyAny>,
    timeout: Option<Py<PyAny>>,
}

/// The iterator that `as_completed()` returns before 3.13, when it was a generator: it starts with the first iteration.
#[pyclass(frozen, weakref, name = "as_completed", module = "ferrio")]
pub(crate) struct LazyCompletions(GilCell<Lazy>);

enum Lazy {
    New(Request),
    Begun(Py<Completions>),
    Ended,
}

#[pymethods]
impl LazyCompletions {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let completions = match self.0.with(py, |lazy| std::mem::replace(lazy, Lazy::Ended)) {
            Lazy::New(request) => request.begin(py)?,
            Lazy::Begun(completions) => completions.into_bound(py),
            Lazy::Ended => return Ok(None),
        };
        let next = Completions::__next__(completions.clone())?;
        if next.is_some() {
            self.0.with(py, |lazy| *lazy = Lazy::Begun(completions.unbind()));
        }
        Ok(next)
    }

    /// Iterate no further.
    fn close(&self, py: Python<'_>) {
        let before = self.0.with(py, |lazy| std::mem::replace(lazy, Lazy::Ended));
        drop(before);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let shown = self.0.traverse(&visit, |lazy| match lazy {
            Lazy::New(request) => {
                visit.call(&request.fs)?;
                visit.call(&request.timeout)
            }
            Lazy::Begun(completions) => visit.call(completions),
            Lazy::Ended => Ok(()),
        });
        shown.unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        self.close(py);
    }
}

impl Request {
    fn begin<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Completions>> {
        let fs = self.fs.bind(py);
        if future_like::is_future(fs)? || is_coroutine(fs)? {
            let text = format!("expect an iterable of futures, not {}", fs.get_type().name()?);
            return Err(ferrio_cpython::error::<PyTypeError>(text));
        }
        Completions::begin(fs, self.timeout.as_ref().map(|timeout| timeout.bind(py)))
    }
}
