//! `Runner`: one loop for many coroutines.
//!
//! States: *created*, *initialized* (there is a loop), *closed*. The loop is created on first use: by the factory, or
//! otherwise by `asyncio.new_event_loop()`, whose policy a program may have set; it then becomes the thread's current
//! loop. Unless `install()` has replaced asyncio's class by this one, a runner without a factory creates a ferrio loop.

use ferrio_cpython::capi::context::copy_current;
use ferrio_cpython::capi::exception_state::while_handling;
use ferrio_cpython::capi::held_frames::{Frame, left_by};
use ferrio_cpython::capi::memory;
use ferrio_cpython::objects::coroutine_check::is_coroutine;
use ferrio_cpython::objects::loop_base::task_number;
use ferrio_cpython::{GilCell, LoopBase};
use ferrio_engine::Recorded;
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use super::sigint::Interrupts;
use super::{check_not_running, close};
use crate::common::imports;
use crate::event_loop::Loop;
use crate::event_loop::nested_runs;
use crate::locks::is_cancellation;
use crate::tasks::wrap_awaitable;

/// A context manager that controls the life of an event loop.
///
/// Within it any number of coroutines can be run, one after the other, on one loop; when it is left the loop is shut
/// down and closed. `debug` sets the loop's debug mode, `loop_factory` makes the loop.
#[pyclass(frozen, subclass, weakref, dict, module = "ferrio")]
pub(crate) struct Runner {
    pub(super) inner: GilCell<Inner>,
}

/// The fields are asyncio's, with `_` in front and the names in `attributes.rs`.
#[derive(Default)]
pub(super) struct Inner {
    pub(super) state: State,
    pub(super) debug: Option<Py<PyAny>>,
    pub(super) factory: Option<Py<PyAny>>,
    pub(super) owner: Option<Py<PyAny>>,
    /// The context of coroutines that are run without one of their own.
    pub(super) context: Option<Py<PyAny>>,
    /// The number of Ctrl-C presses during this run.
    pub(super) interrupt_count: usize,
    /// Whether the loop became the thread's current one.
    pub(super) set_event_loop: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Created,
    Initialized,
    Closed,
}

