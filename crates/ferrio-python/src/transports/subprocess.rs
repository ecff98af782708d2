//! `SubprocessTransport`: a child process, its pipes and its protocol.
//!
//! The process is a `subprocess.Popen`; its pipes have transports of their own, whose protocols are asyncio's and tell this
//! transport. What happens while the pipes are being connected waits (`pending`) until `connection_made` is called.
//! Invariant: `connection_lost` is called once, after the process has ended and all its pipes are closed.

use ferrio_cpython::{GilCell, HandleRef, Runnable};
use ferrio_sys::child::Watch;
use pyo3::exceptions::{PyAssertionError, PyPermissionError, PyProcessLookupError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::coroutine::Coroutine;
use crate::event_loop::{Loop, base};
use crate::imports;

/// A child process; its `__class__` says `asyncio.SubprocessTransport`.
#[pyclass(frozen, weakref, module = "ferrio")]
pub(crate) struct SubprocessTransport {
    extra: Py<PyDict>,
    state: GilCell<State>,
}

struct State {
    /// None once the connection is lost.
    owner: Option<Py<Loop>>,
    /// None once the connection is lost.
    protocol: Option<Py<PyAny>>,
    /// The `subprocess.Popen`; None until it is started and once the connection is lost.
    process: Option<Py<PyAny>>,
    pid: Option<i32>,
    /// None while the process runs, or is not known to have ended.
    code: Option<i32>,
    watch: Option<Watch>,
    ends: [End; 3],
    /// Calls to be made after `connection_made`; None once that is queued.
    pending: Option<Vec<HandleRef>>,
    /// Futures of those who wait for the process.
    waiters: Vec<Py<PyAny>>,
    closed: bool,
    /// `connection_lost` is queued or called.
    finished: bool,
}

/// Our end of one of the child's standard streams.
enum End {
    /// The stream is no pipe of ours.
    Absent,
    Connecting,
    /// The pipe's protocol.
    Connected(Py<PyAny>),
}

impl State {
    fn connected(&self, py: Python<'_>) -> [Option<Py<PyAny>>; 3] {
        self.ends.each_ref().map(|end| match end {
            End::Connected(protocol) => Some(protocol.clone_ref(py)),
            End::Absent | End::Connecting => None,
        })
    }
}

impl SubprocessTransport {
    /// A transport without a process; `piped` says which streams are going to be pipes.
    pub(crate) fn new<'py>(
        slf: &Bound<'py, Loop>,
        protocol: &Bound<'py, PyAny>,
        piped: [bool; 3],
    ) -> PyResult<Bound<'py, Self>> {
        let state = State {
            owner: Some(slf.clone().unbind()),
            protocol: Some(protocol.clone().unbind()),
            process: None,
            pid: None,
            code: None,
            watch: None,
            ends: piped.map(|piped| if piped { End::Connecting } else { End::Absent }),
            pending: Some(Vec::new()),
            waiters: Vec::new(),
            closed: false,
            finished: false,
        };
        let py = slf.py();
        Bound::new(py, Self { extra: PyDict::new(py).unbind(), state: GilCell::new(state) })
    }

    /// The process is started.
    pub(crate) fn started(&self, process: &Bound<'_, PyAny>) -> PyResult<i32> {
        let py = process.py();
        let pid = process.getattr("pid")?.extract()?;
        self.extra.bind(py).set_item("subprocess", process)?;
        self.state.with(py, |state| {
            state.process = Some(process.clone().unbind());
            state.pid = Some(pid);
        });
        Ok(pid)
    }

    /// Keeps what watches the process.
    pub(crate) fn keep(&self, py: Python<'_>, watch: Watch) {
        self.state.with(py, |state| state.watch = Some(watch));
    }

    /// Gives up what watches the process.
    pub(crate) fn watch(&self, py: Python<'_>) -> Option<Watch> {
        self.state.with(py, |state| state.watch.take())
    }

    pub(crate) fn owner<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Loop>> {
        self.state.with(py, |state| state.owner.as_ref().map(|owner| owner.bind(py).clone()))
    }

    pub(crate) fn process<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.process.as_ref().map(|process| process.bind(py).clone()))
    }

    pub(crate) fn pid(&self, py: Python<'_>) -> Option<i32> {
        self.state.with(py, |state| state.pid)
    }

    /// The pipe of a stream is connected.
    pub(crate) fn connected(&self, py: Python<'_>, stream: usize, protocol: Py<PyAny>) {
        self.state.with(py, |state| state.ends[stream] = End::Connected(protocol));
    }

    /// The streams whose pipe is not connected.
    pub(crate) fn unconnected(&self, py: Python<'_>) -> [bool; 3] {
        self.state.with(py, |state| state.ends.each_ref().map(|end| matches!(end, End::Connecting)))
    }

    fn protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.protocol.as_ref().map(|protocol| protocol.bind(py).clone()))
    }
}

