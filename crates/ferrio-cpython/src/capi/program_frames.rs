//! The stack of a program that `python -m ferrio` runs begins with the program, as under plain python.
//!
//! In debug mode asyncio keeps stacks and prints them, at exit as well, when the source of a file that was not read
//! before cannot be read any more. So the frames of the command line are left out, in the stacks that ferrio keeps and
//! in the interpreter's warnings about coroutines that were never awaited.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use crate::capi::{asyncio_code, imports};

struct CommandLine {
    /// The file whose frames, with all below them, are not part of the program.
    file: Py<PyString>,
    /// `warnings._warn_unawaited_coroutine`.
    warn: Py<PyAny>,
    /// `types.SimpleNamespace`.
    namespace: Py<PyAny>,
}

static COMMAND_LINE: PyOnceLock<CommandLine> = PyOnceLock::new();

/// Leaves the frames of `file` and those below them out of stacks from now on.
///
/// # Errors
/// `ImportError` when `warnings` is not importable.
pub fn hide(file: &Bound<'_, PyString>, warn: Bound<'_, PyAny>) -> PyResult<()> {
    let py = file.py();
    let warnings = crate::capi::modules::module(py, name!("warnings"))?;
    let original = warnings.getattr(name!("_warn_unawaited_coroutine"))?.unbind();
    let namespace = crate::capi::modules::module(py, name!("types"))?.getattr(name!("SimpleNamespace"))?.unbind();
    COMMAND_LINE.get_or_init(py, || CommandLine { file: file.clone().unbind(), warn: original, namespace });
    warnings.setattr(name!("_warn_unawaited_coroutine"), warn)
}

/// The function that the interpreter calls for a coroutine that was never awaited. It has no frame, because the warning
/// counts frames.
///
/// # Errors
/// The warning, if a filter turns it into an exception.
pub fn warn_unawaited(coroutine: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = coroutine.py();
    let Some(CommandLine { file, warn, namespace }) = COMMAND_LINE.get(py) else { return Ok(()) };
    let own = match coroutine.getattr(name!("cr_origin"))?.cast::<PyTuple>() {
        // From the innermost frame outwards.
        Ok(origin) => {
            let is_own = |entry: Bound<'_, PyAny>| entry.get_item(0).is_ok_and(|name| name.eq(file).unwrap_or(false));
            origin.iter().position(is_own).map(|position| origin.get_slice(0, position))
        }
        Err(_) => None,
    };
    let Some(origin) = own else { return warn.call1(py, (coroutine,)).map(drop) };
    let shown = PyDict::new(py);
    shown.set_item(name!("cr_origin"), origin)?;
    shown.set_item(name!("__qualname__"), coroutine.getattr(name!("__qualname__"))?)?;
    warn.call1(py, (namespace.call(py, (), Some(&shown))?,)).map(drop)
}

/// The stack of running Python code, as asyncio keeps it in debug mode: a `traceback.StackSummary`, newest call last.
///
/// # Errors
/// Any exception that extracting the stack raises.
#[cold]
pub fn stack(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    let Some(frame) = imports::current_frame(py) else { return Ok(None) };
    let stack = imports::extract_stack(py)?.call1((frame,))?;
    if let Some(CommandLine { file, .. }) = COMMAND_LINE.get(py)
        && let Ok(summaries) = stack.cast::<PyList>()
    {
        let is_own = |summary: Bound<'_, PyAny>| {
            summary.getattr(name!("filename")).is_ok_and(|name| name.eq(file).unwrap_or(false))
        };
        if let Some(last) = summaries.iter().rposition(is_own) {
            summaries.del_slice(0, last + 1)?;
        }
    }
    for summary in stack.try_iter()? {
        // Reads the file; when the stack is shown it may be too late.
        let _ = summary?.getattr(name!("line"));
    }
    Ok(Some(stack))
}

/// Appends asyncio's function `name`, for which ferrio's has no frame, to a stack: it calls the function that it names
/// `called`.
pub(crate) fn append(stack: &Bound<'_, PyAny>, name: &str, called: &str) -> PyResult<()> {
    match (asyncio_code::summary(stack.py(), name, called), stack.cast::<PyList>()) {
        (Some(summary), Ok(stack)) => stack.append(summary),
        _ => Ok(()),
    }
}