#[pymethods]
impl Runner {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords), text_signature = "(*, debug=None, loop_factory=None)")]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Self {
        Self { inner: GilCell::default() }
    }

    #[pyo3(signature = (*, debug=None, loop_factory=None))]
    fn __init__(&self, py: Python<'_>, debug: Option<Py<PyAny>>, loop_factory: Option<Py<PyAny>>) {
        let fresh = Inner { debug, factory: loop_factory, ..Inner::default() };
        let before = self.inner.with(py, |inner| std::mem::replace(inner, fresh));
        drop(before);
    }

    fn __enter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        Self::initialize(slf)?;
        Ok(slf.clone())
    }

    fn __exit__(
        slf: &Bound<'_, Self>,
        _exc_type: &Bound<'_, PyAny>,
        _exc_val: &Bound<'_, PyAny>,
        _exc_tb: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        Self::close(slf)
    }

    /// Shutdown and close event loop.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().state(py) != State::Initialized {
            return Ok(());
        }
        let owner = slf.get().owner(py);
        match close::shut_down(&owner) {
            Ok(()) => slf.get().end(&owner),
            Err(error) => {
                while_handling(py, &error, || slf.get().end(&owner))?;
                Err(error)
            }
        }
    }

    /// Return embedded event loop.
    fn get_loop<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::initialize(slf)?;
        Ok(slf.get().owner(slf.py()))
    }

    /// Run code in the embedded event loop.
    #[pyo3(signature = (coro, *, context=None))]
    fn run<'py>(
        slf: &Bound<'py, Self>,
        coro: &Bound<'py, PyAny>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let takes_awaitables = takes_awaitables(py)?;
        let is_coroutine = || is_coroutine(coro);
        if !takes_awaitables && !is_coroutine()? {
            return Err(ferrio_cpython::error::<PyValueError>(format!(
                "a coroutine was expected, got {}",
                coro.repr()?
            )));
        }
        check_not_running(py, "Runner.run() cannot be called from a running event loop")?;
        Self::initialize(slf)?;
        let coroutine = if !takes_awaitables || is_coroutine()? { coro.clone() } else { wrap_awaitable(coro)? };
        let context =
            context.or_else(|| slf.get().inner.with(py, |inner| inner.context.as_ref().map(|own| own.clone_ref(py))));
        let owner = slf.get().owner(py);
        let keywords = memory::dict(py)?;
        keywords.set_item(pyo3::intern!(py, "context"), context)?;
        let task = owner.call_method(pyo3::intern!(py, "create_task"), (coroutine,), Some(&keywords))?;
        let interrupts = Interrupts::redirect(slf, &task)?;
        slf.get().inner.with(py, |inner| inner.interrupt_count = 0);
        match owner.call_method1(pyo3::intern!(py, "run_until_complete"), (&task,)) {
            Ok(result) => {
                interrupts.put_back(py)?;
                Ok(result)
            }
            Err(error) => {
                let error = slf.get().without_interrupt(&task, error)?;
                while_handling(py, &error, || interrupts.put_back(py))?;
                Err(left_by(Frame::Runner, &task, error))
            }
        }
    }

    #[pyo3(name = "_lazy_init")]
    fn initialize(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        match this.state(py) {
            State::Closed => return Err(ferrio_cpython::error::<PyRuntimeError>("Runner is closed")),
            State::Initialized => return Ok(()),
            State::Created => {}
        }
        let factory = this.inner.with(py, |inner| inner.factory.as_ref().map(|factory| factory.clone_ref(py)));
        let owner = if let Some(factory) = factory {
            this.keep(factory.bind(py).call0()?)
        } else {
            let owner = this.keep(default_loop(py)?);
            if !this.inner.with(py, |inner| inner.set_event_loop) {
                imports::events_module(py)?.call_method1(name!("set_event_loop"), (&owner,))?;
                this.inner.with(py, |inner| inner.set_event_loop = true);
            }
            owner
        };
        let debug = this.inner.with(py, |inner| inner.debug.as_ref().map(|debug| debug.clone_ref(py)));
        if let Some(debug) = debug {
            owner.call_method1(name!("set_debug"), (debug,))?;
        }
        let context = copy_current(py)?.unbind();
        let before = this.inner.with(py, |inner| inner.context.replace(context));
        this.inner.with(py, |inner| inner.state = State::Initialized);
        drop(before);
        Ok(())
    }

    /// What Ctrl-C calls: the first cancels the main task, the second comes out at once.
    fn _on_sigint(
        &self,
        py: Python<'_>,
        signum: &Bound<'_, PyAny>,
        frame: &Bound<'_, PyAny>,
        main_task: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (signum, frame);
        let count = self.inner.with(py, |inner| {
            inner.interrupt_count += 1;
            inner.interrupt_count
        });
        if count == 1 && !main_task.call_method0(name!("done"))?.is_truthy()? {
            if let Ok(owner) = self.owner(py).cast::<Loop>() {
                let is_running = LoopBase::running_number(owner.as_super()) == task_number(main_task);
                owner.get().io.tape.note(py, &Recorded::Interrupt(is_running));
            }
            main_task.call_method0(name!("cancel"))?;
            // Wakes the loop, which may be waiting for events.
            self.owner(py).call_method1(name!("call_soon_threadsafe"), (pyo3::wrap_pyfunction!(nothing, py)?,))?;
            return Ok(());
        }
        Err(ferrio_cpython::error::<PyKeyboardInterrupt>(()))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let outcome = self.inner.traverse(&visit, |inner| {
            [&inner.debug, &inner.factory, &inner.owner, &inner.context]
                .into_iter()
                .flatten()
                .try_for_each(|object| visit.call(object))
        });
        outcome.transpose().map(drop)
    }

    fn __clear__(&self, py: Python<'_>) {
        let before = self.inner.with(py, std::mem::take);
        drop(before);
    }
}

