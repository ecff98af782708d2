//! Links an executor's future to a future of the loop: what `asyncio.wrap_future` does, for `run_in_executor`.
//!
//! One `Link` object is the done callback of both futures. The executor's future calls it in the worker thread; it then
//! schedules itself in the loop, which copies the outcome. If the loop's future is cancelled, it calls the link too,
//! which cancels the work unless that has begun.

use ferrio_cpython::capi::hooks;
use ferrio_cpython::capi::memory;
use ferrio_cpython::objects::future::asyncio_counterpart;
use ferrio_cpython::{GilCell, Runnable};
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::common::imports;
use crate::event_loop::{Loop, base};
use crate::tasks::wrap_future::wrap_future;

const CALLBACK: &str = "_chain_future.<locals>._call_check_cancel";

/// Ties a future of `concurrent.futures` to one of the loop.
#[pyclass(frozen, weakref, module = "ferrio")]
pub(crate) struct Link {
    owner: Py<Loop>,
    /// Its number, if the loop's surroundings count its jobs; else 0.
    number: u64,
    /// None once the work is done: a finished future keeps its callbacks, so it would otherwise keep itself and its
    /// result alive.
    tied: GilCell<Option<Tied>>,
}

struct Tied {
    work: Py<PyAny>,
    future: Py<PyAny>,
}

/// Creates a future of the loop that receives the outcome of `work`.
pub(crate) fn follow<'py>(slf: &Bound<'py, Loop>, work: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    if let Some(function) = hooks::WRAP_FUTURE.replacement(py)? {
        let keywords = memory::dict(py)?;
        keywords.set_item(name!("loop"), slf)?;
        return function.call((work,), Some(&keywords));
    }
    if !work.is_instance(imports::concurrent_future(py)?)? {
        return wrap_future(&work, Some(slf));
    }
    let future = Loop::waiter(slf)?;
    let tied = Tied { work: work.clone().unbind(), future: future.clone().unbind() };
    let number = base(slf).count_job(py);
    let link = Bound::new(py, Link { owner: slf.clone().unbind(), number, tied: GilCell::new(Some(tied)) })?;
    let add_done_callback = pyo3::intern!(py, "add_done_callback");
    future.call_method1(add_done_callback, (&link,))?;
    work.call_method1(add_done_callback, (&link,))?;
    Ok(future)
}

#[pymethods]
impl Link {
    fn __call__(slf: &Bound<'_, Self>, done: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let known = this.tied.with(py, |tied| {
            let tied = tied.as_ref()?;
            Some(done.is(&tied.future).then(|| tied.work.clone_ref(py)))
        });
        let Some(of_future) = known else { return Ok(()) };
        if let Some(work) = of_future {
            if done.call_method0(pyo3::intern!(py, "cancelled"))?.is_truthy()? {
                work.call_method0(py, name!("cancel"))?;
            }
            return Ok(());
        }
        let owner = this.owner.bind(py);
        if base(owner).closed.get() {
            // On a closed loop nothing waits for the outcome.
            drop(this.untie(py));
        } else {
            let completion = Runnable::native(slf.clone(), complete_future, 0);
            match this.number {
                0 => base(owner).push_and_wake(py, completion)?,
                number => {
                    base(owner).push_from_outside(py, number, completion)?;
                    base(owner).wake_if_asleep(py);
                }
            }
        }
        Ok(())
    }

    /// The name of asyncio's corresponding callback, for reprs of futures.
    #[getter]
    fn __qualname__(&self) -> &'static str {
        CALLBACK
    }

    #[getter]
    fn __wrapped__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        asyncio_counterpart(py, CALLBACK)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.owner)?;
        let outcome = self.tied.traverse(&visit, |tied| {
            let Some(tied) = tied else { return Ok(()) };
            visit.call(&tied.work)?;
            visit.call(&tied.future)
        });
        outcome.transpose().map(drop)
    }

    fn __clear__(&self, py: Python<'_>) {
        drop(self.untie(py));
    }
}

impl Link {
    fn untie(&self, py: Python<'_>) -> Option<Tied> {
        self.tied.with(py, Option::take)
    }
}

/// Copies the outcome, unless the loop's future was cancelled or completed in the meantime.
fn complete_future(object: &Bound<'_, PyAny>, _: u32) -> PyResult<()> {
    let py = object.py();
    let Some(Tied { work, future }) = object.cast::<Link>()?.get().untie(py) else { return Ok(()) };
    let (work, future) = (work.into_bound(py), future.into_bound(py));
    if future.call_method0(pyo3::intern!(py, "done"))?.is_truthy()? {
        return Ok(());
    }
    if work.call_method0(pyo3::intern!(py, "cancelled"))?.is_truthy()? {
        return future.call_method0(name!("cancel")).map(drop);
    }
    let exception = work.call_method0(pyo3::intern!(py, "exception"))?;
    if exception.is_none() {
        let result = work.call_method0(pyo3::intern!(py, "result"))?;
        return future.call_method1(pyo3::intern!(py, "set_result"), (result,)).map(drop);
    }
    let exception = imports::convert_future_exception(py)?.call1((exception,))?;
    future.call_method1(pyo3::intern!(py, "set_exception"), (exception,)).map(drop)
}
