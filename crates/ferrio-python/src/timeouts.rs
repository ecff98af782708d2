//! `timeout`, `timeout_at` and the context manager `Timeout`.
//!
//! At its deadline a timeout cancels the task that entered it; on exit the resulting `CancelledError` becomes a
//! `TimeoutError`, unless the task was also cancelled otherwise. Invariant: a timer is scheduled only while the state
//! is active. Up to 3.12 only a bare `CancelledError` is converted; later versions also convert subclasses, and a
//! cancellation among the contexts of another exception.

use ferrio_cpython::capi::memory::Text;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::capi::resume::Step;
use ferrio_cpython::objects::coroutine::{Body, Visitor, spawn};
use ferrio_cpython::objects::current::{CurrentTaskCall, get_running_loop, running_task};
use ferrio_cpython::objects::future::future_like;
use ferrio_cpython::{GilCell, LoopBase};
use pyo3::exceptions::{PyAssertionError, PyBaseExceptionGroup, PyRuntimeError, PyTimeoutError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::common::imports;
use crate::common::timer::{Timer, plain_number};

/// Cancels the enclosing task at a deadline; an asynchronous context manager. See `timeout()`.
#[pyclass(frozen, subclass, weakref, module = "ferrio")]
pub(crate) struct Timeout {
    inner: GilCell<Inner>,
}

struct Inner {
    state: State,
    /// The deadline in the loop's time in seconds; None for none.
    when: OwnedRef,
    timer: Option<Timer>,
    task: Option<OwnedRef>,
    /// The number of cancellation requests that the task had when it entered.
    cancelling: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Created,
    Entered,
    /// The deadline has passed, and the task was cancelled.
    Expiring,
    Expired,
    Exited,
}

impl State {
    /// The name and value of the member of asyncio's enumeration.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Created => ("CREATED", "created"),
            Self::Entered => ("ENTERED", "active"),
            Self::Expiring => ("EXPIRING", "expiring"),
            Self::Expired => ("EXPIRED", "expired"),
            Self::Exited => ("EXITED", "finished"),
        }
    }
}

/// An asynchronous context manager that raises `TimeoutError` when its body takes more than `delay` seconds; None for
/// never.
#[pyfunction]
pub(crate) fn timeout(delay: &Bound<'_, PyAny>) -> PyResult<Py<Timeout>> {
    let py = delay.py();
    let owner = get_running_loop(py)?;
    Timeout::after(&owner, delay)
}

/// Like `timeout()`, but at the time `when` of the loop's clock.
#[pyfunction]
pub(crate) fn timeout_at(when: Bound<'_, PyAny>) -> PyResult<Py<Timeout>> {
    Py::new(when.py(), Timeout::new(when))
}

impl Timeout {
    fn new(when: Bound<'_, PyAny>) -> Self {
        Self { inner: GilCell::new(Inner::new(when)) }
    }

    /// A timeout after `delay` seconds on `owner`'s clock; without a deadline for None.
    pub(crate) fn after(owner: &Bound<'_, PyAny>, delay: &Bound<'_, PyAny>) -> PyResult<Py<Self>> {
        let py = delay.py();
        let when = match (owner.cast::<LoopBase>(), plain_number(delay)) {
            _ if delay.is_none() => delay.clone(),
            (Ok(ours), Some(seconds)) => PyFloat::new(py, LoopBase::now_before(ours, seconds)? + seconds).into_any(),
            _ => owner.call_method0(pyo3::intern!(py, "time"))?.add(delay)?,
        };
        Py::new(py, Self::new(when))
    }

    fn state(&self, py: Python<'_>) -> State {
        self.inner.with(py, |inner| inner.state)
    }

