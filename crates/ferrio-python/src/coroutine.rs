//! Python coroutines whose body is a Rust `async` block.
//!
//! `Coroutine` is what ferrio's asynchronous methods return: lazy until first resumed, with `send`, `throw`, `close`
//! and `__await__`, so that tasks, `await` and `asyncio.iscoroutine` take it for a coroutine. Its body waits for Python
//! awaitables through a `Channel`: what the awaitable yields goes up to whoever drives the coroutine, what is sent or
//! thrown comes back down. No waker is involved: resuming polls exactly once.
//!
//! Invariant: `state` holds the body except while it runs; a second resumption meanwhile is refused.

use std::any::TypeId;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ferrio_cpython::GilCell;
use ferrio_cpython::resume::{self, Step};
use pyo3::exceptions::{PyRuntimeError, PyRuntimeWarning, PyStopIteration, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyType;
use pyo3::{BoundObject, PyTraverseError, PyVisit};

/// The body of a coroutine: polled by resumption.
type Body = Pin<Box<dyn Future<Output = PyResult<Py<PyAny>>> + Send>>;

/// Where a coroutine stands.
enum State {
    /// Never resumed.
    Created(Body),
    /// Being polled.
    Running,
    /// Waiting for what it yielded.
    Suspended(Body),
    /// Returned, raised or closed.
    Finished,
}

/// What passes between the body and whoever drives it.
#[derive(Default)]
struct Slots {
    yielded: Option<Py<PyAny>>,
    resumed: Option<PyResult<Py<PyAny>>>,
}

/// The body's end: by it the body waits for Python awaitables.
#[derive(Clone)]
pub(crate) struct Channel(Arc<GilCell<Slots>>);

/// A coroutine object with a body in Rust.
#[pyclass(frozen, weakref, module = "ferrio", name = "coroutine")]
pub(crate) struct Coroutine {
    state: GilCell<State>,
    channel: Channel,
    qualified_name: &'static str,
}

impl Coroutine {
    /// A coroutine named `qualified_name` (as in `EventLoop.sock_recv`) with the body that `make_body` returns.
    pub(crate) fn spawn<F, R>(
        py: Python<'_>,
        qualified_name: &'static str,
        make_body: impl FnOnce(Channel) -> F,
    ) -> PyResult<Py<Self>>
    where
        F: Future<Output = PyResult<R>> + Send + 'static,
        R: for<'py> IntoPyObject<'py> + Send + 'static,
    {
        let channel = Channel(Arc::new(GilCell::new(Slots::default())));
        let body = make_body(channel.clone());
        let body = async move {
            let value = body.await?;
            Python::attach(|py| {
                if TypeId::of::<R>() == TypeId::of::<()>() {
                    // As from a function; in PyO3 a unit value is an empty tuple.
                    return Ok(py.None());
                }
                value.into_pyobject(py).map(|bound| bound.into_any().unbind()).map_err(Into::into)
            })
        };
        let state = GilCell::new(State::Created(Box::pin(body)));
        Py::new(py, Self { state, channel, qualified_name })
    }
}

impl Channel {
    /// Waits for a Python awaitable, as `await` does.
    ///
    /// # Errors
    /// What it raises; what is thrown into the coroutine passes through it first.
    pub(crate) async fn wait(&self, awaitable: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let iterator = Python::attach(|py| resume::awaitable_iterator(awaitable.bind(py)).map(Bound::unbind))?;
        drop(awaitable);
        let mut input = Python::attach(|py| Ok(py.None()));
        loop {
            let step = Python::attach(|py| {
                let iterator = iterator.bind(py);
                let step = match input {
                    Ok(value) => resume::send(iterator, value.bind(py)),
                    Err(error) => resume::throw(iterator, error),
                };
                match step? {
                    Step::Returned(value) => Ok::<_, PyErr>(Some(value.unbind())),
                    Step::Yielded(value) => {
                        self.0.with(py, |slots| slots.yielded = Some(value.unbind()));
                        Ok(None)
                    }
                }
            })?;
            if let Some(value) = step {
                return Ok(value);
            }
            input = Suspension { channel: self, yielded: false }.await;
        }
    }

    /// Lets one turn of the loop pass, as `asyncio.sleep(0)`.
    ///
    /// # Errors
    /// What is thrown into the coroutine.
    pub(crate) async fn pass_turn(&self) -> PyResult<()> {
        Python::attach(|py| self.0.with(py, |slots| slots.yielded = Some(py.None())));
        Suspension { channel: self, yielded: false }.await.map(drop)
    }
}

/// One suspension: pending at the first poll, then what came down.
struct Suspension<'a> {
    channel: &'a Channel,
    yielded: bool,
}

impl Future for Suspension<'_> {
    type Output = PyResult<Py<PyAny>>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.yielded {
            self.yielded = true;
            return Poll::Pending;
        }
        Python::attach(|py| match self.channel.0.with(py, |slots| slots.resumed.take()) {
            Some(input) => Poll::Ready(input),
            None => Poll::Pending,
        })
    }
}

/// What resuming a coroutine led to.
enum Outcome {
    Yielded(Py<PyAny>),
    Returned(Py<PyAny>),
}

