//! Unix signals: `add_signal_handler`, and the wakeup descriptor through which a signal ends the wait for events.
//!
//! From its first sleep on, a loop that runs in the main thread has Python's C-level handler write each signal's number
//! into the loop's waker, so that no signal is lost between a check and a sleep. The previous descriptor is restored
//! when the run ends, but while signal handlers are registered the loop's own stays, as in asyncio. Python-level
//! handlers (Ctrl-C as `asyncio.Runner` sets it) run when the poll checks for signals.
//!
//! In a child made by `fork` the parent's handlers receive no signals, because asyncio removes the wakeup descriptor
//! there; the first handler that the child sets itself reactivates the others. Before 3.12 asyncio leaves the
//! descriptor in place, and so all handlers active: there the child immediately gets a pipe of its own under the same
//! descriptor number.

use std::collections::HashMap;

use ferrio_cpython::capi::memory;
use ferrio_cpython::objects::coroutine_check::is_coroutine;
use ferrio_cpython::objects::scheduling;
use ferrio_cpython::{GilCell, HandleRef, Runnable};
use ferrio_engine::Recorded;
use ferrio_sys::fork;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyWeakrefReference};
use pyo3::{PyTraverseError, PyVisit};

use crate::common::imports;
use crate::event_loop::exception_handler;
use crate::event_loop::io_driver::renew_waker;
use crate::event_loop::{Loop, base};

/// The registered handlers by signal number.
#[derive(Default)]
pub(crate) struct Signals {
    handlers: GilCell<HashMap<i32, HandleRef>>,
    /// What the current run did with the wakeup descriptor, and in which fork generation.
    wakeup: GilCell<(Wakeup, u32)>,
    /// The fork generation of the process in which the handlers are active.
    generation: GilCell<u32>,
}

/// Before 3.12: the last loop whose waker became the wakeup descriptor.
static LAST_LISTENER: GilCell<Option<Py<PyWeakrefReference>>> = GilCell::new(None);

/// The first version whose asyncio removes the wakeup descriptor in a forked child.
const RESETS_WAKEUP: (u8, u8) = (3, 12);

impl Signals {
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let outcome =
            self.handlers.traverse(visit, |handlers| handlers.values().try_for_each(|handle| handle.traverse(visit)));
        outcome.transpose().map(drop)
    }

    pub(crate) fn clear(&self, py: Python<'_>) {
        let handlers = self.handlers.with(py, std::mem::take);
        drop(handlers);
    }

    pub(crate) fn is_empty(&self, py: Python<'_>) -> bool {
        self.handlers.with(py, |handlers| handlers.is_empty())
    }

    /// Whether there are active handlers.
    fn listen(&self, py: Python<'_>) -> bool {
        self.is_active(py) && !self.is_empty(py)
    }

    /// Whether signals reach the handlers; handlers inherited from a parent process get none.
    fn is_active(&self, py: Python<'_>) -> bool {
        self.generation.get(py) == fork::generation()
    }
}