    fn task<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.inner.with(py, |inner| inner.task.as_ref().map(|task| task.bind(py).clone()))
    }

    /// The body of `__aenter__`.
    ///
    /// # Errors
    /// `RuntimeError` outside of tasks and if it was entered before.
    pub(crate) fn enter(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.state(py) != State::Created {
            return Err(ferrio_cpython::error::<PyRuntimeError>("Timeout has already been entered"));
        }
        let owner = get_running_loop(py)?;
        let Some(task) = running_task(py, &owner, CurrentTaskCall::WithoutLoop)? else {
            return Err(ferrio_cpython::error::<PyRuntimeError>("Timeout should be used inside a task"));
        };
        let cancelling = future_like::cancelling(&task)?;
        let when = this.inner.with(py, |inner| {
            inner.state = State::Entered;
            inner.cancelling = cancelling;
            inner.task = Some(task.into());
            inner.when.bind(py).clone()
        });
        if !slf.is_exact_instance_of::<Self>() {
            return slf.call_method1(pyo3::intern!(py, "reschedule"), (when,)).map(drop);
        }
        Self::set_timer(slf, &owner, &when)
    }

    /// The body of `__aexit__`; `raised` is the exception that ended the block, if any.
    ///
    /// # Errors
    /// `TimeoutError` in place of the cancellation that the deadline caused.
    pub(crate) fn exit(slf: &Bound<'_, Self>, raised: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let (state, timer) = this.inner.with(py, |inner| (inner.state, inner.timer.take()));
        if !matches!(state, State::Entered | State::Expiring) {
            return Err(ferrio_cpython::error::<PyAssertionError>(()));
        }
        if let Some(timer) = timer {
            timer.cancel(py)?;
        }
        if state == State::Entered {
            this.inner.with(py, |inner| inner.state = State::Exited);
            return Ok(());
        }
        let before = this.inner.with(py, |inner| {
            inner.state = State::Expired;
            inner.cancelling
        });
        let Some(task) = this.task(py) else {
            return Ok(());
        };
        let requested = future_like::uncancel(&task)?;
        match raised {
            Some(raised) if requested <= before => overdue(raised),
            _ => Ok(()),
        }
    }

    fn set_timer(slf: &Bound<'_, Self>, owner: &Bound<'_, PyAny>, when: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let before = slf.get().inner.with(py, |inner| {
            let when = std::mem::replace(&mut inner.when, when.clone().into());
            (when, inner.timer.take())
        });
        if let Some(timer) = &before.1 {
            timer.cancel(py)?;
        }
        drop(before);
        if when.is_none() {
            return Ok(());
        }
        let timer = Timer::at(owner, when, slf.as_any(), expire, pyo3::intern!(py, "_on_timeout"))?;
        let before = slf.get().inner.with(py, |inner| inner.timer.replace(timer));
        drop(before);
        Ok(())
    }
}

/// Handles the deadline: cancels the task.
fn expire(timeout: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    let py = timeout.py();
    let this = timeout.cast::<Timeout>()?.get();
    if this.state(py) != State::Entered {
        return Err(ferrio_cpython::error::<PyAssertionError>(()));
    }
    if let Some(task) = this.task(py) {
        future_like::cancel(&task)?;
    }
    let timer = this.inner.with(py, |inner| {
        inner.state = State::Expiring;
        inner.timer.take()
    });
    drop(timer);
    Ok(())
}

/// Raises the `TimeoutError` that replaces `raised`, or inserts it at the cancellation among the contexts of `raised`.
fn overdue(raised: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = raised.py();
    let cancelled = imports::cancelled_error(py)?;
    if imports::python_version(py) < (3, 13) {
        return if raised.get_type().is(cancelled) { Err(timeout_error(raised)?) } else { Ok(()) };
    }
    if raised.is_instance(cancelled)? {
        return Err(timeout_error(raised)?);
    }
    insert_timeout_error(raised)?;
    if raised.is_instance_of::<PyBaseExceptionGroup>()
        && raised.is_instance(&py.get_type::<pyo3::exceptions::PyException>())?
    {
        for member in raised.getattr(pyo3::intern!(py, "exceptions"))?.try_iter()? {
            insert_timeout_error(&member?)?;
        }
    }
    Ok(())
}

/// Creates a `TimeoutError` with `cause`.
pub(crate) fn timeout_error(cause: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let py = cause.py();
    let error = ferrio_cpython::error::<PyTimeoutError>(());
    let value = error.value(py);
    value.setattr(pyo3::intern!(py, "__cause__"), cause)?;
    value.setattr(pyo3::intern!(py, "__context__"), cause)?;
    Ok(error)
}

fn insert_timeout_error(raised: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = raised.py();
    let name = pyo3::intern!(py, "__context__");
    let cancelled = imports::cancelled_error(py)?;
    let mut exception = raised.clone();
    loop {
        let context = exception.getattr(name)?;
        if context.is_none() {
            return Ok(());
        }
        if context.is_instance(cancelled)? {
            return exception.setattr(name, timeout_error(&context)?.value(py));
        }
        exception = context;
    }
}

