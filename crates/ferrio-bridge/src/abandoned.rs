//! The end of Python code whose awaiter in Rust was dropped: it is cancelled as `task.cancel()` would cancel it.

use std::sync::Mutex;

use pyo3::exceptions::PyStopIteration;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyIterator;
use pyo3::types::iterator::PySendResult;

use crate::asyncio;
use crate::await_py::{close, throw};
use crate::native;
use crate::panics::for_python;

/// Cancels `yielded`, in which the code waits, and lets it see that; closes the code if no loop runs.
pub(crate) fn cancel_awaited(iterator: Bound<'_, PyIterator>, yielded: Bound<'_, PyAny>) -> PyResult<()> {
    let py = iterator.py();
    let Ok(event_loop) = native::running_loop(py) else { return close(&iterator) };
    let is_cancelled = !yielded.is_none() && yielded.call_method0(intern!(py, "cancel"))?.is_truthy()?;
    if is_cancelled && !asyncio::is_done(&yielded)? {
        // A task, which ends later.
        return finish_in_task(&event_loop, iterator, yielded);
    }
    let step = if is_cancelled {
        iterator.send(&py.None().into_bound(py))
    } else {
        throw(&iterator, PyErr::from_type(asyncio::cancelled_error(py)?.clone(), ()))
    };
    match step {
        Ok(PySendResult::Return(_)) => Ok(()),
        Ok(PySendResult::Next(next)) => finish_in_task(&event_loop, iterator, next),
        Err(error) if error.is_instance(py, asyncio::cancelled_error(py)?) => Ok(()),
        Err(error) => {
            asyncio::report(&event_loop, "Exception in an awaitable that Rust code no longer awaits", error);
            Ok(())
        }
    }
}

/// The rest of a coroutine that was begun elsewhere.
#[pyclass(frozen, module = "ferrio_bridge")]
struct Remainder {
    iterator: Py<PyIterator>,
    /// What it yielded before; yielded once more.
    first: Mutex<Option<Py<PyAny>>>,
}

fn finish_in_task(
    event_loop: &Bound<'_, PyAny>,
    iterator: Bound<'_, PyIterator>,
    first: Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = iterator.py();
    let remainder = Remainder { iterator: iterator.unbind(), first: Mutex::new(Some(first.unbind())) };
    event_loop.call_method1(intern!(py, "create_task"), (Bound::new(py, remainder)?,)).map(drop)
}

#[pymethods]
impl Remainder {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        for_python(py, || self.advance(py))
    }

    fn send<'py>(&self, py: Python<'py>, _value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        for_python(py, || self.advance(py)?.ok_or_else(|| PyStopIteration::new_err(())))
    }

    fn throw<'py>(&self, py: Python<'py>, exception: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let first = self.first.lock().expect("no code panics under this lock").take();
        drop(first);
        for_python(py, || match throw(self.iterator.bind(py), PyErr::from_value(exception))? {
            PySendResult::Next(object) => Ok(object),
            PySendResult::Return(_) => Err(PyStopIteration::new_err(())),
        })
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        for_python(py, || close(self.iterator.bind(py)))
    }
}

impl Remainder {
    fn advance<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let first = self.first.lock().expect("no code panics under this lock").take();
        if let Some(first) = first {
            let first = first.into_bound(py);
            if !first.is_none() {
                asyncio::set_blocking(&first, true)?;
            }
            return Ok(Some(first));
        }
        match self.iterator.bind(py).send(&py.None().into_bound(py))? {
            PySendResult::Next(object) => Ok(Some(object)),
            PySendResult::Return(_) => Ok(None),
        }
    }
}