#[pymethods]
impl Loop {
    /// Call `callback(*args)` in the loop when the signal arrives. Main thread only.
    #[pyo3(signature = (sig, callback, *args))]
    fn add_signal_handler<'py>(
        slf: &Bound<'py, Self>,
        sig: &Bound<'py, PyAny>,
        callback: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
    ) -> PyResult<()> {
        let py = slf.py();
        refuse_coroutine(callback)?;
        let number = check_signal(sig)?;
        base(slf).check_open()?;
        let wakeup_fd = slf.get().io.ensure_waker(py, base(slf))?.unwrap_or(-1);
        if let Err(error) = imports::signal_set_wakeup_fd(py)?.call1((wakeup_fd,)) {
            // Not the main thread: asyncio turns the ValueError into a RuntimeError.
            return Err(as_runtime_error(py, error));
        }
        let handle = HandleRef::unscheduled(slf.as_super(), callback, args)?;
        let before = slf.get().signals.handlers.with(py, |handlers| handlers.insert(number, handle));
        drop(before);
        slf.get().signals.generation.set(py, fork::generation());
        note_wakeup(slf)?;
        if let Err(error) = install_python_handler(py, sig) {
            let ours = slf.get().signals.handlers.with(py, |handlers| handlers.remove(&number));
            drop(ours);
            if slf.get().signals.is_empty(py) {
                imports::signal_set_wakeup_fd(py)?.call1((-1,))?;
            }
            if is_invalid_argument(py, &error)? {
                return Err(ferrio_cpython::error::<PyRuntimeError>(format!("sig {number} cannot be caught")));
            }
            return Err(error);
        }
        Ok(())
    }

    /// Remove the handler of a signal; tells whether there was one.
    fn remove_signal_handler(slf: &Bound<'_, Self>, sig: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = slf.py();
        let number = check_signal(sig)?;
        let handle = slf.get().signals.handlers.with(py, |handlers| handlers.remove(&number));
        if handle.is_none() {
            return Ok(false);
        }
        drop(handle);
        restore_default(py, number)?;
        // A run that set the descriptor itself restores the previous one at its end.
        let set_by_run = matches!(slf.get().signals.wakeup.get(py).0, Wakeup::Replaced(_));
        if slf.get().signals.is_empty(py) && !set_by_run {
            imports::signal_set_wakeup_fd(py)?.call1((-1,))?;
        }
        Ok(true)
    }
}

/// What a run did with the wakeup descriptor.
#[derive(Clone, Copy, Default)]
enum Wakeup {
    /// Nothing so far.
    #[default]
    Untouched,
    /// Left it unchanged: the run is not in the main thread, or the descriptor belongs to other code.
    LeftAlone,
    /// Set the loop's own descriptor; the value is the previous one.
    Replaced(i32),
}

/// Makes signals end the coming sleep, and calls the handlers of signals that arrived before they could.
pub(crate) fn before_sleep(slf: &Bound<'_, Loop>) -> PyResult<()> {
    let py = slf.py();
    let wakeup = &slf.get().signals.wakeup;
    let (found, generation) = wakeup.get(py);
    // A run that continues in a forked child sets it again: there it was removed, or refers to another pipe.
    let is_new = matches!(found, Wakeup::Untouched) || generation != fork::generation();
    if is_new {
        let found = take_wakeup_fd(slf)?;
        wakeup.set(py, (found, fork::generation()));
    }
    // Before the descriptor was set, or if it is not the loop's, a signal leaves no byte that would end the sleep.
    if is_new || !matches!(found, Wakeup::Replaced(_)) { py.check_signals() } else { Ok(()) }
}

fn take_wakeup_fd(slf: &Bound<'_, Loop>) -> PyResult<Wakeup> {
    let py = slf.py();
    let Some(fd) = waker_fd(slf) else { return Ok(Wakeup::LeftAlone) };
    if !in_main_thread(py)? {
        return Ok(Wakeup::LeftAlone);
    }
    let before = set_wakeup_fd(py, fd)?;
    if before != -1 && before != fd && !slf.get().signals.listen(py) {
        // The code that set it (a GUI's or another library's loop) relies on it; a signal still ends the wait by EINTR.
        set_wakeup_fd(py, before)?;
        return Ok(Wakeup::LeftAlone);
    }
    note_wakeup(slf)?;
    Ok(Wakeup::Replaced(before))
}

/// Restores the previous wakeup descriptor, unless signal handlers still need the loop's own.
pub(crate) fn end_run(slf: &Bound<'_, Loop>) -> PyResult<()> {
    let py = slf.py();
    let (found, _) = slf.get().signals.wakeup.with(py, std::mem::take);
    let Wakeup::Replaced(before) = found else { return Ok(()) };
    let ours = waker_fd(slf).unwrap_or(-1);
    if slf.get().signals.listen(py) {
        return Ok(());
    }
    let restored = if before == ours { -1 } else { before };
    let current = set_wakeup_fd(py, restored)?;
    if current != ours && current != -1 {
        // Other code replaced it during the run: that descriptor stays.
        set_wakeup_fd(py, current)?;
    }
    Ok(())
}

