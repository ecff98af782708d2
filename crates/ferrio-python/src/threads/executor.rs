//! The executor: a subclass of the standard library's `ThreadPoolExecutor` whose work queue is a `JobQueue`.
//!
//! Python sees the class as a `ThreadPoolExecutor`. It is made when the first loop needs threads, of this file's `Pool`
//! and the standard library's class. What a program replaces is honoured: another `concurrent.futures.ThreadPoolExecutor`
//! is used as it is, and jobs go through a replaced `submit`.

use ferrio_cpython::capi::exact_type::ExactType;
use ferrio_cpython::capi::{hooks, memory, method};
use ferrio_cpython::{GilCell, LoopBase};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PySet, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};

use crate::common::imports;
use crate::threads::job::{Call, Job};
use crate::threads::job_queue::JobQueue;
use crate::threads::stock;

/// The class that Python sees.
static CLASS: ExactType = ExactType::new();

/// What the executor has besides the standard library's state.
#[pyclass(frozen, subclass, module = "ferrio._ferrio")]
pub(crate) struct Pool {
    queue: Py<JobQueue>,
    /// The standard library's `submit`; None if a program had replaced it when the class was made.
    submit: GilCell<Option<Py<PyAny>>>,
}

#[pymethods]
impl Pool {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords))]
    fn new(py: Python<'_>, _arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let submit = stock::unpatched_submit(stock::module(py)?.getattr(name!("ThreadPoolExecutor"))?.as_any())?;
        Ok(Self { queue: Bound::new(py, JobQueue::new())?.unbind(), submit: GilCell::new(submit.map(Bound::unbind)) })
    }

    /// Start a worker if the waiting items are more than the free workers. `submit` calls it with its locks held.
    fn _adjust_thread_count(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let queue = slf.get().queue.bind(py);
        forget_threads_of_parent(slf)?;
        if queue.get().has_workers_for(py, 0) || is_full(slf)? {
            return Ok(());
        }
        let threads = slf.getattr(name!("_threads"))?;
        let prefix = slf.getattr(name!("_thread_name_prefix"))?;
        let keywords = memory::dict(py)?;
        keywords.set_item(name!("name"), format!("{prefix}_{}", threads.len()?))?;
        keywords.set_item(name!("target"), queue.getattr(name!("_work"))?)?;
        let callback = queue.getattr(name!("_executor_is_gone"))?;
        let reference = imports::weak_reference(py)?.call1((slf, callback))?;
        let context = slf.getattr_opt(name!("_create_worker_context"))?.map(|create| create.call0()).transpose()?;
        keywords.set_item(name!("args"), (reference, context))?;
        let thread = imports::thread(py)?.call((), Some(&keywords))?;
        thread.call_method0(name!("start"))?;
        threads.call_method1(name!("add"), (&thread,))?;
        stock::module(py)?.getattr(name!("_threads_queues"))?.set_item(thread, queue)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.queue)?;
        self.submit.traverse(&visit, |submit| visit.call(submit)).unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        let submit = self.submit.with(py, Option::take);
        drop(submit);
    }
}

/// In a child made by `fork`: forgets the threads, which the parent has. With asyncio's executor the child would count
/// on them, and its jobs would never run.
#[inline]
fn forget_threads_of_parent(executor: &Bound<'_, Pool>) -> PyResult<()> {
    let py = executor.py();
    if executor.get().queue.bind(py).get().forget_workers_of_parent(py) {
        executor.getattr(name!("_threads"))?.call_method0(name!("clear"))?;
    }
    Ok(())
}

/// Whether the executor has as many threads as it may have.
fn is_full(executor: &Bound<'_, Pool>) -> PyResult<bool> {
    let py = executor.py();
    let threads = executor.getattr(pyo3::intern!(py, "_threads"))?.cast_into::<PySet>()?;
    Ok(threads.len() >= executor.getattr(pyo3::intern!(py, "_max_workers"))?.extract()?)
}

