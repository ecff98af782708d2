//! The worker threads that anyio's functions use on one loop, until the loop's root task is done.
//!
//! A worker is an instance of anyio's `WorkerThread` whose `run` is the pool's. As in anyio there is no limit on their
//! number but the limiters', and those that were idle for `MAX_IDLE_TIME` seconds end when another one gets a job.

use ferrio_cpython::capi::context;
use ferrio_cpython::capi::memory;
use ferrio_cpython::objects::create_task;
use ferrio_cpython::{GilFlag, LoopBase};
use pyo3::exceptions::{PyBaseException, PyRuntimeError, PyStopIteration};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};

use super::workers;
use crate::common::imports;
use crate::event_loop::Loop;
use crate::threads::job::{Call, Job};
use crate::threads::job_queue::JobQueue;
use crate::threads::worker;

/// The workers of one loop and root task.
#[pyclass(frozen, weakref, module = "ferrio")]
pub(crate) struct WorkerPool {
    queue: Py<JobQueue>,
    /// The task whose end ends the workers.
    root_task: Py<PyAny>,
    owner: Py<LoopBase>,
    stopped: GilFlag,
}

#[pymethods]
impl WorkerPool {
    /// What the threads run.
    fn _work(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        workers::claimed(this.owner.bind(py), || worker::work(this.queue.bind(py), None, || Ok(true)))
    }

    /// The done callback of the root task.
    fn _stop(&self, task: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = task.py();
        if self.stopped.get() {
            return Ok(());
        }
        self.stopped.set(true);
        self.queue.get().add(py, py.None().into_bound(py))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.queue)?;
        visit.call(&self.root_task)?;
        visit.call(&self.owner)
    }
}

/// Hands a call to a worker; returns the future of its outcome. `scope` is the one that the thread's code can ask for.
pub(super) fn submit<'py>(
    owner: &Bound<'py, LoopBase>,
    function: &Bound<'py, PyAny>,
    arguments: &Bound<'py, PyTuple>,
    scope: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = owner.py();
    let future = create_task::waiter(owner.as_any())?;
    let pool = of(owner)?;
    let queue = pool.get().queue.bind(py).get();
    if queue.has_workers_for(py, 1) {
        queue.dismiss_idle(py, workers::longest_idle_time(py)?);
    } else {
        start(&pool)?;
    }
    let context = context::copy_current(py)?;
    workers::forget_library(&context)?;
    let call = Call::Surrounded {
        surround: in_scope,
        own: scope.unbind(),
        context: context.unbind(),
        function: function.clone().unbind(),
        arguments: arguments.clone().unbind(),
    };
    queue.add(py, Job::new(owner, call, &future, failure)?.into_any())?;
    Ok(future)
}

/// The pool of the loop; a new one if the root task of the last one is done.
fn of<'py>(owner: &Bound<'py, LoopBase>) -> PyResult<Bound<'py, WorkerPool>> {
    let py = owner.py();
    let executors = &owner.cast::<Loop>()?.get().executors;
    if let Some(known) = executors.library_pool(py)
        && let Ok(known) = known.cast_into::<WorkerPool>()
        && !known.get().stopped.get()
        && !known.get().root_task.bind(py).call_method0(pyo3::intern!(py, "done"))?.is_truthy()?
        && !known.get().queue.bind(py).get().forget_workers_of_parent(py)
    {
        return Ok(known);
    }
    let root_task = workers::root_task(py)?;
    let fresh = WorkerPool {
        queue: Bound::new(py, JobQueue::new())?.unbind(),
        root_task: root_task.clone().unbind(),
        owner: owner.clone().unbind(),
        stopped: GilFlag::default(),
    };
    let fresh = Bound::new(py, fresh)?;
    let keywords = memory::dict(py)?;
    keywords.set_item(name!("context"), imports::context_class(py)?.call0()?)?;
    root_task.call_method(name!("add_done_callback"), (fresh.getattr(name!("_stop"))?,), Some(&keywords))?;
    executors.set_library_pool(py, fresh.clone().into_any().unbind());
    Ok(fresh)
}

fn start(pool: &Bound<'_, WorkerPool>) -> PyResult<()> {
    let thread = workers::new_thread(pool.get().root_task.bind(pool.py()))?;
    thread.setattr(name!("run"), pool.getattr(name!("_work"))?)?;
    thread.call_method0(name!("start")).map(drop)
}

/// Calls `body` while the thread's current scope is `scope`.
fn in_scope<'py>(
    scope: &Bound<'py, PyAny>,
    body: &mut dyn FnMut() -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = scope.py();
    let locals = workers::thread_locals(py)?;
    let name = pyo3::intern!(py, "current_cancel_scope");
    locals.setattr(name, scope)?;
    let outcome = body();
    let deleted = locals.delattr(name);
    let result = outcome?;
    deleted.map(|()| result)
}

/// anyio's exception for a `StopIteration`, which no future takes.
fn failure<'py>(exception: &Bound<'py, PyBaseException>) -> PyResult<Bound<'py, PyAny>> {
    let py = exception.py();
    if !exception.is_instance_of::<PyStopIteration>() {
        return Ok(exception.clone().into_any());
    }
    let wrapped = ferrio_cpython::error::<PyRuntimeError>("coroutine raised StopIteration");
    let wrapped = wrapped.into_value(py).into_bound(py).into_any();
    wrapped.setattr(name!("__cause__"), exception)?;
    Ok(wrapped)
}
