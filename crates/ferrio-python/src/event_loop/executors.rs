//! Executors: `run_in_executor`, the default thread pool and its shutdown.

use ferrio_cpython::capi::memory;
use ferrio_cpython::objects::scheduling;
use ferrio_cpython::{GilCell, GilFlag};
use pyo3::exceptions::{PyException, PyRuntimeError, PyTimeoutError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};

use crate::common::async_block::{Channel, Coroutine};
use crate::common::blocking_frame::Frame;
use crate::common::imports;
use crate::event_loop::executor_future;
use crate::event_loop::{Loop, base};
use crate::threads::executor::{self, Pool};
use crate::threads::job::{Call, Job};

/// How many threads there are for lookups alone.
const LOOKUP_THREADS: usize = 4;

/// The default executor and its state.
#[derive(Default)]
pub(crate) struct Executors {
    default: GilCell<Option<Py<PyAny>>>,
    /// Threads for lookups, made when one finds all threads of the default executor busy.
    lookups: GilCell<Option<Py<PyAny>>>,
    /// What another library's functions keep on this loop as their worker threads.
    library_pool: GilCell<Option<Py<PyAny>>>,
    /// `shutdown_default_executor` or `close` was called.
    shut_down: GilFlag,
}

impl Executors {
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        for place in [&self.default, &self.lookups, &self.library_pool] {
            place.traverse(visit, |executor| visit.call(executor)).transpose()?;
        }
        Ok(())
    }

    pub(crate) fn clear(&self, py: Python<'_>) {
        for place in [&self.default, &self.lookups, &self.library_pool] {
            let executor = place.with(py, Option::take);
            drop(executor);
        }
    }

    /// Forgets that executors were shut down, and the default one with it.
    pub(crate) fn reopen(&self, py: Python<'_>) {
        if self.shut_down.get() {
            self.clear(py);
            self.shut_down.set(false);
        }
    }

    pub(crate) fn library_pool<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.library_pool.with(py, |pool| pool.as_ref().map(|pool| pool.bind(py).clone()))
    }

    pub(crate) fn set_library_pool(&self, py: Python<'_>, pool: Py<PyAny>) {
        let before = self.library_pool.with(py, |place| place.replace(pool));
        drop(before);
    }

    fn lookups<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.lookups.with(py, |executor| executor.as_ref().map(|executor| executor.bind(py).clone()))
    }

    fn default<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.default.with(py, |executor| executor.as_ref().map(|executor| executor.bind(py).clone()))
    }

    fn set_default(&self, py: Python<'_>, executor: Option<Py<PyAny>>) {
        let before = self.default.with(py, |place| std::mem::replace(place, executor));
        drop(before);
    }
}

#[pymethods]
impl Loop {
    /// Run `func(*args)` in an executor, the default thread pool if None; gives a future.
    #[pyo3(signature = (executor, func, *args))]
    pub(crate) fn run_in_executor<'py>(
        slf: &Bound<'py, Self>,
        executor: Option<Bound<'py, PyAny>>,
        func: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        base(slf).check_open()?;
        if base(slf).debug.get() {
            scheduling::check_callback(func, "run_in_executor")?;
        }
        let executor = match executor {
            Some(executor) => executor,
            None => default_executor(slf)?,
        };
        if base(slf).has_simulated_io() && executor.is_instance(&imports::thread_pool(py)?)? {
            let call = Call::Plain { function: func.clone().unbind(), arguments: args.clone().unbind() };
            return simulate(slf, call, Loop::waiter(slf)?);
        }
        if let Some(pool) = executor::takes_jobs(&executor)? {
            let call = Call::Plain { function: func.clone().unbind(), arguments: args.clone().unbind() };
            return submit(slf, pool, call);
        }
        let submit = executor.getattr(pyo3::intern!(py, "submit"))?;
        let work = if args.is_empty() {
            submit.call1((func,))?
        } else {
            let mut all = vec![func.clone()];
            all.extend(args.iter());
            submit.call1(memory::tuple(py, all)?)?
        };
        let future = executor_future::follow(slf, work)?;
        if base(slf).is_simulated() {
            base(slf).watch_job(&future)?;
        }
        Ok(future)
    }

    /// Set the executor that `run_in_executor(None`, …) uses: a `ThreadPoolExecutor`.
    fn set_default_executor(slf: &Bound<'_, Self>, executor: &Bound<'_, PyAny>) -> PyResult<()> {
        if !executor.is_instance(&imports::thread_pool(slf.py())?)? {
            return Err(ferrio_cpython::error::<PyTypeError>("executor must be ThreadPoolExecutor instance"));
        }
        slf.get().executors.set_default(slf.py(), Some(executor.clone().unbind()));
        Ok(())
    }

    /// Wait for the default executor's threads, in a separate thread.
    fn _do_shutdown(slf: &Bound<'_, Self>, future: &Bound<'_, PyAny>) -> PyResult<()> {
        join(slf, future)
    }

    #[getter]
    fn _default_executor<'py>(slf: &Bound<'py, Self>) -> Option<Bound<'py, PyAny>> {
        slf.get().executors.default(slf.py())
    }

    #[setter]
    #[pyo3(name = "_default_executor")]
    fn replace_default_executor(slf: &Bound<'_, Self>, executor: Option<Py<PyAny>>) {
        slf.get().executors.set_default(slf.py(), executor);
    }

    /// Wait for the default executor's threads to end, at most `timeout` seconds.
    #[pyo3(signature = (timeout=None))]
    fn shutdown_default_executor(slf: &Bound<'_, Self>, timeout: Option<Py<PyAny>>) -> PyResult<Py<PyAny>> {
        let this = slf.clone().unbind();
        let name = "EventLoop.shutdown_default_executor";
        Coroutine::spawn(slf.py(), name, |channel| shut_down(this, timeout, channel))
    }
}

