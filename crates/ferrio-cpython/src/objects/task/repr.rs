//! The repr of a task that is pending, as asyncio's `_task_repr` makes it.
//!
//! anyio puts it into the message of each cancellation, so it is no mere debugging aid. What is rare goes to asyncio's
//! own function: tasks that are done or in debug mode, and those that wait for a task or for a foreign future.

use std::fmt::Write;

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyFunction};

use super::TaskRef;
use crate::capi::imports;
use crate::capi::memory;
use crate::capi::resume::is_python_coroutine;
use crate::objects::coroutine::coroutine_type_pointer;
use crate::objects::future::{FutureRef, is_exact_future};

impl<'py> TaskRef<'py> {
    /// `repr(task)`.
    pub(super) fn repr(&self) -> PyResult<Bound<'py, PyAny>> {
        match self.pending_repr()? {
            Some(text) => Ok(memory::text(self.py(), &text)?.into_any()),
            None => imports::task_repr(self.py())?.call1((self.object(),)),
        }
    }

    fn pending_repr(&self) -> PyResult<Option<String>> {
        let py = self.py();
        if !super::is_exact(self.object().get_type_ptr()) || !is_short(self.future()) {
            return Ok(None);
        }
        let Some(coroutine) = self.task().coroutine().map(|coroutine| coroutine.get(py)) else {
            return Ok(None);
        };
        let waits_for = self.task().waiting_for.as_ref().map(|future| future.get(py));
        let waits_for = match waits_for.map(|future| FutureRef::exact(&future).filter(is_short_future)) {
            Some(None) => return Ok(None),
            Some(future) => future,
            None => None,
        };
        let state = if self.task().cancels_requested > 0 { "cancelling" } else { "pending" };
        let mut text = format!("<Task {state} name={}", self.name()?.repr()?);
        let Some(coroutine) = described_coroutine(&coroutine)? else { return Ok(None) };
        let _ = write!(text, " coro=<{coroutine}>");
        if let Some(future) = waits_for {
            let _ = write!(text, " wait_for=<Future pending{}>", described_callbacks(&future)?);
        }
        text.push_str(&described_callbacks(self.future())?);
        text.push('>');
        Ok(Some(text))
    }
}

/// Whether nothing but its callbacks is to be told of a future.
fn is_short(future: &FutureRef<'_>) -> bool {
    future.is_pending() && future.body().source_traceback.is_none()
}

fn is_short_future(future: &FutureRef<'_>) -> bool {
    is_exact_future(future.object().get_type_ptr()) && is_short(future)
}

/// ` cb=[...]`, or nothing.
fn described_callbacks(future: &FutureRef<'_>) -> PyResult<String> {
    let callbacks = future.callbacks_shown_at_the_ends()?;
    Ok(match callbacks.as_slice() {
        [] => String::new(),
        [(only, _)] => format!(" cb=[{}]", described_callable(only)?),
        [(first, _), (last, count)] => {
            let (first, last) = (described_callable(first)?, described_callable(last)?);
            match count - 2 {
                0 => format!(" cb=[{first}, {last}]"),
                more => format!(" cb=[{first}, <{more} more>, {last}]"),
            }
        }
        _ => return Err(crate::capi::raise::error::<PyAttributeError>("callbacks")),
    })
}

/// `format_helpers._format_callback_source(callable, ())`.
fn described_callable(callable: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = callable.py();
    let is_builtin = callable.is_exact_instance_of::<PyCFunction>();
    let is_bare_function = callable.is_exact_instance_of::<PyFunction>()
        && callable.getattr_opt(crate::intern!(py, "__wrapped__"))?.is_none();
    if !is_builtin && !is_bare_function {
        return Ok(imports::format_callback_source(py)?.call1((callable, ()))?.to_string());
    }
    let mut text = format!("{}()", callable.getattr(crate::intern!(py, "__qualname__"))?);
    if is_bare_function {
        let code = callable.getattr(crate::intern!(py, "__code__"))?;
        let file = code.getattr(crate::intern!(py, "co_filename"))?;
        let _ = write!(text, " at {file}:{}", code.getattr(crate::intern!(py, "co_firstlineno"))?);
    }
    Ok(text)
}

/// `coroutines._format_coroutine(coroutine)` for a coroutine that has not ended.
fn described_coroutine(coroutine: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let py = coroutine.py();
    let ours = std::ptr::eq(coroutine.get_type_ptr(), coroutine_type_pointer());
    if !ours && !is_python_coroutine(coroutine) {
        return Ok(None);
    }
    let (name, code) = (coroutine.getattr(crate::intern!(py, "__qualname__"))?, coroutine.getattr(name!("cr_code"))?);
    let frame = coroutine.getattr(name!("cr_frame"))?;
    if !name.is_truthy()? || code.is_none() || frame.is_none() {
        return Ok(None);
    }
    let file = code.getattr(crate::intern!(py, "co_filename"))?;
    if !file.is_truthy()? {
        return Ok(None);
    }
    Ok(Some(format!("{name}() running at {file}:{}", frame.getattr(name!("f_lineno"))?)))
}
