//! `subprocess_exec` and `subprocess_shell`: start a process and connect its pipes.
//!
//! Python's `subprocess.Popen`, which supports all arguments, starts the process. Its pipes are real pipes, so that
//! /dev/stdin works in the child. Arguments that asyncio refuses are refused with its messages.

use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCFunction, PyDict, PyString, PyTuple};

use crate::common::async_block::{Channel, Coroutine};
use crate::common::blocking_frame::Frame;
use crate::common::imports;
use crate::event_loop::{Loop, base, end_of_callback, recorded_calls};
use crate::subprocess::child_watcher::{self, Watcher};
use crate::transports::subprocess::{self, SubprocessTransport};

/// `subprocess.PIPE`.
const PIPE: i32 = -1;

/// A standard stream of the child: any value that Popen accepts for it.
enum Stream {
    Pipe,
    Given(Py<PyAny>),
}

impl<'py> FromPyObject<'_, 'py> for Stream {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        Ok(Self::Given(given.to_owned().unbind()))
    }
}

impl Stream {
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Pipe => Ok(PIPE.into_pyobject(py)?.into_any()),
            Self::Given(given) => Ok(given.bind(py).clone()),
        }
    }
}

/// The arguments for starting a process.
struct Request {
    /// A shell command, or a tuple of program and arguments.
    command: Py<PyAny>,
    shell: bool,
    streams: [Stream; 3],
    keywords: Option<Py<PyDict>>,
}

#[pymethods]
impl Loop {
    /// Run a shell command; gives transport and protocol. Keyword arguments as those of subprocess.Popen.
    #[pyo3(
        signature = (protocol_factory, cmd, *, stdin=Stream::Pipe, stdout=Stream::Pipe, stderr=Stream::Pipe, **kwargs),
        text_signature = "($self, protocol_factory, cmd, *, stdin=-1, stdout=-1, stderr=-1, **kwargs)"
    )]
    fn subprocess_shell(
        slf: &Bound<'_, Self>,
        protocol_factory: Py<PyAny>,
        cmd: Py<PyAny>,
        stdin: Stream,
        stdout: Stream,
        stderr: Stream,
        kwargs: Option<Py<PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let this = slf.clone().unbind();
        let streams = [stdin, stdout, stderr];
        let request = Request { command: cmd, shell: true, streams, keywords: kwargs };
        Coroutine::spawn(slf.py(), "EventLoop.subprocess_shell", |channel| {
            run(this, protocol_factory, request, channel)
        })
    }

    /// Run a program with arguments; gives transport and protocol. Keyword arguments as those of subprocess.Popen.
    #[pyo3(
        signature = (
            protocol_factory, program, *args, stdin=Stream::Pipe, stdout=Stream::Pipe, stderr=Stream::Pipe, **kwargs
        ),
        text_signature = "($self, protocol_factory, program, *args, stdin=-1, stdout=-1, stderr=-1, **kwargs)"
    )]
    #[expect(clippy::too_many_arguments, reason = "asyncio's signature")]
    fn subprocess_exec(
        slf: &Bound<'_, Self>,
        protocol_factory: Py<PyAny>,
        program: Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        stdin: Stream,
        stdout: Stream,
        stderr: Stream,
        kwargs: Option<Py<PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let this = slf.clone().unbind();
        let mut command = vec![program];
        command.extend(args);
        let command = memory::tuple(py, command)?.into_any().unbind();
        let streams = [stdin, stdout, stderr];
        let request = Request { command, shell: false, streams, keywords: kwargs };
        Coroutine::spawn(py, "EventLoop.subprocess_exec", |channel| run(this, protocol_factory, request, channel))
    }
}

async fn run(
    this: Py<Loop>,
    protocol_factory: Py<PyAny>,
    request: Request,
    channel: Channel,
) -> PyResult<(Py<PyAny>, Py<PyAny>)> {
    let this = channel.own(this);
    let (protocol, keywords, title) = Python::attach(|py| {
        let keywords = checked_keywords(py, &request)?;
        let protocol = protocol_factory.bind(py).call0()?;
        let title = log_command(this.bind(py), &request)?;
        Ok::<_, PyErr>((protocol.unbind(), keywords.unbind(), title))
    })?;
    drop(protocol_factory);
    let protocol = channel.own(protocol);
    let watcher = Python::attach(Watcher::enter)?;
    let started = Python::attach(|py| {
        let (slf, protocol, keywords) = (this.bind(py), protocol.bind(py), keywords.bind(py));
        start(slf, &request, protocol, keywords, watcher.as_ref()).map(Bound::unbind)
    });
    let outcome = match started.map(|transport| channel.own(transport)) {
        Ok(transport) => finish_spawn(&this, &transport, &channel).await.map(|()| transport),
        Err(error) => Err(error),
    };
    if let Some(watcher) = watcher {
        Python::attach(|py| watcher.leave(py, outcome.as_ref().err()))?;
    }
    let transport = outcome?;
    Python::attach(|py| {
        if let Some(title) = title.filter(|_| base(this.bind(py)).debug.get()) {
            imports::base_events_logger(py)?.call_method1(name!("info"), ("%s: %r", title, &*transport))?;
        }
        Ok((transport.handed_over().into_any(), protocol.handed_over()))
    })
}