/// All pipes are connected: queues `connection_made` and what had to wait for it.
pub(crate) fn make_connection(transport: &Bound<'_, SubprocessTransport>) -> PyResult<()> {
    let py = transport.py();
    let pending = transport.get().state.with(py, |state| state.pending.take()).unwrap_or_default();
    call_protocol(transport, pyo3::intern!(py, "connection_made"), (transport,).into_pyobject(py)?)?;
    let Some(owner) = transport.get().owner(py) else { return Ok(()) };
    for handle in pending {
        base(&owner).push(py, Runnable::Handle(handle));
    }
    Ok(())
}

fn call_protocol<'py>(
    transport: &Bound<'py, SubprocessTransport>,
    method: &Bound<'py, PyString>,
    arguments: Bound<'py, PyTuple>,
) -> PyResult<()> {
    match transport.get().protocol(transport.py()) {
        Some(protocol) => call_later(transport, &protocol.getattr(method)?, &arguments),
        None => Ok(()),
    }
}

/// Queues a call, behind `connection_made`.
fn call_later(
    transport: &Bound<'_, SubprocessTransport>,
    callback: &Bound<'_, PyAny>,
    arguments: &Bound<'_, PyTuple>,
) -> PyResult<()> {
    let py = transport.py();
    let Some(owner) = transport.get().owner(py) else { return Ok(()) };
    base(&owner).check_open()?;
    let handle = HandleRef::parked(owner.as_super(), callback, arguments)?;
    let now = transport.get().state.with(py, |state| match &mut state.pending {
        Some(pending) => {
            pending.push(handle);
            None
        }
        None => Some(handle),
    });
    if let Some(handle) = now {
        base(&owner).push(py, Runnable::Handle(handle));
    }
    Ok(())
}

/// The process has ended.
pub(crate) fn process_exited(transport: &Bound<'_, SubprocessTransport>, code: i32) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    if let Some(known) = this.state.with(py, |state| state.code) {
        return Err(PyAssertionError::new_err(known));
    }
    if this.owner(py).is_some_and(|owner| base(&owner).debug.get()) {
        imports::logger(py)?.call_method1("info", ("%r exited with return code %r", transport, code))?;
    }
    this.state.with(py, |state| state.code = Some(code));
    if let Some(process) = this.process(py)
        && process.getattr("returncode")?.is_none()
    {
        // Else the Popen object would go on looking for the child.
        process.setattr("returncode", code)?;
    }
    call_protocol(transport, pyo3::intern!(py, "process_exited"), PyTuple::empty(py))?;
    try_finish(transport)?;
    // At once, for a grandchild may keep the pipes open for long.
    for waiter in this.state.with(py, |state| std::mem::take(&mut state.waiters)) {
        let waiter = waiter.bind(py);
        if !waiter.call_method0("done")?.is_truthy()? {
            waiter.call_method1("set_result", (code,))?;
        }
    }
    Ok(())
}

fn try_finish(transport: &Bound<'_, SubprocessTransport>) -> PyResult<()> {
    let py = transport.py();
    let ready = transport.get().state.with(py, |state| {
        let connecting = state.ends.iter().any(|end| matches!(end, End::Connecting));
        (state.code.is_some() && !connecting && !state.finished).then(|| state.connected(py))
    });
    for protocol in ready.iter().flatten().flatten() {
        if !protocol.bind(py).getattr("disconnected")?.is_truthy()? {
            return Ok(());
        }
    }
    if ready.is_none() {
        return Ok(());
    }
    transport.get().state.with(py, |state| state.finished = true);
    let lost = transport.getattr("_call_connection_lost")?;
    call_later(transport, &lost, &(py.None(),).into_pyobject(py)?)
}