/// Drains the waker and queues the handlers of the signals that arrived.
pub(crate) fn receive(slf: &Bound<'_, Loop>) -> PyResult<()> {
    let py = slf.py();
    // Reserved before the numbers are read; 64 is exceeded only if a program sends one signal over and over.
    base(slf).reserve(py, 64)?;
    let mut numbers = Vec::new();
    let drained = base(slf).waker.with(py, |waker| waker.as_ref().map(|waker| waker.drain(&mut numbers)));
    drained.transpose().map_err(|error| exception_handler::from_io(&error))?;
    if !slf.get().signals.is_active(py) {
        return Ok(());
    }
    for number in numbers {
        deliver(slf, number.into())?;
    }
    Ok(())
}

/// Queues the handler of a signal, if there is one.
pub(crate) fn deliver(slf: &Bound<'_, Loop>, number: i32) -> PyResult<()> {
    let py = slf.py();
    let handle =
        slf.get().signals.handlers.with(py, |handlers| handlers.get(&number).map(|handle| handle.clone_ref(py)));
    let Some(handle) = handle else { return Ok(()) };
    if slf.get().io.tape.is_on() {
        slf.get().io.tape.note(py, &Recorded::Signal(number.unsigned_abs()));
    }
    if !handle.is_cancelled() {
        return base(slf).push(py, Runnable::Handle(handle));
    }
    let handle = slf.get().signals.handlers.with(py, |handlers| handlers.remove(&number));
    drop(handle);
    restore_default(py, number)
}

/// Removes all handlers, as closing a loop does.
pub(crate) fn close(slf: &Bound<'_, Loop>) -> PyResult<()> {
    let py = slf.py();
    let numbers: Vec<i32> = slf.get().signals.handlers.with(py, |handlers| handlers.keys().copied().collect());
    if numbers.is_empty() {
        return Ok(());
    }
    if imports::is_finalizing(py)?.call0()?.is_truthy()? {
        let text =
            format!("Closing the loop {} on interpreter shutdown stage, skipping signal handlers removal", slf.repr()?);
        let keywords = memory::dict(py)?;
        keywords.set_item(name!("source"), slf)?;
        imports::warn_now(py)?.call((text, imports::resource_warning(py)?), Some(&keywords))?;
        slf.get().signals.clear(py);
        return Ok(());
    }
    for number in numbers {
        slf.call_method1(name!("remove_signal_handler"), (number,))?;
    }
    Ok(())
}

/// Records that the loop's waker is now the wakeup descriptor.
fn note_wakeup(slf: &Bound<'_, Loop>) -> PyResult<()> {
    let py = slf.py();
    if imports::python_version(py) < RESETS_WAKEUP {
        let reference = PyWeakrefReference::new(slf.as_any())?.unbind();
        let before = LAST_LISTENER.with(py, |place| place.replace(reference));
        drop(before);
    }
    Ok(())
}

/// Registers the fork hooks, by which each child learns that it was forked.
///
/// # Errors
/// `OSError` if the C library has no memory for the hook.
pub(crate) fn watch_forks(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    fork::watch().map_err(|error| exception_handler::from_io(&error))?;
    if imports::python_version(py) < RESETS_WAKEUP {
        let keywords = memory::dict(py)?;
        keywords.set_item(name!("after_in_child"), pyo3::wrap_pyfunction!(listen_on, module)?)?;
        ferrio_cpython::module(py, name!("os"))?.getattr(name!("register_at_fork"))?.call((), Some(&keywords))?;
    }
    Ok(())
}

