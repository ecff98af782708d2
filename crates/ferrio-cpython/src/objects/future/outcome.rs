//! How a future ends, and how its outcome is read.

use pyo3::exceptions::{PyRuntimeError, PyStopIteration, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::{FutureRef, State};
use crate::capi::imports;
use crate::capi::owned_ref::OwnedRef;
use crate::capi::raise::raised;
use crate::objects::failures;

/// The result of `result()`.
pub(crate) enum Outcome<'py> {
    Result(Bound<'py, PyAny>),
    /// The exception object, its traceback restored.
    Exception(Bound<'py, PyAny>),
}

impl<'py> FutureRef<'py> {
    /// The future's own `set_result`; the Python method of tasks rejects it.
    #[inline]
    pub(crate) fn finish(&self, result: Bound<'py, PyAny>) -> PyResult<()> {
        if !self.is_pending() {
            return Err(invalid_state(self.py(), "invalid state"));
        }
        let before = self.update(|body| {
            body.state = State::Finished;
            body.result.replace(result.into())
        });
        drop(before);
        self.schedule_callbacks()
    }

    /// The future's own `set_exception`.
    pub(crate) fn fail(&self, exception: &Bound<'py, PyAny>) -> PyResult<()> {
        let py = self.py();
        if !self.is_pending() {
            return Err(invalid_state(py, "invalid state"));
        }
        let exception = if is_exception_class(exception) {
            let made = exception.call0()?;
            if !self.is_pending() {
                return Err(invalid_state(py, "invalid state"));
            }
            made
        } else {
            exception.clone()
        };
        let exception = checked_exception(exception)?;
        // SAFETY: an exception instance; a new reference or null without an error.
        let traceback = unsafe { ffi::PyException_GetTraceback(exception.as_ptr()) };
        // SAFETY: a new reference or null without an error.
        let traceback = unsafe { Bound::from_owned_ptr_or_opt(py, traceback) };
        let before = self.update(|body| {
            body.state = State::Finished;
            body.log_traceback = true;
            body.end = traceback.map(OwnedRef::from);
            body.exception.replace(exception.into())
        });
        drop(before);
        failures::note(self.object());
        self.schedule_callbacks()
    }

    /// The future's own `cancel`: false if it is done.
    #[inline]
    pub(crate) fn cancel_as_future(&self, message: Option<Bound<'py, PyAny>>) -> PyResult<bool> {
        let before = self.update(|body| {
            body.log_traceback = false;
            if body.state != State::Pending {
                return None;
            }
            body.state = State::Cancelled;
            Some(std::mem::replace(&mut body.cancel_message, message.map(OwnedRef::from)))
        });
        let was_pending = before.is_some();
        drop(before);
        if was_pending {
            self.schedule_callbacks()?;
        }
        Ok(was_pending)
    }

    /// What `result()` returns or raises.
    ///
    /// # Errors
    /// `CancelledError` and `InvalidStateError`. An exception that was set is not an error here.
    #[inline]
    pub(crate) fn outcome(&self) -> PyResult<Outcome<'py>> {
        let py = self.py();
        match self.body().state {
            State::Finished => {}
            State::Cancelled => return Err(self.cancelled_error()?),
            State::Pending => return Err(invalid_state(py, "Result is not set.")),
        }
        let (result, exception, traceback) = self.update(|body| {
            body.log_traceback = false;
            let result = body.result.as_ref().map(|result| result.clone_ref(py));
            (result, body.exception.as_ref().map(|exception| exception.clone_ref(py)), body.end.take())
        });
        if let Some(exception) = exception {
            let exception = exception.into_bound(py);
            let traceback = traceback.as_ref().map_or_else(|| py.None().into_bound(py), |traceback| traceback.get(py));
            // SAFETY: an exception instance and a traceback or None.
            let outcome = unsafe { ffi::PyException_SetTraceback(exception.as_ptr(), traceback.as_ptr()) };
            if outcome < 0 {
                return Err(PyErr::fetch(py));
            }
            return Ok(Outcome::Exception(exception));
        }
        Ok(Outcome::Result(result.map_or_else(|| py.None().into_bound(py), |result| result.into_bound(py))))
    }

    /// The exception that a waiting task raises when the future is done: None for a result.
    #[inline]
    pub(crate) fn failure(&self) -> PyResult<Option<Bound<'py, PyAny>>> {
        let body = self.body();
        match body.state {
            State::Finished if body.exception.is_none() => Ok(None),
            // Raised, as in asyncio: the exception being handled becomes its context.
            State::Cancelled => {
                Ok(Some(self.cancelled_error()?.into_value(self.py()).into_bound(self.py()).into_any()))
            }
            State::Finished | State::Pending => self.stored_failure(),
        }
    }

    #[cold]
    fn stored_failure(&self) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.outcome() {
            Ok(Outcome::Result(_)) => Ok(None),
            Ok(Outcome::Exception(exception)) => Ok(Some(exception)),
            Err(error) => Ok(Some(error.into_value(self.py()).into_bound(self.py()).into_any())),
        }
    }

    /// The `CancelledError` to raise; the one that ended the task is returned once.
    #[cold]
    pub(crate) fn cancelled_exception(&self) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py();
        if let Some(saved) = self.update(|body| body.end.take_if(|_| body.state == State::Cancelled)) {
            return Ok(saved.into_bound(py));
        }
        let message = self.body().cancel_message.as_ref().map(|message| message.get(py));
        match message.filter(|message| !message.is_none()) {
            Some(message) => imports::cancelled_error(py)?.call1((message,)),
            None => imports::cancelled_error(py)?.call0(),
        }
    }

    /// `cancel_as_future` for a task that `exception` ended.
    pub(crate) fn cancel_by(&self, exception: Bound<'py, PyAny>) -> PyResult<bool> {
        if !self.is_pending() {
            return Ok(false);
        }
        drop(self.update(|body| body.end.replace(exception.into())));
        self.cancel_as_future(None)
    }

    #[cold]
    fn cancelled_error(&self) -> PyResult<PyErr> {
        Ok(raised(&self.cancelled_exception()?))
    }
}