/// Closes the pipes and kills the process if it still runs.
fn close(transport: &Bound<'_, SubprocessTransport>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let Some(connected) = this.state.with(py, |state| {
        let first = !std::mem::replace(&mut state.closed, true);
        first.then(|| state.connected(py))
    }) else {
        return Ok(());
    };
    let owner = this.owner(py);
    if owner.as_ref().is_some_and(|owner| !base(owner).closed.get()) {
        for protocol in connected.iter().flatten() {
            protocol.getattr(py, "pipe")?.call_method0(py, "close")?;
        }
    }
    let Some(process) = this.process(py).filter(|_| this.state.with(py, |state| state.code.is_none())) else {
        return Ok(());
    };
    if !process.call_method0("poll")?.is_none() {
        return Ok(());
    }
    if owner.is_some_and(|owner| base(&owner).debug.get()) {
        imports::logger(py)?.call_method1("warning", ("Close running child process: kill %r", transport))?;
    }
    kill(&process)
}

/// Kills the process, unless it has ended or runs as another user by now.
fn kill(process: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = process.py();
    match process.call_method0("kill") {
        Err(error)
            if !error.is_instance_of::<PyProcessLookupError>(py) && !error.is_instance_of::<PyPermissionError>(py) =>
        {
            Err(error)
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

#[pymethods]
impl SubprocessTransport {
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<&'py Bound<'py, PyAny>> {
        imports::subprocess_transport(slf.py())
    }

    /// The process's number.
    fn get_pid(&self, py: Python<'_>) -> Option<i32> {
        self.pid(py)
    }

    /// How the process has ended: its exit code or the negated signal; None while it runs.
    fn get_returncode(&self, py: Python<'_>) -> Option<i32> {
        self.state.with(py, |state| state.code)
    }

    /// The transport of the pipe to the process's descriptor `fd` (0, 1 or 2); None if it is no pipe.
    fn get_pipe_transport<'py>(&self, fd: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = fd.py();
        let Ok(stream) = fd.extract::<usize>() else { return Ok(None) };
        let connected = self.state.with(py, |state| state.connected(py));
        let Some(Some(protocol)) = connected.get(stream) else { return Ok(None) };
        protocol.bind(py).getattr("pipe").map(Some)
    }

    /// Send a signal to the process. One that has ended but is not lost yet ignores it.
    fn send_signal(&self, signal: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = signal.py();
        let (started, pid, code) = self.state.with(py, |state| (state.process.is_some(), state.pid, state.code));
        let Some(pid) = pid.filter(|_| started) else { return Err(PyProcessLookupError::new_err(())) };
        if code.is_some() {
            return Ok(());
        }
        match py.import("os")?.call_method1("kill", (pid, signal)) {
            Err(error) if !error.is_instance_of::<PyProcessLookupError>(py) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Ask the process to end (SIGTERM).
    fn terminate(&self, py: Python<'_>) -> PyResult<()> {
        self.send_signal(&py.import("signal")?.getattr("SIGTERM")?)
    }

    /// End the process (SIGKILL).
    fn kill(&self, py: Python<'_>) -> PyResult<()> {
        self.send_signal(&py.import("signal")?.getattr("SIGKILL")?)
    }

    /// Close the pipes and kill the process if it still runs.
    #[pyo3(name = "close")]
    fn close_method(slf: &Bound<'_, Self>) -> PyResult<()> {
        close(slf)
    }

    /// Whether `close()` was called.
    fn is_closing(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.closed)
    }

    /// Set another protocol; the old one is told nothing.
    fn set_protocol(&self, py: Python<'_>, protocol: Py<PyAny>) {
        let before = self.state.with(py, |state| state.protocol.replace(protocol));
        drop(before);
    }

    /// The current protocol.
    fn get_protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.protocol(py)
    }

    /// Optional information: "subprocess", the Popen object; `default` for what is not known.
    #[pyo3(signature = (name, default=None))]
    fn get_extra_info<'py>(
        &self,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.extra.bind(name.py()).get_item(name)?.or(default))
    }

    /// Wait until the process has ended; gives its return code.
    fn _wait(slf: &Bound<'_, Self>) -> PyResult<Py<Coroutine>> {
        let this = slf.clone().unbind();
        Coroutine::spawn(slf.py(), "SubprocessTransport._wait", |channel| async move {
            let waiter = Python::attach(|py| {
                let transport = this.bind(py).get();
                let known = transport.state.with(py, |state| state.code);
                let (None, Some(owner)) = (known, transport.owner(py)) else { return Ok::<_, PyErr>(Err(known)) };
                let waiter = Loop::create_future(&owner)?.unbind();
                transport.state.with(py, |state| state.waiters.push(waiter.clone_ref(py)));
                Ok(Ok(waiter))
            })?;
            let waiter = match waiter {
                Ok(waiter) => waiter,
                Err(known) => return Python::attach(|py| Ok(known.into_pyobject(py)?.into_any().unbind())),
            };
            let outcome = channel.wait(Python::attach(|py| waiter.clone_ref(py))).await;
            if outcome.is_err() {
                Python::attach(|py| this.get().state.with(py, |state| state.waiters.retain(|each| !each.is(&waiter))));
            }
            outcome
        })
    }

    fn _process_exited(slf: &Bound<'_, Self>, returncode: i32) -> PyResult<()> {
        process_exited(slf, returncode)
    }

    fn _pipe_connection_lost<'py>(
        slf: &Bound<'py, Self>,
        fd: Bound<'py, PyAny>,
        exc: Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let py = slf.py();
        call_protocol(slf, pyo3::intern!(py, "pipe_connection_lost"), (fd, exc).into_pyobject(py)?)?;
        try_finish(slf)
    }

    fn _pipe_data_received<'py>(
        slf: &Bound<'py, Self>,
        fd: Bound<'py, PyAny>,
        data: Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let py = slf.py();
        call_protocol(slf, pyo3::intern!(py, "pipe_data_received"), (fd, data).into_pyobject(py)?)
    }

    fn _call_connection_lost<'py>(slf: &Bound<'py, Self>, exc: Bound<'py, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let outcome = match slf.get().protocol(py) {
            Some(protocol) => protocol.call_method1("connection_lost", (exc,)).map(drop),
            None => Ok(()),
        };
        let held = slf.get().state.with(py, |state| (state.owner.take(), state.process.take(), state.protocol.take()));
        drop(held);
        outcome
    }

    #[getter]
    fn _protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.protocol(py)
    }

    #[getter]
    fn _proc<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.process(py)
    }

    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Loop>> {
        self.owner(py)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let (mut words, connected) = slf.get().state.with(py, |state| (describe(state), state.connected(py)));
        for (name, protocol) in ["stdin", "stdout", "stderr"].iter().zip(&connected) {
            if let Some(protocol) = protocol {
                words.push(format!("{name}={}", protocol.bind(py).getattr("pipe")?.str()?));
            }
        }
        Ok(format!("<{}>", words.join(" ")))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.extra)?;
        let outcome = self.state.traverse(&visit, |state| {
            visit.call(&state.owner)?;
            visit.call(&state.protocol)?;
            visit.call(&state.process)?;
            for end in &state.ends {
                if let End::Connected(protocol) = end {
                    visit.call(protocol)?;
                }
            }
            state.waiters.iter().try_for_each(|waiter| visit.call(waiter))?;
            state.pending.iter().flatten().try_for_each(|handle| handle.traverse(&visit))
        });
        outcome.transpose().map(drop)
    }

    fn __clear__(&self, py: Python<'_>) {
        let held = self.state.with(py, |state| (state.owner.take(), state.protocol.take(), state.pending.take()));
        drop(held);
    }
}

