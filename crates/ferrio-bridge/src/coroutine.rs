//! The coroutine object around a Rust future: what a task steps, or another coroutine awaits.
//!
//! A step polls the future once. What the task then waits for is one of three: the object that the future's only
//! `await_py` waits for; a bare yield, if the future was woken during the poll; else an asyncio future that the waker
//! completes. Only the step that runs takes the future from its place.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use pyo3::exceptions::{
    PyGeneratorExit, PyRecursionError, PyRuntimeError, PyRuntimeWarning, PyStopIteration, PyTypeError, PyValueError,
};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyString};
use pyo3::{PyTraverseError, PyVisit};

use crate::await_py::{closing, wake_when_done};
use crate::futures::{self, Body, Place, Wait};
use crate::inbox::Message;
use crate::loop_bridge::LoopBridge;
use crate::native;
use crate::panics::{caught, drop_caught, for_python, report_unraisable};
use crate::polling::{self, Offer, Polling};
use crate::task_waker::TaskWaker;

// Stages.
const CREATED: u8 = 0;
const RUNNING: u8 = 1;
const SUSPENDED: u8 = 2;
const FINISHED: u8 = 3;

/// A coroutine whose body is a Rust future.
#[pyclass(frozen, weakref, module = "ferrio_bridge", name = "Coroutine")]
pub(crate) struct Coroutine {
    name: &'static str,
    stage: AtomicU8,
    place: Place,
    /// What drives the code of the await in which the task waits itself. It is here, and not with the future, because
    /// tools ask on other threads.
    awaited: Mutex<Option<Py<PyIterator>>>,
    /// Wakes the task that drives it. `waker` is the same object.
    task_waker: Arc<TaskWaker>,
    waker: Waker,
}

