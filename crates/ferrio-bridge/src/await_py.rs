//! Awaiting Python's awaitables from Rust.
//!
//! The awaited code runs inside the step of the task that polls, as it does under Python's `await`: it sees that task
//! as the current one, and its context variables. Several at a time, as in a `select`, wake the task each by a callback.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyIterator;
use pyo3::types::iterator::PySendResult;

use crate::abandoned::cancel_awaited;
use crate::asyncio;
use crate::callback::WakeCallback;
use crate::panics::{for_python, report_unraisable};
use crate::polling::{self, Offer, Resumption};

/// Awaits `object`: a coroutine, a future or task, or any other awaitable of the running loop.
///
/// Its result is what the awaitable returns or raises. An exception that is thrown into the task, such as
/// `CancelledError`, is raised in the awaited code first, if the task waits for nothing else; what that makes of it is
/// the result.
///
/// Dropping the future early cancels what it awaits. If the awaited code then awaits something more, to clean up, it
/// does so in a task of its own.
///
/// ```no_run
/// use ferrio_bridge::await_py;
/// use pyo3::prelude::*;
///
/// /// Calls an `async def` of Python's, and awaits what it returns.
/// async fn ask(function: Py<PyAny>, question: &str) -> PyResult<String> {
///     let call = Python::attach(|py| function.call1(py, (question,)))?;
///     let answer = await_py(call).await?;
///     Python::attach(|py| answer.extract(py))
/// }
/// ```
pub fn await_py(object: impl Into<Py<PyAny>>) -> AwaitPy {
    AwaitPy { number: next_number(), state: State::New(object.into()) }
}

/// The future of [`await_py`].
#[must_use = "futures do nothing unless polled"]
pub struct AwaitPy {
    /// No other await of this thread has it.
    number: u64,
    state: State,
}

enum State {
    New(Py<PyAny>),
    Waiting(Awaited),
    Done,
}

/// Python code in the middle of an await.
struct Awaited {
    iterator: Py<PyIterator>,
    /// What it yielded: a future, or None to be resumed in the next turn.
    yielded: Py<PyAny>,
    /// Wakes the task, if that does not wait for `yielded` itself.
    callback: Option<Py<WakeCallback>>,
}

thread_local! {
    static IS_CLOSING: Cell<bool> = const { Cell::new(false) };
}

/// Closes what is awaited by the futures that `code` drops, instead of cancelling it.
pub(crate) fn closing<R>(code: impl FnOnce() -> R) -> R {
    let before = IS_CLOSING.replace(true);
    let result = code();
    IS_CLOSING.set(before);
    result
}

fn next_number() -> u64 {
    thread_local! {
        static NEXT: Cell<u64> = const { Cell::new(0) };
    }
    let number = NEXT.get();
    NEXT.set(number + 1);
    number
}

impl Future for AwaitPy {
    type Output = PyResult<Py<PyAny>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Python::attach(|py| self.advance(py, context.waker()))
    }
}

impl AwaitPy {
    fn advance(&mut self, py: Python<'_>, waker: &Waker) -> Poll<PyResult<Py<PyAny>>> {
        let (iterator, thrown) = match std::mem::replace(&mut self.state, State::Done) {
            State::New(object) => (await_iterator(object.bind(py))?, None),
            State::Waiting(awaited) => {
                let thrown = match polling::resumption_of(self.number) {
                    Resumption::Throw(error) => Some(error),
                    Resumption::Unknown if !awaited.is_due(py)? => {
                        return match self.wait(py, awaited, waker) {
                            Ok(()) => Poll::Pending,
                            Err(error) => Poll::Ready(Err(error)),
                        };
                    }
                    Resumption::Send | Resumption::Unknown => None,
                };
                (awaited.iterator.into_bound(py), thrown)
            }
            State::Done => panic!("`AwaitPy` was polled after its end"),
        };
        self.resume(&iterator, thrown, waker)
    }

    fn resume(
        &mut self,
        iterator: &Bound<'_, PyIterator>,
        thrown: Option<PyErr>,
        waker: &Waker,
    ) -> Poll<PyResult<Py<PyAny>>> {
        let py = iterator.py();
        let mut thrown = thrown;
        loop {
            let result = match thrown.take() {
                None => iterator.send(&py.None().into_bound(py)),
                Some(error) => throw(iterator, error),
            };
            match result? {
                PySendResult::Return(value) => return Poll::Ready(Ok(value.unbind())),
                PySendResult::Next(yielded) => {
                    let awaited =
                        Awaited { iterator: iterator.clone().unbind(), yielded: yielded.unbind(), callback: None };
                    match self.wait(py, awaited, waker) {
                        Ok(()) => return Poll::Pending,
                        // The awaited code hears what is wrong with what it yielded.
                        Err(error) => thrown = Some(error),
                    }
                }
            }
        }
    }