/// The keyword arguments for Popen, without those for which asyncio accepts only one value.
fn checked_keywords<'py>(py: Python<'py>, request: &Request) -> PyResult<Bound<'py, PyDict>> {
    let keywords = request.keywords.as_ref().map_or_else(|| memory::dict(py), |given| given.bind(py).copy())?;
    let command = request.command.bind(py);
    if request.shell && !command.is_instance_of::<PyBytes>() && !command.is_instance_of::<PyString>() {
        return Err(ferrio_cpython::error::<PyValueError>("cmd must be a string"));
    }
    let take = |name: &str| {
        let value = keywords.get_item(name)?;
        if value.is_some() {
            keywords.del_item(name)?;
        }
        Ok::<_, PyErr>(value)
    };
    let must_be =
        |holds: bool, text: &'static str| if holds { Ok(()) } else { Err(ferrio_cpython::error::<PyValueError>(text)) };
    let is_true =
        |value: Option<Bound<'py, PyAny>>, default: bool| value.map_or(Ok(default), |value| value.is_truthy());
    must_be(!is_true(take("universal_newlines")?, false)?, "universal_newlines must be False")?;
    let shell = is_true(take("shell")?, request.shell)?;
    must_be(shell == request.shell, if request.shell { "shell must be True" } else { "shell must be False" })?;
    must_be(take("bufsize")?.map_or(Ok(true), |size| size.eq(0))?, "bufsize must be 0")?;
    must_be(!is_true(take("text")?, false)?, "text must be False")?;
    must_be(take("encoding")?.is_none_or(|encoding| encoding.is_none()), "encoding must be None")?;
    must_be(take("errors")?.is_none_or(|errors| errors.is_none()), "errors must be None")?;
    Ok(keywords)
}

/// Logs in debug mode what will be run; returns the log text. It leaves out the arguments, which may be secret.
fn log_command(slf: &Bound<'_, Loop>, request: &Request) -> PyResult<Option<String>> {
    let py = slf.py();
    if !base(slf).debug.get() {
        return Ok(None);
    }
    let command = request.command.bind(py);
    let title = if request.shell {
        format!("run shell command {}", command.repr()?)
    } else {
        format!("execute program {}", command.get_item(0)?.repr()?)
    };
    let format = ferrio_cpython::module(py, name!("asyncio.base_events"))?.getattr(name!("_format_pipe"))?;
    let show = |stream: &Stream| Ok::<_, PyErr>((stream.value(py)?, format.call1((stream.value(py)?,))?.to_string()));
    let [(stdin, stdin_text), (stdout, stdout_text), (stderr, stderr_text)] =
        [show(&request.streams[0])?, show(&request.streams[1])?, show(&request.streams[2])?];
    let mut words = vec![title.clone()];
    if !stdin.is_none() {
        words.push(format!("stdin={stdin_text}"));
    }
    if !stdout.is_none() && stderr.eq(ferrio_cpython::module(py, name!("subprocess"))?.getattr(name!("STDOUT"))?)? {
        words.push(format!("stdout=stderr={stdout_text}"));
    } else {
        for (stream, name, text) in [(stdout, "stdout", stdout_text), (stderr, "stderr", stderr_text)] {
            if !stream.is_none() {
                words.push(format!("{name}={text}"));
            }
        }
    }
    imports::base_events_logger(py)?.call_method1(name!("debug"), (words.join(" "),))?;
    Ok(Some(title))
}