/// How a step ends.
enum Step<'py> {
    Yielded(Bound<'py, PyAny>),
    Returned(Bound<'py, PyAny>),
}

impl Coroutine {
    pub(crate) fn new(py: Python<'_>, name: &'static str, body: Body, bridge: Option<Py<LoopBridge>>) -> Self {
        // The interpreter may end a daemon thread in any of the calls that a future makes.
        ferrio_sys::park_threads_ended_by_force();
        let task_waker = Arc::new(TaskWaker::new());
        Self {
            name,
            // So that it does not warn if it never becomes an object.
            stage: AtomicU8::new(FINISHED),
            place: futures::insert(py, body, bridge),
            awaited: Mutex::new(None),
            waker: Waker::from(Arc::clone(&task_waker)),
            task_waker,
        }
    }

    /// The object.
    pub(crate) fn into_object(self, py: Python<'_>) -> PyResult<Bound<'_, Self>> {
        let object = Bound::new(py, self)?;
        object.get().stage.store(CREATED, Ordering::Release);
        Ok(object)
    }

    /// Resumes it.
    fn advance<'py>(&self, py: Python<'py>, thrown: Option<PyErr>) -> PyResult<Step<'py>> {
        let before = self.stage.swap(RUNNING, Ordering::AcqRel);
        if before == RUNNING {
            return Err(PyValueError::new_err("coroutine already executing"));
        }
        if before == FINISHED {
            self.stage.store(FINISHED, Ordering::Release);
            return Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine"));
        }
        if !self.place.is_here() {
            self.stage.store(before, Ordering::Release);
            return Err(PyRuntimeError::new_err("a Rust future can only run on the thread that created it"));
        }
        let outcome = self.run(py, thrown);
        let is_suspended = matches!(outcome, Ok(Step::Yielded(_)));
        if !is_suspended {
            self.task_waker.reset();
        }
        self.stage.store(if is_suspended { SUSPENDED } else { FINISHED }, Ordering::Release);
        outcome
    }

    fn run<'py>(&self, py: Python<'py>, mut thrown: Option<PyErr>) -> PyResult<Step<'py>> {
        let Some(mut future) = self.place.take() else {
            return Err(PyRuntimeError::new_err("the event loop of this coroutine is closed"));
        };
        let resumed = future.wait.direct.take();
        if resumed.is_some() {
            self.set_awaited(None);
        }
        if resumed.is_none()
            && let Some(error) = thrown.take()
        {
            if error.is_instance_of::<PyGeneratorExit>(py) {
                closing(|| drop_caught(py, future));
            } else {
                drop_caught(py, future);
            }
            return Err(error);
        }
        if polling::is_too_deep() {
            drop_caught(py, future);
            return Err(PyRecursionError::new_err("maximum recursion depth exceeded while resuming a Rust future"));
        }
        self.task_waker.reset();
        let (outcome, mut polling) = Polling::new(&self.waker, resumed, thrown)
            .during(|| caught(|| future.body.as_mut().poll(&mut Context::from_waker(&self.waker))));
        match (outcome, polling.take_thrown()) {
            (Ok(Poll::Pending), None) => {
                let step = self.suspend(py, &mut future.wait, polling.take_offered());
                if step.is_ok() {
                    self.place.put_back(future);
                } else {
                    drop_caught(py, future);
                }
                step
            }
            (Ok(Poll::Ready(result)), _) => {
                drop_caught(py, future);
                result.map(|value| Step::Returned(value.into_bound(py)))
            }
            // The await that the exception was meant for is gone, so it is the whole future's.
            (Ok(Poll::Pending), Some(error)) | (Err(error), _) => {
                drop_caught(py, future);
                Err(error)
            }
        }
    }

    /// Chooses what the task waits for.
    fn suspend<'py>(&self, py: Python<'py>, wait: &mut Wait, offered: Option<Offer>) -> PyResult<Step<'py>> {
        if let Some(Offer { number, iterator, yielded }) = offered {
            // Two are its own: any other is a waker that someone has kept.
            if Arc::strong_count(&self.task_waker) == 2 && !self.task_waker.is_woken() {
                wait.direct = Some(number);
                self.set_awaited(Some(iterator));
                return Ok(Step::Yielded(yielded.into_bound(py)));
            }
            if !wait.watched.as_ref().is_some_and(|watched| watched.is(&yielded)) {
                wake_when_done(yielded.bind(py), &self.waker)?;
                wait.watched = Some(yielded);
            }
        }
        if self.task_waker.is_woken() {
            return Ok(Step::Yielded(py.None().into_bound(py)));
        }
        let bridge = match &wait.bridge {
            Some(bridge) => bridge,
            None => wait.bridge.insert(LoopBridge::of(&native::running_loop(py)?)?),
        };
        let future = bridge.get().blocking_future(py)?;
        match self.task_waker.wait_for(py, bridge, future.clone().unbind()) {
            Ok(()) => Ok(Step::Yielded(future)),
            // Another thread was faster.
            Err(_) => Ok(Step::Yielded(py.None().into_bound(py))),
        }
    }

    fn set_awaited(&self, iterator: Option<Py<PyIterator>>) {
        let before = std::mem::replace(&mut *self.awaited(), iterator);
        drop(before);
    }

    /// No Python code runs and nothing is dropped under this lock.
    fn awaited(&self) -> MutexGuard<'_, Option<Py<PyIterator>>> {
        self.awaited.lock().expect("no code panics under this lock")
    }

    /// Drops the future, and closes what it awaits.
    fn close_future(&self, py: Python<'_>) {
        closing(|| drop_caught(py, self.place.take()));
        self.set_awaited(None);
        self.task_waker.reset();
    }
}

