//! The exception handler API: where errors of callbacks, transports and generators are reported.
//!
//! Messages, context keys and log lines are those of asyncio's `BaseEventLoop`. `SystemExit` and `KeyboardInterrupt`
//! from a handler propagate; every other exception from it is logged.

use ferrio_cpython::GilCell;
use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::raise::{handling, normalized};
use pyo3::exceptions::{PyKeyboardInterrupt, PyOSError, PySystemExit, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyList;
use pyo3::{PyTraverseError, PyTypeInfo, PyVisit};

use crate::common::imports;
use crate::event_loop::{Loop, base, end_of_callback};

/// The user's exception handler, and the state that debug mode saved.
#[derive(Default)]
pub(crate) struct ErrorHandling {
    handler: GilCell<Option<Py<PyAny>>>,
    /// The interpreter's origin tracking depth from before debug mode turned it on; None while it is off.
    origin_depth: GilCell<Option<i64>>,
}

impl ErrorHandling {
    pub(crate) fn saved_origin_depth(&self, py: Python<'_>) -> Option<i64> {
        self.origin_depth.get(py)
    }

    pub(crate) fn save_origin_depth(&self, py: Python<'_>, depth: Option<i64>) {
        self.origin_depth.set(py, depth);
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.handler.traverse(visit, |handler| visit.call(handler)).transpose().map(drop)
    }

    pub(crate) fn clear(&self, py: Python<'_>) {
        let handler = self.handler.with(py, Option::take);
        drop(handler);
    }

    fn handler<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.handler.with(py, |handler| handler.as_ref().map(|handler| handler.bind(py).clone()))
    }
}

#[pymethods]
impl Loop {
    /// The exception handler, or None if the default one is in use.
    fn get_exception_handler<'py>(slf: &Bound<'py, Self>) -> Option<Bound<'py, PyAny>> {
        slf.get().errors.handler(slf.py())
    }

    #[getter]
    fn _exception_handler<'py>(slf: &Bound<'py, Self>) -> Option<Bound<'py, PyAny>> {
        slf.get().errors.handler(slf.py())
    }

    #[setter(_exception_handler)]
    fn replace_exception_handler(slf: &Bound<'_, Self>, handler: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::set_exception_handler(slf, handler)
    }

    /// Set the exception handler, called as `handler(loop, context)`; None for the default.
    fn set_exception_handler(slf: &Bound<'_, Self>, handler: &Bound<'_, PyAny>) -> PyResult<()> {
        if !handler.is_none() && !handler.is_callable() {
            let text = format!("A callable object or None is expected, got {}", handler.repr()?);
            return Err(ferrio_cpython::error::<PyTypeError>(text));
        }
        let handler = Some(handler.clone().unbind()).filter(|handler| !handler.is_none(slf.py()));
        let before = slf.get().errors.handler.with(slf.py(), |place| std::mem::replace(place, handler));
        drop(before);
        Ok(())
    }

    /// Log the error that `context` describes.
    fn default_exception_handler(slf: &Bound<'_, Self>, context: &Bound<'_, PyAny>) -> PyResult<()> {
        log_context(slf, context)
    }

    /// Hand the error that `context` describes to the exception handler.
    fn call_exception_handler(slf: &Bound<'_, Self>, context: &Bound<'_, PyAny>) -> PyResult<()> {
        // The handler may end the process.
        let sent = end_of_callback::finish_early(slf);
        Self::hand_over(slf, context).and(sent)
    }
}

impl Loop {
    fn hand_over(slf: &Bound<'_, Self>, context: &Bound<'_, PyAny>) -> PyResult<()> {
        let Some(handler) = slf.get().errors.handler(slf.py()) else {
            let outcome = slf.call_method1(name!("default_exception_handler"), (context,));
            return contain(slf.py(), outcome, "Exception in default exception handler");
        };
        let Err(error) = call_in_context(slf, &handler, context) else {
            return Ok(());
        };
        if must_propagate(slf.py(), &error) {
            return Err(error);
        }
        let unhandled = memory::dict(slf.py())?;
        unhandled.set_item(name!("message"), name!("Unhandled error in exception handler"))?;
        unhandled.set_item(name!("exception"), error.clone_ref(slf.py()).into_value(slf.py()))?;
        unhandled.set_item(name!("context"), context)?;
        let message = "Exception in default exception handler while handling an unexpected error in custom exception \
                       handler";
        handling(slf.py(), &error, || {
            contain(slf.py(), slf.call_method1(name!("default_exception_handler"), (unhandled,)), message)
        })
    }
}

/// The `OSError` that Python's own socket calls would raise, of the subclass for the error number.
#[cold]
pub(crate) fn from_io(error: &std::io::Error) -> PyErr {
    let text = error.to_string();
    let error = match error.raw_os_error() {
        Some(number) => {
            let suffix = format!(" (os error {number})");
            let reason = text.strip_suffix(&suffix).unwrap_or(&text).to_owned();
            ferrio_cpython::error::<PyOSError>((number, reason))
        }
        None => ferrio_cpython::error::<PyOSError>(text),
    };
    // Built now: on 3.11 the type of a lazily built error would be `OSError` whatever the subclass of its value.
    Python::attach(|py| normalized(py, error))
}