/// Starts the process and watches it for its exit.
fn start<'py>(
    slf: &Bound<'py, Loop>,
    request: &Request,
    protocol: &Bound<'py, PyAny>,
    keywords: &Bound<'py, PyDict>,
    watcher: Option<&Watcher>,
) -> PyResult<Bound<'py, SubprocessTransport>> {
    let py = slf.py();
    // The child may inherit a connection: what was written to it before comes first.
    end_of_callback::finish_early(slf)?;
    let mut piped = [false; 3];
    for ((name, stream), piped) in ["stdin", "stdout", "stderr"].iter().zip(&request.streams).zip(&mut piped) {
        let value = stream.value(py)?;
        *piped = value.eq(PIPE)?;
        keywords.set_item(name, value)?;
    }
    keywords.set_item(name!("shell"), request.shell)?;
    keywords.set_item(name!("universal_newlines"), false)?;
    keywords.set_item(name!("bufsize"), 0)?;
    let make = match recorded_calls::children(slf)? {
        None => ferrio_cpython::module(py, name!("subprocess"))?.getattr(name!("Popen"))?,
        Some(children) => {
            if watcher.is_some() {
                recorded_calls::refuse(slf, "a child process with another child watcher than asyncio's")?;
            }
            children.getattr(name!("start"))?
        }
    };
    let transport = subprocess::make(slf, protocol, piped)?;
    let command = request.command.bind(py);
    let frame = if request.shell { Frame::SubprocessShell } else { Frame::SubprocessExec };
    let process = match frame.call(&make, (command,), Some(keywords)) {
        Ok(process) => process,
        Err(error) => {
            transport.call_method0(name!("close"))?;
            return Err(error);
        }
    };
    let pid = transport.get().started(&process)?;
    if base(slf).debug.get() {
        let program = if command.is_instance_of::<PyTuple>() { command.get_item(0)? } else { command.clone() };
        imports::base_subprocess_logger(py)?
            .call_method1(name!("debug"), ("process %r created: pid %s", program, pid))?;
    }
    if let Err(error) = child_watcher::watch(slf, &transport, pid, watcher) {
        // Without a descriptor for the watch, the exit of the running child would never be noticed.
        transport.call_method0(name!("close"))?;
        process.call_method0(name!("wait"))?;
        return Err(error);
    }
    Ok(transport)
}

/// Connects the pipes, then calls `connection_made`; on cancellation, kills and reaps the child.
async fn finish_spawn(this: &Py<Loop>, transport: &Py<SubprocessTransport>, channel: &Channel) -> PyResult<()> {
    let mut outcome = connect_pipes(this, transport, channel).await;
    if outcome.is_ok() {
        outcome = channel.pass_turn().await;
    }
    let Err(error) = outcome else { return Ok(()) };
    let passes = Python::attach(|py| {
        error.is_instance_of::<PySystemExit>(py) || error.is_instance_of::<PyKeyboardInterrupt>(py)
    });
    if !passes {
        let ended = Python::attach(|py| {
            close_unconnected(transport.bind(py))?;
            transport.call_method0(py, name!("close"))?;
            transport.call_method0(py, name!("_wait"))
        })?;
        channel.wait(ended).await?;
    }
    Err(error)
}

async fn connect_pipes(this: &Py<Loop>, transport: &Py<SubprocessTransport>, channel: &Channel) -> PyResult<()> {
    for stream in 0..3 {
        let Some(connecting) = Python::attach(|py| connect_pipe(this.bind(py), transport.bind(py), stream))? else {
            continue;
        };
        let connected = channel.wait(connecting).await?;
        Python::attach(|py| {
            let protocol = connected.bind(py).get_item(1)?;
            transport.get().connected(py, stream, protocol.unbind());
            Ok::<_, PyErr>(())
        })?;
    }
    Python::attach(|py| subprocess::make_connection(transport.bind(py)))
}

/// The coroutine that connects the parent's end of a stream. It calls the loop's methods, which may be overridden.
fn connect_pipe(
    slf: &Bound<'_, Loop>,
    transport: &Bound<'_, SubprocessTransport>,
    stream: usize,
) -> PyResult<Option<Py<PyAny>>> {
    let py = slf.py();
    let Some(file) = our_end(transport, stream)? else { return Ok(None) };
    let (class, method) = match stream {
        0 => ("WriteSubprocessPipeProto", "connect_write_pipe"),
        _ => ("ReadSubprocessPipeProto", "connect_read_pipe"),
    };
    let protocol =
        ferrio_cpython::module(py, name!("asyncio.base_subprocess"))?.getattr(class)?.call1((transport, stream))?;
    // Unlike a `Py`, which `PyO3` may drop later, an `OwnedRef` is dropped together with the function.
    let protocol = OwnedRef::of(&protocol);
    let factory =
        PyCFunction::new_closure(py, None, None, move |arguments, _| protocol.bind(arguments.py()).clone().unbind())?;
    slf.call_method1(method, (factory, file)).map(|coroutine| Some(coroutine.unbind()))
}

/// The file object of the parent's end of a stream.
fn our_end<'py>(transport: &Bound<'py, SubprocessTransport>, stream: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = transport.py();
    let Some(process) = transport.get().process(py) else { return Ok(None) };
    let file = process.getattr(["stdin", "stdout", "stderr"][stream])?;
    Ok((!file.is_none()).then_some(file))
}

/// Closes the pipes that have no transport.
fn close_unconnected(transport: &Bound<'_, SubprocessTransport>) -> PyResult<()> {
    for (stream, unconnected) in transport.get().unconnected(transport.py()).into_iter().enumerate() {
        if let (true, Some(file)) = (unconnected, our_end(transport, stream)?) {
            file.call_method0(name!("close"))?;
        }
    }
    Ok(())
}