/// The words of the repr that need no Python code.
fn describe(state: &State) -> Vec<String> {
    let mut words = vec!["SubprocessTransport".to_owned()];
    words.extend(state.closed.then(|| "closed".to_owned()));
    words.extend(state.pid.map(|pid| format!("pid={pid}")));
    words.push(match (state.code, state.pid) {
        (Some(code), _) => format!("returncode={code}"),
        (None, Some(_)) => "running".to_owned(),
        (None, None) => "not started".to_owned(),
    });
    words
}

impl Drop for SubprocessTransport {
    /// A transport goes away that was never closed: warn as asyncio does and kill the process.
    fn drop(&mut self) {
        let state = self.state.get_mut();
        if state.closed {
            return;
        }
        let text = format!("unclosed transport <{}>", describe(state).join(" "));
        let running = state.process.take().filter(|_| state.code.is_none());
        Python::attach(|py| {
            let text = std::ffi::CString::new(text).unwrap_or_default();
            let warned = imports::resource_warning(py).and_then(|category| PyErr::warn(py, category, &text, 1));
            let killed = running.map_or(Ok(()), |process| {
                let process = process.bind(py);
                if process.call_method0("poll")?.is_none() { kill(process) } else { Ok(()) }
            });
            if let Err(error) = warned.and(killed) {
                error.write_unraisable(py, None);
            }
        });
    }
}