#[pymethods]
impl Coroutine {
    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match self.drive(py, Ok(py.None()))? {
            Outcome::Yielded(value) => Ok(Some(value)),
            Outcome::Returned(value) if value.is_none(py) => Ok(None),
            Outcome::Returned(value) => Err(PyStopIteration::new_err((value,))),
        }
    }

    /// Resume with a value; `StopIteration` carries the result.
    fn send(&self, py: Python<'_>, value: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let fresh = self.state.with(py, |state| matches!(state, State::Created(_)));
        if fresh && !value.is_none(py) {
            return Err(PyTypeError::new_err("can't send non-None value to a just-started coroutine"));
        }
        match self.drive(py, Ok(value))? {
            Outcome::Yielded(value) => Ok(value),
            Outcome::Returned(value) => Err(PyStopIteration::new_err((value,))),
        }
    }

    /// Resume by raising an exception at the point where the coroutine waits.
    #[pyo3(signature = (exception, value=None, traceback=None, /))]
    fn throw(
        &self,
        py: Python<'_>,
        exception: Bound<'_, PyAny>,
        value: Option<Bound<'_, PyAny>>,
        traceback: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let error = thrown_error(exception, value)?;
        if let Some(traceback) = traceback.filter(|traceback| !traceback.is_none()) {
            error.value(py).setattr("__traceback__", traceback)?;
        }
        match self.drive(py, Err(error))? {
            Outcome::Yielded(value) => Ok(value),
            Outcome::Returned(value) => Err(PyStopIteration::new_err((value,))),
        }
    }

    /// End the coroutine: what it holds is released, what it waits for is no longer waited for.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let body = self.state.with(py, |state| match state {
            State::Running => Err(PyValueError::new_err("coroutine already executing")),
            State::Created(_) | State::Suspended(_) | State::Finished => Ok(std::mem::replace(state, State::Finished)),
        })?;
        drop(body);
        Ok(())
    }

    #[getter]
    fn __name__(&self) -> &'static str {
        self.qualified_name.rsplit('.').next().unwrap_or(self.qualified_name)
    }

    #[getter]
    fn __qualname__(&self) -> &'static str {
        self.qualified_name
    }

    #[getter]
    fn cr_running(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| matches!(state, State::Running))
    }

    #[getter]
    fn cr_await(&self) -> Option<Py<PyAny>> {
        None
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        format!("<coroutine object {} at {:#x}>", slf.get().qualified_name, slf.as_ptr() as usize)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let slots = self.channel.0.traverse(&visit, |slots| visit.call(&slots.yielded));
        slots.transpose().map(drop)
    }
}

impl Coroutine {
    fn drive(&self, py: Python<'_>, input: PyResult<Py<PyAny>>) -> PyResult<Outcome> {
        let (mut body, fresh) = self.state.with(py, |state| match std::mem::replace(state, State::Running) {
            State::Created(body) => Ok((body, true)),
            State::Suspended(body) => Ok((body, false)),
            State::Running => Err(PyValueError::new_err("coroutine already executing")),
            State::Finished => {
                *state = State::Finished;
                Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine"))
            }
        })?;
        let input = match (fresh, input) {
            (true, Err(error)) => {
                self.state.with(py, |state| *state = State::Finished);
                drop(body);
                return Err(error);
            }
            (_, input) => input,
        };
        if !fresh {
            let stale = self.channel.0.with(py, |slots| slots.resumed.replace(input));
            drop(stale);
        }
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            body.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        }));
        let polled = match polled {
            Ok(polled) => polled,
            Err(payload) => {
                self.state.with(py, |state| *state = State::Finished);
                std::panic::resume_unwind(payload);
            }
        };
        match polled {
            Poll::Pending => {
                self.state.with(py, |state| *state = State::Suspended(body));
                let yielded = self.channel.0.with(py, |slots| slots.yielded.take());
                Ok(Outcome::Yielded(yielded.unwrap_or_else(|| py.None())))
            }
            Poll::Ready(result) => {
                self.state.with(py, |state| *state = State::Finished);
                drop(body);
                result.map(Outcome::Returned)
            }
        }
    }
}

/// The exception that `throw(exception, value)` raises.
fn thrown_error(exception: Bound<'_, PyAny>, value: Option<Bound<'_, PyAny>>) -> PyResult<PyErr> {
    let value = value.filter(|value| !value.is_none());
    let Ok(class) = exception.clone().cast_into::<PyType>() else {
        return Ok(PyErr::from_value(exception));
    };
    let instance = match value {
        Some(value) if value.is_instance(&class)? => value,
        Some(value) => class.call1((value,))?,
        None => class.call0()?,
    };
    Ok(PyErr::from_value(instance))
}

impl Drop for Coroutine {
    fn drop(&mut self) {
        if !matches!(self.state.get_mut(), State::Created(_)) {
            return;
        }
        let name = self.qualified_name;
        Python::attach(|py| {
            let text = std::ffi::CString::new(format!("coroutine '{name}' was never awaited")).unwrap_or_default();
            let category = py.get_type::<PyRuntimeWarning>();
            if let Err(raised) = PyErr::warn(py, &category, &text, 1) {
                raised.write_unraisable(py, None);
            }
        });
    }
}