/// A new default executor, with the names of asyncio's threads: a pool, or what the program has put in the place of
/// `ThreadPoolExecutor`.
pub(crate) fn new<'py>(
    py: Python<'py>,
    thread_name_prefix: &str,
    max_workers: Option<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    let keywords = memory::dict(py)?;
    if let Some(max_workers) = max_workers {
        keywords.set_item(name!("max_workers"), max_workers)?;
    }
    keywords.set_item(name!("thread_name_prefix"), thread_name_prefix)?;
    let current = imports::thread_pool(py)?;
    let Some(stock) = stock::unpatched_class(py)?.filter(|stock| stock.is(&current)) else {
        return current.call((), Some(&keywords));
    };
    let executor = class(py, stock)?.call((), Some(&keywords))?;
    let queue = executor.cast::<Pool>()?.get().queue.bind(py).clone();
    executor.setattr(name!("_work_queue"), queue)?;
    Ok(executor)
}

fn class<'py>(py: Python<'py>, stock: Bound<'py, PyType>) -> PyResult<&'py Bound<'py, PyType>> {
    static CELL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let make = || {
        let namespace = memory::dict(py)?;
        namespace.set_item(name!("__module__"), "ferrio")?;
        namespace.set_item(name!("__doc__"), stock.getattr(name!("__doc__"))?)?;
        let bases = memory::tuple(py, [py.get_type::<Pool>().into_any(), stock.clone().into_any()])?;
        let class = py.get_type::<PyType>().call1((stock.name()?, bases, namespace))?.cast_into::<PyType>()?;
        CLASS.set(&class);
        Ok::<_, PyErr>(class.unbind())
    };
    Ok(CELL.get_or_try_init(py, make)?.bind(py))
}

/// Whether jobs may go straight into the executor's queue: it is a pool whose `submit` no program has replaced, nor
/// `asyncio.wrap_future`, which would get the executor's future.
pub(crate) fn takes_jobs<'a, 'py>(executor: &'a Bound<'py, PyAny>) -> PyResult<Option<&'a Bound<'py, Pool>>> {
    let py = executor.py();
    if !CLASS.is_exact(executor) || hooks::WRAP_FUTURE.is_replaced(py) {
        return Ok(None);
    }
    let pool = executor.cast::<Pool>()?;
    let submit = pool.getattr(pyo3::intern!(py, "submit"))?;
    let is_stock =
        pool.get().submit.with(py, |stock| stock.as_ref().is_some_and(|stock| method::is_of(&submit, stock.bind(py))));
    Ok(is_stock.then_some(pool))
}

/// Whether a job would begin at once: a worker is free, or another one can be started.
pub(crate) fn begins_at_once(pool: &Bound<'_, Pool>) -> PyResult<bool> {
    forget_threads_of_parent(pool)?;
    Ok(pool.get().queue.bind(pool.py()).get().has_workers_for(pool.py(), 1) || !is_full(pool)?)
}

/// Hands a call to a worker; gives the future of its outcome.
///
/// # Errors
/// `RuntimeError` when the executor or the interpreter is shut down, or no thread can be started.
pub(crate) fn submit<'py>(
    pool: &Bound<'py, Pool>,
    owner: &Bound<'py, LoopBase>,
    call: Call,
    future: &Bound<'py, PyAny>,
) -> PyResult<()> {
    let py = pool.py();
    forget_threads_of_parent(pool)?;
    let queue = pool.get().queue.bind(py).get();
    let job = Job::linked(owner, call, future)?.into_any();
    if !queue.is_ending(py) && (queue.has_workers_for(py, 1) || is_full(pool)?) {
        return queue.add(py, job);
    }
    stock::submitting(pool.as_any(), || {
        queue.add(py, job)?;
        pool.call_method0(name!("_adjust_thread_count")).map(drop)
    })
}