fn default_executor<'py>(slf: &Bound<'py, Loop>) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    let executors = &slf.get().executors;
    if executors.shut_down.get() {
        return Err(ferrio_cpython::error::<PyRuntimeError>("Executor shutdown has been called"));
    }
    if let Some(executor) = executors.default(py) {
        return Ok(executor);
    }
    let executor = executor::new(py, "asyncio", None)?;
    executors.set_default(py, Some(executor.clone().unbind()));
    Ok(executor)
}

/// Runs `call` in the default executor, if that is a pool which takes jobs; gives back the call if it is not.
pub(crate) fn call_in_thread<'py>(slf: &Bound<'py, Loop>, call: Call) -> PyResult<Result<Bound<'py, PyAny>, Call>> {
    base(slf).check_open()?;
    let executor = default_executor(slf)?;
    match executor::takes_jobs(&executor)? {
        Some(pool) => submit(slf, pool, call).map(Ok),
        None => Ok(Err(call)),
    }
}

/// Looks a name up in the default executor, or, if a program's jobs keep all threads of a pool busy, in threads that are
/// for lookups alone: connecting is not to wait for jobs. Gives back the call if the executor is none of ferrio's pools.
pub(crate) fn look_up_in_thread<'py>(slf: &Bound<'py, Loop>, call: Call) -> PyResult<Result<Bound<'py, PyAny>, Call>> {
    let py = slf.py();
    base(slf).check_open()?;
    let executor = default_executor(slf)?;
    let Some(pool) = executor::takes_jobs(&executor)? else { return Ok(Err(call)) };
    if executor::begins_at_once(pool)? {
        return submit(slf, pool, call).map(Ok);
    }
    let executors = &slf.get().executors;
    let lookups = if let Some(lookups) = executors.lookups(py) {
        lookups
    } else {
        let lookups = executor::new(py, "asyncio_lookup", Some(LOOKUP_THREADS))?;
        let before = executors.lookups.with(py, |place| place.replace(lookups.clone().unbind()));
        drop(before);
        lookups
    };
    match executor::takes_jobs(&lookups)? {
        Some(pool) => submit(slf, pool, call).map(Ok),
        None => Ok(Err(call)),
    }
}

fn submit<'py>(slf: &Bound<'py, Loop>, pool: &Bound<'py, Pool>, call: Call) -> PyResult<Bound<'py, PyAny>> {
    let future = Loop::waiter(slf)?;
    if base(slf).has_simulated_io() {
        return simulate(slf, call, future);
    }
    executor::submit(pool, slf.as_super(), call, &future)?;
    if base(slf).is_simulated() {
        base(slf).watch_job(&future)?;
    }
    Ok(future)
}

/// Hands the call to a thread of the simulation.
#[cold]
fn simulate<'py>(slf: &Bound<'py, Loop>, call: Call, future: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if let Some((simulation, seams)) = base(slf).simulation(slf.py()) {
        let job = Job::linked(slf.as_super(), call, &future)?;
        (seams.submit)(&simulation, slf.as_super(), job.into_any())?;
    }
    Ok(future)
}

/// Shuts the default executor down without waiting for its threads, as closing a loop does.
pub(crate) fn close(slf: &Bound<'_, Loop>) -> PyResult<()> {
    let py = slf.py();
    let executors = &slf.get().executors;
    executors.shut_down.set(true);
    let (executor, lookups) = (executors.default(py), executors.lookups(py));
    executors.clear(py);
    for executor in lookups.iter().chain(&executor) {
        stop_without_waiting(executor)?;
    }
    Ok(())
}

