//! `SubprocessTransport`: a child process, its pipes and its protocol.
//!
//! The process is a `subprocess.Popen`. Its pipes have transports of their own, whose protocols are asyncio's and call
//! this transport. Calls that are due while the pipes are being connected are kept in `pending` until `connection_made`
//! is queued. Calls of the protocol are in `protocol_calls.rs`, ending and waiting for a process in `close.rs`.

mod close;
mod protocol_calls;

use ferrio_cpython::capi::memory::{self, Text};
use ferrio_cpython::{GilCell, HandleRef};
use ferrio_sys::child::Watch;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};
use pyo3::{PyTraverseError, PyVisit};

pub(crate) use protocol_calls::{make_connection, process_exited};

use super::classes;
use crate::common::imports;
use crate::event_loop::{Loop, base, recorded_calls};

/// A child process; its `__class__` says `asyncio.SubprocessTransport`.
#[pyclass(frozen, weakref, subclass, module = "ferrio")]
pub(crate) struct SubprocessTransport {
    extra: Py<PyDict>,
    state: GilCell<State>,
}

struct State {
    /// None once the connection is lost.
    owner: Option<Py<Loop>>,
    /// None once the connection is lost.
    protocol: Option<Py<PyAny>>,
    /// The `subprocess.Popen`; None before the process is started and once the connection is lost.
    process: Option<Py<PyAny>>,
    pid: Option<i32>,
    /// Whether the process is one of a recording that is repeated: its number is nobody's, or another process's.
    repeats: bool,
    /// The return code; None while the process runs, or is not known to have ended.
    code: Option<i32>,
    watch: Option<Watch>,
    /// A copy of the context in which the process was started; its end is handled in it.
    context: Option<Py<PyAny>>,
    ends: [End; 3],
    /// Calls to make after `connection_made`; None once that is queued.
    pending: Option<Vec<HandleRef>>,
    /// Futures of the tasks that wait for the process.
    waiters: Vec<Py<PyAny>>,
    closed: bool,
    /// Whether `connection_lost` is queued or was called.
    finished: bool,
}

/// The parent's end of one of the child's standard streams.
enum End {
    /// The stream is not connected through a pipe.
    Absent,
    Connecting,
    /// Connected; the value is the pipe's protocol.
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

/// Creates a transport without a process; `piped` says which streams will be pipes.
pub(crate) fn make<'py>(
    slf: &Bound<'py, Loop>,
    protocol: &Bound<'py, PyAny>,
    piped: [bool; 3],
) -> PyResult<Bound<'py, SubprocessTransport>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    base(slf).check_open()?;
    let class = classes::open::<SubprocessTransport>(slf.py(), &CLASS)?;
    Ok(class.call1((slf, protocol, piped))?.cast_into::<SubprocessTransport>()?)
}

impl SubprocessTransport {
    /// Records the process that was started; returns its pid.
    pub(crate) fn started(&self, process: &Bound<'_, PyAny>) -> PyResult<i32> {
        let py = process.py();
        let pid = process.getattr(name!("pid"))?.extract()?;
        let repeats = self.owner(py).is_some_and(|owner| recorded_calls::is_repeated(&owner));
        self.extra.bind(py).set_item(name!("subprocess"), process)?;
        self.state.with(py, |state| {
            state.process = Some(process.clone().unbind());
            state.pid = Some(pid);
            state.repeats = repeats;
        });
        Ok(pid)
    }

    /// The functions in the place of `os.kill` and `os.waitpid`, if the process is recorded or repeated.
    pub(crate) fn recorded<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.state.with(py, |state| state.repeats) {
            return recorded_calls::children_of_recordings(py).map(Some);
        }
        self.owner(py).map_or(Ok(None), |owner| recorded_calls::children(&owner))
    }

    /// Stores the watch on the process, and the context in which its end is to be handled.
    pub(crate) fn keep(&self, py: Python<'_>, watch: Watch, context: Py<PyAny>) {
        self.state.with(py, |state| {
            state.watch = Some(watch);
            state.context = Some(context);
        });
    }

    /// Takes out the context in which the end of the process is to be handled.
    pub(crate) fn take_context<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.context.take()).map(|context| context.into_bound(py))
    }

    /// Takes out the watch on the process.
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

    /// Records that the pipe of a stream is connected.
    pub(crate) fn connected(&self, py: Python<'_>, stream: usize, protocol: Py<PyAny>) {
        self.state.with(py, |state| state.ends[stream] = End::Connected(protocol));
    }

    /// For each stream, whether its pipe is not connected yet.
    pub(crate) fn unconnected(&self, py: Python<'_>) -> [bool; 3] {
        self.state.with(py, |state| state.ends.each_ref().map(|end| matches!(end, End::Connecting)))
    }

    fn protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.protocol.as_ref().map(|protocol| protocol.bind(py).clone()))
    }
}

#[pymethods]
impl SubprocessTransport {
    #[new]
    fn new(owner: &Bound<'_, Loop>, protocol: Py<PyAny>, piped: [bool; 3]) -> PyResult<Self> {
        let state = State {
            owner: Some(owner.clone().unbind()),
            protocol: Some(protocol),
            process: None,
            pid: None,
            repeats: false,
            code: None,
            watch: None,
            context: None,
            ends: piped.map(|piped| if piped { End::Connecting } else { End::Absent }),
            pending: Some(Vec::new()),
            waiters: Vec::new(),
            closed: false,
            finished: false,
        };
        Ok(Self { extra: memory::dict(owner.py())?.unbind(), state: GilCell::new(state) })
    }

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
        protocol.bind(py).getattr(name!("pipe")).map(Some)
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

    #[getter]
    fn _protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.protocol(py)
    }

    #[getter]
    fn _proc<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.process(py)
    }

    #[getter]
    fn _pid(&self, py: Python<'_>) -> Option<i32> {
        self.pid(py)
    }

    #[getter]
    fn _returncode(&self, py: Python<'_>) -> Option<i32> {
        self.get_returncode(py)
    }

    #[getter]
    fn _closed(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.closed)
    }

    #[getter]
    fn _extra<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        self.extra.bind(py).clone()
    }

    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Loop>> {
        self.owner(py)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text> {
        let py = slf.py();
        let (mut words, connected) = slf.get().state.with(py, |state| (describe(state), state.connected(py)));
        for (name, protocol) in ["stdin", "stdout", "stderr"].iter().zip(&connected) {
            if let Some(protocol) = protocol {
                words.push(format!("{name}={}", protocol.bind(py).getattr(name!("pipe"))?.str()?));
            }
        }
        Ok(Text(format!("<{}>", words.join(" "))))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.extra)?;
        let outcome = self.state.traverse(&visit, |state| {
            visit.call(&state.owner)?;
            visit.call(&state.protocol)?;
            visit.call(&state.process)?;
            visit.call(&state.context)?;
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
        let owned = self
            .state
            .with(py, |state| (state.owner.take(), state.protocol.take(), state.pending.take(), state.context.take()));
        drop(owned);
    }
}

/// The parts of the repr that need no Python code.
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