impl Runner {
    /// The body of `asyncio.run`.
    pub(super) fn run_once<'py>(
        main: &Bound<'py, PyAny>,
        debug: Option<Py<PyAny>>,
        factory: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = main.py();
        if let Some(outcome) = nested_runs::run_on_running(main, debug.as_ref())? {
            return Ok(outcome);
        }
        check_not_running(py, "asyncio.run() cannot be called from a running event loop")?;
        let inner = Inner { debug, factory, ..Inner::default() };
        let runner = Bound::new(py, Self { inner: GilCell::new(inner) })?;
        Self::initialize(&runner)?;
        match Self::run(&runner, main, None) {
            Ok(result) => {
                Self::close(&runner)?;
                Ok(result)
            }
            Err(error) => {
                while_handling(py, &error, || Self::close(&runner))?;
                Err(error)
            }
        }
    }

    pub(super) fn state(&self, py: Python<'_>) -> State {
        self.inner.with(py, |inner| inner.state)
    }

    /// The loop, or None.
    fn owner<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        let owner = self.inner.with(py, |inner| inner.owner.as_ref().map(|owner| owner.bind(py).clone()));
        owner.unwrap_or_else(|| py.None().into_bound(py))
    }

    fn keep<'py>(&self, owner: Bound<'py, PyAny>) -> Bound<'py, PyAny> {
        let before = self.inner.with(owner.py(), |inner| inner.owner.replace(owner.clone().unbind()));
        drop(before);
        owner
    }

    /// Closes the loop after its shutdown.
    fn end(&self, owner: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = owner.py();
        if self.inner.with(py, |inner| inner.set_event_loop) {
            imports::events_module(py)?.call_method1(name!("set_event_loop"), (py.None(),))?;
        }
        owner.call_method0(name!("close"))?;
        let before = self.inner.with(py, |inner| {
            inner.state = State::Closed;
            inner.owner.take()
        });
        drop(before);
        Ok(())
    }

    /// Turns a cancellation that Ctrl-C caused into `KeyboardInterrupt`, unless the task was also cancelled otherwise.
    fn without_interrupt(&self, task: &Bound<'_, PyAny>, error: PyErr) -> PyResult<PyErr> {
        let py = task.py();
        if !is_cancellation(py, &error)? || self.inner.with(py, |inner| inner.interrupt_count) == 0 {
            return Ok(error);
        }
        let is_interrupt = while_handling(py, &error, || match task.getattr_opt(name!("uncancel"))? {
            Some(uncancel) if !uncancel.is_none() => uncancel.call0()?.eq(0),
            _ => Ok(false),
        });
        if !is_interrupt.unwrap_or(false) {
            return Ok(error);
        }
        // Created while the cancellation is being handled, so that it becomes its context.
        Ok(while_handling(py, &error, || ferrio_cpython::error::<PyKeyboardInterrupt>(())))
    }
}

/// Wakes a loop by being called.
#[pyfunction]
fn nothing() {}

/// The loop of a runner without a factory.
fn default_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let installed = imports::runners_module(py)?.getattr(name!("Runner"))?.is(py.get_type::<Runner>());
    if installed {
        imports::events_module(py)?.call_method0(name!("new_event_loop"))
    } else {
        imports::event_loop(py)?.call0()
    }
}

/// Whether the running Python's runners accept awaitables that are not coroutines.
///
/// # Errors
/// `ImportError` if asyncio cannot be imported.
pub(super) fn takes_awaitables(py: Python<'_>) -> PyResult<bool> {
    static CELL: PyOnceLock<bool> = PyOnceLock::new();
    let find = || {
        let code =
            imports::runners_module(py)?.getattr(name!("Runner"))?.getattr(name!("run"))?.getattr(name!("__code__"))?;
        code.getattr(name!("co_names"))?.contains("isawaitable")
    };
    CELL.get_or_try_init(py, find).copied()
}