fn stop_without_waiting(executor: &Bound<'_, PyAny>) -> PyResult<()> {
    let keywords = memory::dict(executor.py())?;
    keywords.set_item(name!("wait"), false)?;
    executor.call_method(name!("shutdown"), (), Some(&keywords)).map(drop)
}

async fn shut_down(this: Py<Loop>, timeout: Option<Py<PyAny>>, channel: Channel) -> PyResult<()> {
    let this = channel.own(this);
    let started = Python::attach(|py| {
        let slf = this.bind(py);
        let executors = &slf.get().executors;
        executors.shut_down.set(true);
        let Some(executor) = executors.default(py) else { return Ok::<_, PyErr>(None) };
        let joined = Loop::waiter(slf)?;
        let thread = joining_thread(slf, &joined)?;
        Frame::ShutdownDefaultExecutor.call(&thread.getattr(name!("start"))?, (), None)?;
        Ok(Some((executor.unbind(), joined.unbind(), thread.unbind())))
    })?;
    let Some((executor, joined, thread)) = started else {
        return Ok(());
    };
    let deadline = Python::attach(|py| {
        let argument = timeout.as_ref().map_or_else(|| py.None(), |timeout| timeout.clone_ref(py));
        imports::timeout(py)?.call1((argument,)).map(Bound::unbind)
    })?;
    let (deadline, executor, thread) = (channel.own(deadline), channel.own(executor), channel.own(thread));
    let entering = Python::attach(|py| deadline.call_method0(py, name!("__aenter__")))?;
    channel.wait(entering).await?;
    let outcome = channel.wait(joined).await;
    let leaving = Python::attach(|py| match &outcome {
        Ok(_) => deadline.call_method1(py, name!("__aexit__"), (py.None(), py.None(), py.None())),
        Err(error) => {
            deadline.call_method1(py, name!("__aexit__"), (error.get_type(py), error.value(py), error.traceback(py)))
        }
    })?;
    let outcome = channel.wait(leaving).await.and(outcome);
    Python::attach(|py| match outcome {
        Ok(_) => {
            let join = thread.bind(py).getattr(name!("join"))?;
            Frame::ShutdownDefaultExecutor.call(&join, (), None).map(drop)
        }
        Err(error) if error.is_instance_of::<PyTimeoutError>(py) => {
            warn_unfinished(py, timeout)?;
            if let Some(lookups) = this.bind(py).get().executors.lookups(py) {
                stop_without_waiting(&lookups)?;
            }
            let stop = executor.bind(py).getattr(name!("shutdown"))?;
            let keywords = memory::dict(py)?;
            keywords.set_item(name!("wait"), false)?;
            Frame::ShutdownDefaultExecutor.call(&stop, (), Some(&keywords)).map(drop)
        }
        Err(error) => Err(error),
    })
}

fn warn_unfinished(py: Python<'_>, timeout: Option<Py<PyAny>>) -> PyResult<()> {
    let seconds = timeout.unwrap_or_else(|| py.None());
    let text = format!("The executor did not finishing joining its threads within {seconds} seconds.");
    let text = std::ffi::CString::new(text)?;
    memory::warn(py, &py.get_type::<pyo3::exceptions::PyRuntimeWarning>(), &text)
}

/// Creates the thread that waits for the executor's threads and then sets the result of `joined` in the loop.
fn joining_thread<'py>(slf: &Bound<'py, Loop>, joined: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    let keywords = memory::dict(py)?;
    // A bound method, as in asyncio: the thread drops it at its end, and the garbage collector can see what it refers
    // to.
    keywords.set_item(name!("target"), slf.getattr(name!("_do_shutdown"))?)?;
    keywords.set_item(name!("args"), (joined,))?;
    imports::thread(py)?.call((), Some(&keywords))
}

/// The body of that thread.
fn join(slf: &Bound<'_, Loop>, joined: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = slf.py();
    let Some(executor) = slf.get().executors.default(py) else { return Ok(()) };
    let lookups = slf.get().executors.lookups(py);
    let mut outcome = executor.call_method0(name!("shutdown"));
    if let (Ok(_), Some(lookups)) = (&outcome, lookups) {
        outcome = lookups.call_method0(name!("shutdown"));
    }
    if base(slf).closed.get() {
        return Ok(());
    }
    match outcome {
        Ok(_) => {
            let set_result = imports::futures_module(py)?.getattr(name!("_set_result_unless_cancelled"))?;
            slf.call_method1(name!("call_soon_threadsafe"), (set_result, joined, py.None()))?;
        }
        Err(error) if error.is_instance_of::<PyException>(py) => {
            if !joined.call_method0(name!("cancelled"))?.is_truthy()? {
                let fail = joined.getattr(name!("set_exception"))?;
                slf.call_method1(name!("call_soon_threadsafe"), (fail, error.value(py)))?;
            }
        }
        Err(error) => return Err(error),
    }
    Ok(())
}