impl Inner {
    fn new(when: Bound<'_, PyAny>) -> Self {
        Self { state: State::Created, when: when.into(), timer: None, task: None, cancelling: 0 }
    }
}

#[pymethods]
impl Timeout {
    /// Takes anything: a subclass may have arguments of its own.
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords), text_signature = "(when)")]
    fn blank(py: Python<'_>, _arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Self {
        Self::new(py.None().into_bound(py))
    }

    fn __init__(&self, when: Bound<'_, PyAny>) {
        let py = when.py();
        let before = self.inner.with(py, |inner| std::mem::replace(inner, Inner::new(when)));
        drop(before);
    }

    /// The deadline in the loop's seconds, or None.
    fn when<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.inner.with(py, |inner| inner.when.bind(py).clone())
    }

    /// Set another deadline, or None for never.
    fn reschedule(slf: &Bound<'_, Self>, when: &Bound<'_, PyAny>) -> PyResult<()> {
        match slf.get().state(slf.py()) {
            State::Entered => {
                let owner = get_running_loop(slf.py())?;
                Self::set_timer(slf, &owner, when)
            }
            State::Created => Err(ferrio_cpython::error::<PyRuntimeError>("Timeout has not been entered")),
            other => Err(ferrio_cpython::error::<PyRuntimeError>(format!(
                "Cannot change state of {} Timeout",
                other.words().1
            ))),
        }
    }

    /// Whether the deadline came while the body ran.
    fn expired(&self, py: Python<'_>) -> bool {
        matches!(self.state(py), State::Expiring | State::Expired)
    }

    fn __aenter__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        spawn(py, "Timeout.__aenter__", Enter(OwnedRef::of(slf)))
    }

    #[pyo3(signature = (exc_type, exc_val, exc_tb))]
    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        exc_type: Option<Bound<'py, PyAny>>,
        exc_val: Option<Bound<'py, PyAny>>,
        exc_tb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        drop((exc_type, exc_tb));
        spawn(slf.py(), "Timeout.__aexit__", Exit(OwnedRef::of(slf), exc_val.map(OwnedRef::from)))
    }

    fn _on_timeout(slf: &Bound<'_, Self>) -> PyResult<()> {
        expire(slf.as_any(), 0)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<Text> {
        let (state, when) = self.inner.with(py, |inner| (inner.state, inner.when.bind(py).clone()));
        let state_name = state.words().1;
        if state != State::Entered {
            return Ok(Text(format!("<Timeout [{state_name}]>")));
        }
        let when = if when.is_none() { when } else { imports::round(py)?.call1((when, 3))? };
        Ok(Text(format!("<Timeout [{state_name}] when={when}>")))
    }

    #[getter(_state)]
    fn shown_state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        imports::timeout_state(py)?.getattr(self.state(py).words().0)
    }

    #[getter(_when)]
    fn shown_when<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.when(py)
    }

    #[getter(_task)]
    fn shown_task<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.task(py)
    }

    #[getter(_timeout_handler)]
    fn shown_timer<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.inner.with(py, |inner| inner.timer.as_ref().map(|timer| timer.show(py)))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let outcome = self.inner.traverse(&visit, |inner| {
            inner.when.traverse(&visit)?;
            inner.task.as_ref().map_or(Ok(()), |task| task.traverse(&visit))?;
            inner.timer.as_ref().map_or(Ok(()), |timer| timer.visit(&visit))
        });
        outcome.unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        let inner = self.inner.with(py, |inner| (inner.task.take(), inner.timer.take()));
        drop(inner);
    }
}

struct Enter(OwnedRef<Timeout>);

impl Body for Enter {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, _: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let timeout = self.0.bind(py);
        Timeout::enter(timeout)?;
        Ok(Step::Returned(timeout.clone().into_any()))
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.0);
    }
}

struct Exit(OwnedRef<Timeout>, Option<OwnedRef>);

impl Body for Exit {
    const OWNS_PY: bool = false;

    fn resume<'py>(&mut self, py: Python<'py>, _: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        Timeout::exit(self.0.bind(py), self.1.as_ref().map(|raised| raised.bind(py)))?;
        Ok(Step::Returned(py.None().into_bound(py)))
    }

    fn traverse(&self, visitor: &Visitor<'_>) {
        visitor.show_owned(&self.0);
        if let Some(raised) = &self.1 {
            visitor.show_owned(raised);
        }
    }
}