    /// Waits for what the awaited code yielded.
    fn wait(&mut self, py: Python<'_>, mut awaited: Awaited, waker: &Waker) -> PyResult<()> {
        if let Some(callback) = &awaited.callback {
            callback.get().set_waker(waker);
        } else {
            let offer = || Offer {
                number: self.number,
                iterator: awaited.iterator.clone_ref(py),
                yielded: awaited.yielded.clone_ref(py),
            };
            if !polling::offer(waker, offer) {
                awaited.callback = wake_when_done(awaited.yielded.bind(py), waker)?;
            }
        }
        self.state = State::Waiting(awaited);
        Ok(())
    }
}

impl Awaited {
    fn is_due(&self, py: Python<'_>) -> PyResult<bool> {
        let yielded = self.yielded.bind(py);
        Ok(yielded.is_none() || asyncio::is_done(yielded)?)
    }
}

/// Wakes `waker` when the future `yielded` is done; at once if it is None.
pub(crate) fn wake_when_done(yielded: &Bound<'_, PyAny>, waker: &Waker) -> PyResult<Option<Py<WakeCallback>>> {
    let py = yielded.py();
    if yielded.is_none() {
        waker.wake_by_ref();
        return Ok(None);
    }
    if yielded.getattr_opt(intern!(py, "_asyncio_future_blocking"))?.is_none_or(|blocking| blocking.is_none()) {
        return Err(PyRuntimeError::new_err(format!("Task got bad yield: {}", yielded.repr()?)));
    }
    asyncio::set_blocking(yielded, false)?;
    let callback = Bound::new(py, WakeCallback::new(waker))?;
    yielded.call_method1(intern!(py, "add_done_callback"), (&callback,))?;
    Ok(Some(callback.unbind()))
}

/// What `await object` drives.
fn await_iterator<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyIterator>> {
    let Some(method) = object.getattr_opt(intern!(object.py(), "__await__"))? else {
        let name = object.get_type().name()?;
        return Err(PyTypeError::new_err(format!("object {name} can't be used in 'await' expression")));
    };
    Ok(method.call0()?.cast_into()?)
}

/// Throws `error` into the awaited code.
pub(crate) fn throw<'py>(iterator: &Bound<'py, PyIterator>, error: PyErr) -> PyResult<PySendResult<'py>> {
    let py = iterator.py();
    let Some(method) = iterator.getattr_opt(intern!(py, "throw"))? else { return Err(error) };
    match method.call1((error.value(py),)) {
        Ok(yielded) => Ok(PySendResult::Next(yielded)),
        Err(stop) if stop.is_instance_of::<pyo3::exceptions::PyStopIteration>(py) => {
            Ok(PySendResult::Return(stop.value(py).getattr(intern!(py, "value"))?))
        }
        Err(raised) => Err(raised),
    }
}

impl fmt::Debug for AwaitPy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::New(_) => "new",
            State::Waiting(_) => "waiting",
            State::Done => "done",
        };
        formatter.debug_struct("AwaitPy").field("state", &state).finish_non_exhaustive()
    }
}

impl Drop for AwaitPy {
    fn drop(&mut self) {
        let (iterator, yielded) = match std::mem::replace(&mut self.state, State::Done) {
            State::Waiting(awaited) => {
                if let Some(callback) = &awaited.callback {
                    callback.get().disarm();
                }
                (awaited.iterator, awaited.yielded)
            }
            State::New(_) | State::Done => return,
        };
        // None at the interpreter's end, when there is nothing left to tell.
        Python::try_attach(|py| {
            let outcome = for_python(py, || {
                if IS_CLOSING.get() {
                    close(iterator.bind(py))
                } else {
                    cancel_awaited(iterator.into_bound(py), yielded.into_bound(py))
                }
            });
            if let Err(error) = outcome {
                report_unraisable(py, error, None);
            }
        });
    }
}

/// Raises `GeneratorExit` in the awaited code.
pub(crate) fn close(iterator: &Bound<'_, PyIterator>) -> PyResult<()> {
    match iterator.getattr_opt(intern!(iterator.py(), "close"))? {
        Some(method) => method.call0().map(drop),
        None => Ok(()),
    }
}