/// In the child: signals go on reaching the handlers, through a pipe that is not the parent's.
#[pyfunction]
fn listen_on(py: Python<'_>) -> PyResult<()> {
    let reference = LAST_LISTENER.with(py, |place| place.as_ref().map(|reference| reference.clone_ref(py)));
    let Some(owner) = reference.and_then(|reference| reference.bind(py).upgrade()) else { return Ok(()) };
    let slf = owner.cast::<Loop>()?;
    renew_waker(py, base(slf)).map_err(|error| exception_handler::from_io(&error))?;
    slf.get().signals.generation.set(py, fork::generation());
    Ok(())
}

fn waker_fd(slf: &Bound<'_, Loop>) -> Option<i32> {
    base(slf).waker.with(slf.py(), |waker| waker.as_ref().map(|waker| waker.write_fd()))
}

fn in_main_thread(py: Python<'_>) -> PyResult<bool> {
    let main = imports::main_thread(py)?.call0()?.getattr(pyo3::intern!(py, "ident"))?;
    main.eq(imports::get_ident(py)?.call0()?)
}

fn set_wakeup_fd(py: Python<'_>, fd: i32) -> PyResult<i32> {
    let keywords = memory::dict(py)?;
    keywords.set_item(pyo3::intern!(py, "warn_on_full_buffer"), false)?;
    imports::signal_set_wakeup_fd(py)?.call((fd,), Some(&keywords))?.extract()
}

/// asyncio's `_check_signal`.
fn check_signal(sig: &Bound<'_, PyAny>) -> PyResult<i32> {
    if !sig.is_instance_of::<pyo3::types::PyInt>() {
        return Err(ferrio_cpython::error::<PyTypeError>(format!("sig must be an int, not {}", sig.repr()?)));
    }
    if !imports::signal_valid_signals(sig.py())?.call0()?.contains(sig)? {
        return Err(ferrio_cpython::error::<PyValueError>(format!("invalid signal number {sig}")));
    }
    sig.extract()
}

fn refuse_coroutine(callback: &Bound<'_, PyAny>) -> PyResult<()> {
    if is_coroutine(callback)? || scheduling::is_coroutine_function(callback)? {
        return Err(ferrio_cpython::error::<PyTypeError>("coroutines cannot be used with add_signal_handler()"));
    }
    Ok(())
}

/// Installs a Python-level handler that does nothing, so that the C-level one runs and writes to the wakeup descriptor.
fn install_python_handler(py: Python<'_>, sig: &Bound<'_, PyAny>) -> PyResult<()> {
    let nothing = ferrio_cpython::module(py, name!("asyncio.unix_events"))?.getattr(name!("_sighandler_noop"))?;
    imports::signal_module_signal(py)?.call1((sig, nothing))?;
    // The kernel restarts system calls that the signal interrupts.
    imports::signal_siginterrupt(py)?.call1((sig, false))?;
    Ok(())
}

fn restore_default(py: Python<'_>, number: i32) -> PyResult<()> {
    let signal = ferrio_cpython::module(py, name!("signal"))?;
    let handler = if signal.getattr(name!("SIGINT"))?.eq(number)? {
        imports::default_int_handler(py)?.clone()
    } else {
        signal.getattr(name!("SIG_DFL"))?
    };
    match imports::signal_module_signal(py)?.call1((number, handler)) {
        Ok(_) => Ok(()),
        Err(error) if is_invalid_argument(py, &error)? => {
            Err(ferrio_cpython::error::<PyRuntimeError>(format!("sig {number} cannot be caught")))
        }
        Err(error) => Err(error),
    }
}

fn is_invalid_argument(py: Python<'_>, error: &PyErr) -> PyResult<bool> {
    if !error.is_instance_of::<PyOSError>(py) {
        return Ok(false);
    }
    error.value(py).getattr(name!("errno"))?.eq(ferrio_cpython::module(py, name!("errno"))?.getattr(name!("EINVAL"))?)
}

fn as_runtime_error(py: Python<'_>, error: PyErr) -> PyErr {
    if error.is_instance_of::<PyValueError>(py) || error.is_instance_of::<PyOSError>(py) {
        return ferrio_cpython::error::<PyRuntimeError>(error.value(py).to_string());
    }
    error
}