/// Whether an exception ends the loop instead of being reported: `SystemExit` and `KeyboardInterrupt`.
pub(crate) fn must_propagate(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PySystemExit>(py) || error.is_instance_of::<PyKeyboardInterrupt>(py)
}

/// Reports an error to the exception handler as asyncio does, with message, exception and further context items.
pub(crate) fn report(
    slf: &Bound<'_, Loop>,
    message: &str,
    error: &PyErr,
    items: &[(&str, &Bound<'_, PyAny>)],
) -> PyResult<()> {
    let py = slf.py();
    let context = memory::dict(py)?;
    context.set_item(name!("message"), memory::text(py, message)?)?;
    context.set_item(name!("exception"), error.clone_ref(py).into_value(py))?;
    for (key, value) in items {
        context.set_item(memory::text(py, key)?, value)?;
    }
    handling(py, error, || slf.call_method1(pyo3::intern!(py, "call_exception_handler"), (context,))).map(drop)
}

/// Logs an exception that a handler raised; only `SystemExit` and `KeyboardInterrupt` propagate.
fn contain<T>(py: Python<'_>, outcome: PyResult<T>, message: &str) -> PyResult<()> {
    match outcome {
        Ok(_) => Ok(()),
        Err(error) if must_propagate(py, &error) => Err(error),
        Err(error) => {
            let keywords = memory::dict(py)?;
            keywords.set_item(name!("exc_info"), true)?;
            let logger = imports::base_events_logger(py)?;
            let text = memory::text(py, message)?;
            handling(py, &error, || logger.call_method(name!("error"), (text,), Some(&keywords))).map(drop)
        }
    }
}

/// Calls the handler; from 3.12 on in the context of the task, future or handle concerned.
fn call_in_context<'py>(
    slf: &Bound<'py, Loop>,
    handler: &Bound<'py, PyAny>,
    context: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    if imports::python_version(py) >= (3, 12) {
        for key in ["task", "future", "handle"] {
            let thing = get(context, key)?;
            if thing.is_none() {
                continue;
            }
            let Some(get_context) = thing.getattr_opt(name!("get_context"))? else { break };
            let Some(run) = get_context.call0()?.getattr_opt(name!("run"))? else { break };
            return run.call1((handler, slf, context));
        }
    }
    handler.call1((slf, context))
}

/// `context.get(key)`; `context` may be any mapping.
fn get<'py>(context: &Bound<'py, PyAny>, key: &str) -> PyResult<Bound<'py, PyAny>> {
    context.call_method1(pyo3::intern!(context.py(), "get"), (key,))
}

fn log_context(slf: &Bound<'_, Loop>, context: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = slf.py();
    let message = get(context, "message")?;
    let message =
        if message.is_truthy()? { message } else { memory::text(py, "Unhandled exception in event loop")?.into_any() };
    let exception = Some(get(context, "exception")?).filter(|exception| !exception.is_none());
    let traceback = base(slf)
        .current_handle(py)
        .map(|handle| handle.getattr(name!("_source_traceback")))
        .transpose()?
        .filter(|traceback| traceback.is_truthy().unwrap_or(false));
    if let Some(traceback) = traceback
        && !context.contains("source_traceback")?
    {
        context.set_item(name!("handle_traceback"), traceback)?;
    }
    let lines = memory::list(py, [message])?;
    let keys = PyList::type_object(py).call1((context,))?.cast_into::<PyList>()?;
    keys.sort()?;
    for key in &keys {
        let name = key.str()?.to_string();
        if name == "message" || name == "exception" {
            continue;
        }
        let value = context.get_item(&key)?;
        let shown = match name.as_str() {
            "source_traceback" => stack_text(py, "Object", &value)?,
            "handle_traceback" => stack_text(py, "Handle", &value)?,
            _ => value.repr()?.to_string(),
        };
        lines.append(memory::text(py, &format!("{name}: {shown}"))?)?;
    }
    let keywords = memory::dict(py)?;
    match exception {
        Some(exception) => {
            let traceback = exception.getattr(name!("__traceback__"))?;
            keywords.set_item(name!("exc_info"), (exception.get_type(), exception, traceback))?;
        }
        None => keywords.set_item(name!("exc_info"), false)?,
    }
    // Joined by Python, which refuses a message that is no text.
    let text = memory::text(py, "\n")?.call_method1(name!("join"), (lines,))?;
    imports::base_events_logger(py)?.call_method(name!("error"), (text,), Some(&keywords))?;
    Ok(())
}

fn stack_text(py: Python<'_>, what: &str, stack: &Bound<'_, PyAny>) -> PyResult<String> {
    let lines: Vec<String> = imports::format_list(py)?.call1((stack,))?.extract()?;
    Ok(format!("{what} created at (most recent call last):\n{}", lines.concat().trim_end()))
}