#[pymethods]
impl Coroutine {
    /// The version of the bridge in the extension, for tools.
    #[classattr]
    #[pyo3(name = "__ferrio_bridge__")]
    const BRIDGE: (u32, u32) = ferrio_capsule::VERSION;

    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        for_python(py, || match self.advance(py, None)? {
            Step::Yielded(object) => Ok(Some(object)),
            // Cheaper than an exception without a value, and means the same.
            Step::Returned(value) if value.is_none() => Ok(None),
            Step::Returned(value) => Err(stop_with(&value)),
        })
    }

    fn send<'py>(&self, py: Python<'py>, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        for_python(py, || {
            if !value.is_none() && self.stage.load(Ordering::Acquire) == CREATED {
                return Err(PyTypeError::new_err("can't send non-None value to a just-started coroutine"));
            }
            raising_stop(self.advance(py, None)?)
        })
    }

    #[pyo3(signature = (kind, value=None, traceback=None, /))]
    fn throw<'py>(
        &self,
        py: Python<'py>,
        kind: Bound<'py, PyAny>,
        value: Option<Bound<'py, PyAny>>,
        traceback: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        for_python(py, || {
            let exception = match value {
                Some(value) if value.is_instance_of::<pyo3::exceptions::PyBaseException>() => value,
                Some(value) => kind.call1((value,))?,
                None => kind,
            };
            let error = PyErr::from_value(exception);
            if let Some(traceback) = traceback {
                error.set_traceback(py, Some(traceback.cast_into()?));
            }
            raising_stop(self.advance(py, Some(error))?)
        })
    }

    /// Drops the future. It is not told, but Python code that it awaits is closed.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        for_python(py, || {
            let before = self.stage.swap(RUNNING, Ordering::AcqRel);
            if before == RUNNING {
                return Err(PyValueError::new_err("coroutine already executing"));
            }
            if before != FINISHED {
                if !self.place.is_here() {
                    self.stage.store(before, Ordering::Release);
                    return Err(PyRuntimeError::new_err(
                        "a Rust future can only be closed on the thread that created it",
                    ));
                }
                self.close_future(py);
            }
            self.stage.store(FINISHED, Ordering::Release);
            Ok(())
        })
    }

    #[getter]
    fn __name__(&self) -> &'static str {
        self.name.rsplit("::").next().unwrap_or(self.name)
    }

    #[getter]
    fn __qualname__(&self) -> &'static str {
        self.name
    }

    #[getter]
    fn cr_running(&self) -> bool {
        self.stage.load(Ordering::Acquire) == RUNNING
    }

    #[getter]
    fn cr_suspended(&self) -> bool {
        self.stage.load(Ordering::Acquire) == SUSPENDED
    }

    /// What drives the object that it awaits, if that is a single one of Python's.
    #[getter]
    fn cr_await(&self, py: Python<'_>) -> Option<Py<PyIterator>> {
        self.awaited().as_ref().map(|iterator| iterator.clone_ref(py))
    }

    fn __repr__<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::new(py, &format!("<coroutine object {}>", self.name))
    }

    /// Shows what it waits for. A waker that someone has kept may wake it, so then it is not garbage, even if no other
    /// object refers to its task.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let visited = self.place.look(|wait| {
            visit.call(&wait.bridge)?;
            if let Ok(awaited) = self.awaited.try_lock() {
                visit.call(&*awaited)?;
            }
            visit.call(&wait.watched)
        });
        visited.unwrap_or(Ok(()))?;
        if Arc::strong_count(&self.task_waker) > 2 { Ok(()) } else { self.task_waker.traverse(&visit) }
    }

    fn __clear__(&self, py: Python<'_>) {
        if self.place.is_here() && self.stage.swap(FINISHED, Ordering::AcqRel) != FINISHED {
            self.close_future(py);
        }
    }
}

fn raising_stop(step: Step<'_>) -> PyResult<Bound<'_, PyAny>> {
    match step {
        Step::Yielded(object) => Ok(object),
        Step::Returned(value) => Err(stop_with(&value)),
    }
}

/// `StopIteration` with a value, even if that is a tuple or an exception.
fn stop_with(value: &Bound<'_, PyAny>) -> PyErr {
    value.py().get_type::<PyStopIteration>().call1((value,)).map_or_else(|error| error, PyErr::from_value)
}

impl Drop for Coroutine {
    fn drop(&mut self) {
        let stage = *self.stage.get_mut();
        Python::try_attach(|py| {
            // A destructor may run while an exception is on its way.
            let pending = PyErr::take(py);
            if stage == CREATED {
                let _ = caught(|| warn_never_awaited(py, self.name));
            }
            self.place.release(py);
            if !self.place.is_here()
                && let Some(inbox) = self.task_waker.inbox()
            {
                // A closed loop's thread drops it when it next stores a future.
                let _ = inbox.push(Message::DropAbandoned);
            }
            if let Some(pending) = pending {
                pending.restore(py);
            }
        });
    }
}

#[cold]
fn warn_never_awaited(py: Python<'_>, name: &str) {
    let warn = || {
        let text = PyString::new(py, &format!("coroutine '{name}' was never awaited"));
        let warnings = py.import(intern!(py, "warnings"))?;
        warnings.call_method1(intern!(py, "warn"), (text, py.get_type::<PyRuntimeWarning>()))
    };
    if let Err(error) = warn() {
        report_unraisable(py, error, None);
    }
}