/// asyncio's `InvalidStateError`.
#[cold]
pub(crate) fn invalid_state(py: Python<'_>, text: impl Into<String>) -> PyErr {
    match imports::invalid_state_error(py) {
        Ok(class) => match class.call1((text.into(),)) {
            Ok(exception) => raised(&exception),
            Err(error) => error,
        },
        Err(error) => error,
    }
}

fn is_exception_class(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: a live object; reads flags of types.
    unsafe { ffi::PyExceptionClass_Check(object.as_ptr()) != 0 }
}

/// Whether the running Python wraps a `StopIteration` that is set as an exception; older ones reject it.
fn wraps_stop_iteration(py: Python<'_>) -> PyResult<bool> {
    static CELL: PyOnceLock<bool> = PyOnceLock::new();
    let probe = || imports::stock_method_uses(py, "asyncio.futures", "_PyFuture", "set_exception", "RuntimeError");
    CELL.get_or_try_init(py, probe).copied()
}

/// The exception that `set_exception` stores. A `StopIteration` would end the waiting coroutine.
fn checked_exception(exception: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    const TEXT: &str = "StopIteration interacts badly with generators and cannot be raised into a Future";
    let py = exception.py();
    // SAFETY: a live object; reads flags of its type.
    if unsafe { ffi::PyExceptionInstance_Check(exception.as_ptr()) } == 0 {
        return Err(crate::capi::raise::error::<PyTypeError>("invalid exception object"));
    }
    if !exception.is_instance_of::<PyStopIteration>() {
        return Ok(exception);
    }
    if !wraps_stop_iteration(py)? {
        if exception.get_type().is(py.get_type::<PyStopIteration>()) {
            return Err(crate::capi::raise::error::<PyTypeError>(TEXT));
        }
        return Ok(exception);
    }
    let wrapped = crate::capi::raise::error::<PyRuntimeError>(TEXT).into_value(py).into_bound(py).into_any();
    wrapped.setattr(name!("__cause__"), &exception)?;
    wrapped.setattr(name!("__context__"), &exception)?;
    Ok(wrapped)
}
