//! `create_datagram_endpoint`: creates a datagram transport and its protocol from addresses, options or a socket.
//!
//! The checks, their order and their messages are those of asyncio's `BaseEventLoop.create_datagram_endpoint`.

use ferrio_cpython::capi::memory;
use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString, PyTuple};

use crate::common::async_block::{Channel, Coroutine};
use crate::common::close_guard::CloseGuard;
use crate::common::imports;
use crate::event_loop::{Loop, base};
use crate::locks::optional_argument::Argument;
use crate::net::resolve::{Hints, resolved_or_error};
use crate::net::sock::connect::connect_by_loop;
use crate::net::unix::socket_path::remove_stale;
use crate::transports::datagram;

/// The arguments that cannot be combined with a socket of the user.
struct Options {
    local_addr: Option<Py<PyAny>>,
    remote_addr: Option<Py<PyAny>>,
    family: Py<PyAny>,
    proto: Py<PyAny>,
    flags: Py<PyAny>,
    reuse_port: Option<Py<PyAny>>,
    allow_broadcast: Option<Py<PyAny>>,
}

/// A possible socket: its family and protocol, the address to bind it to and the address to connect it to.
struct Candidate {
    family: Py<PyAny>,
    proto: Py<PyAny>,
    local: Option<Py<PyAny>>,
    remote: Option<Py<PyAny>>,
}

/// A socket, and the address that it is connected to or that all its datagrams go to.
type Opened = (CloseGuard, Option<Py<PyAny>>);

/// An entry of the result of `socket.getaddrinfo`: family, type, protocol, canonical name, address.
type Info<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>, Py<PyAny>);

#[pymethods]
impl Loop {
    /// Create a datagram transport: bound to `local_addr`, connected to `remote_addr`, or on a socket; gives (transport,
    /// protocol).
    #[pyo3(
        signature = (
            protocol_factory, local_addr=None, remote_addr=None, *, family=Argument(None), proto=Argument(None), flags=Argument(None),
            reuse_port=None, allow_broadcast=None, sock=None
        ),
        text_signature = "($self, protocol_factory, local_addr=None, remote_addr=None, *, family=0, proto=0, flags=0, \
                          reuse_port=None, allow_broadcast=None, sock=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "asyncio's signature")]
    fn create_datagram_endpoint(
        slf: &Bound<'_, Self>,
        protocol_factory: Py<PyAny>,
        local_addr: Option<Py<PyAny>>,
        remote_addr: Option<Py<PyAny>>,
        family: Argument<'_>,
        proto: Argument<'_>,
        flags: Argument<'_>,
        reuse_port: Option<Py<PyAny>>,
        allow_broadcast: Option<Py<PyAny>>,
        sock: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let zero = |given: Argument<'_>| given.0.map_or_else(|| PyInt::new(py, 0).into_any().unbind(), Bound::unbind);
        let options = Options {
            local_addr,
            remote_addr,
            family: zero(family),
            proto: zero(proto),
            flags: zero(flags),
            reuse_port,
            allow_broadcast,
        };
        let this = slf.clone().unbind();
        Coroutine::spawn(py, "EventLoop.create_datagram_endpoint", |channel| async move {
            let (this, protocol_factory) = (channel.own(this), channel.own(protocol_factory));
            let (sock, remote) = match sock {
                Some(sock) => {
                    Python::attach(|py| check_socket(sock.bind(py), &options))?;
                    (CloseGuard::passed_in(sock), None)
                }
                None => open(&this, &options, &channel).await?,
            };
            establish(&this, &protocol_factory, (sock, remote), &options, &channel).await
        })
    }
}

impl Options {
    /// The arguments that were passed, formatted as in asyncio's message.
    fn given(&self, py: Python<'_>) -> PyResult<String> {
        let named = [
            ("local_addr", self.local_addr.as_ref()),
            ("remote_addr", self.remote_addr.as_ref()),
            ("family", Some(&self.family)),
            ("proto", Some(&self.proto)),
            ("flags", Some(&self.flags)),
            ("reuse_port", self.reuse_port.as_ref()),
            ("allow_broadcast", self.allow_broadcast.as_ref()),
        ];
        let mut given = Vec::new();
        for (name, value) in named {
            if is_given(py, value)? {
                let shown = value.map_or_else(|| Ok(String::new()), |value| as_formatted(value.bind(py)))?;
                given.push(format!("{name}={shown}"));
            }
        }
        Ok(given.join(", "))
    }
}

fn is_given(py: Python<'_>, argument: Option<&Py<PyAny>>) -> PyResult<bool> {
    argument.map_or(Ok(false), |argument| argument.is_truthy(py))
}

/// The value as an f-string formats it.
fn as_formatted(value: &Bound<'_, PyAny>) -> PyResult<String> {
    value.call_method1(name!("__format__"), ("",))?.extract()
}

fn check_socket(sock: &Bound<'_, PyAny>, options: &Options) -> PyResult<()> {
    let py = sock.py();
    let kind = sock.getattr(name!("type"))?;
    if imports::python_version(py) >= (3, 13) {
        if kind.eq(imports::socket_sock_stream(py)?)? {
            return Err(ferrio_cpython::error::<PyValueError>(format!(
                "A datagram socket was expected, got {}",
                sock.repr()?
            )));
        }
    } else if !kind.eq(imports::socket_sock_dgram(py)?)? {
        return Err(ferrio_cpython::error::<PyValueError>(format!("A UDP Socket was expected, got {}", sock.repr()?)));
    }
    let given = options.given(py)?;
    if !given.is_empty() {
        let text = format!("socket modifier keyword arguments can not be used when sock is specified. ({given})");
        return Err(ferrio_cpython::error::<PyValueError>(text));
    }
    sock.call_method1(name!("setblocking"), (false,)).map(drop)
}

/// Opens the first candidate that works.
async fn open(this: &Py<Loop>, options: &Options, channel: &Channel) -> PyResult<Opened> {
    let mut first = None;
    for candidate in candidates(this, options, channel).await? {
        match open_one(this, candidate, options, channel).await {
            Ok(opened) => return Ok(opened),
            Err(error) if Python::attach(|py| error.is_instance_of::<PyOSError>(py)) => {
                first.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    Err(first.unwrap_or_else(|| ferrio_cpython::error::<PyValueError>("can not get address information")))
}

async fn candidates(this: &Py<Loop>, options: &Options, channel: &Channel) -> PyResult<Vec<Candidate>> {
    let (unresolved, both) = Python::attach(|py| {
        let family = options.family.bind(py);
        let (local, remote) = (options.local_addr.as_ref(), options.remote_addr.as_ref());
        let both = [is_given(py, local)?, is_given(py, remote)?];
        let candidate = |local: Option<&Py<PyAny>>, remote: Option<&Py<PyAny>>| Candidate {
            family: options.family.clone_ref(py),
            proto: options.proto.clone_ref(py),
            local: local.map(|local| local.clone_ref(py)),
            remote: remote.map(|remote| remote.clone_ref(py)),
        };
        if both == [false, false] {
            if family.eq(0)? {
                return Err(ferrio_cpython::error::<PyValueError>("unexpected address family"));
            }
            return Ok((Some(vec![candidate(None, None)]), both));
        }
        if family.eq(imports::socket_af_unix(py)?)? {
            check_paths(py, local, remote)?;
            return Ok((Some(vec![candidate(local, remote)]), both));
        }
        Ok((None, both))
    })?;
    match unresolved {
        Some(candidates) => Ok(candidates),
        None => resolve(this, options, both, channel).await,
    }
}

/// Checks that Unix addresses are strings, and removes a stale socket at the local one.
fn check_paths(py: Python<'_>, local: Option<&Py<PyAny>>, remote: Option<&Py<PyAny>>) -> PyResult<()> {
    for address in [local, remote].into_iter().flatten() {
        if !address.bind(py).is_instance_of::<PyString>() {
            return Err(ferrio_cpython::error::<PyTypeError>("string is expected"));
        }
    }
    match local {
        Some(local) if local.is_truthy(py)? => remove_stale(local.bind(py)),
        Some(_) | None => Ok(()),
    }
}

/// The addresses of both ends, joined by family and protocol; combinations that lack a requested end are dropped.
async fn resolve(this: &Py<Loop>, options: &Options, asked: [bool; 2], channel: &Channel) -> PyResult<Vec<Candidate>> {
    let mut candidates: Vec<Candidate> = Vec::new();
    for (end, address) in [&options.local_addr, &options.remote_addr].into_iter().enumerate() {
        let Some(address) = address else { continue };
        let (address, hints) = Python::attach(|py| {
            if address.bind(py).cast::<PyTuple>().map(PyTupleMethods::len).ok() != Some(2) {
                return Err(ferrio_cpython::error::<PyTypeError>("2-tuple is expected"));
            }
            let hints = Hints {
                family: options.family.clone_ref(py),
                kind: imports::socket_sock_dgram(py)?.clone().unbind(),
                proto: options.proto.clone_ref(py),
                flags: options.flags.clone_ref(py),
            };
            Ok((address.clone_ref(py), hints))
        })?;
        let infos = resolved_or_error(this, address, &hints, channel).await?;
        Python::attach(|py| infos.bind(py).try_iter()?.try_for_each(|info| join(&mut candidates, &info?, end)))?;
    }
    candidates
        .retain(|candidate| (!asked[0] || candidate.local.is_some()) && (!asked[1] || candidate.remote.is_some()));
    if candidates.is_empty() {
        return Err(ferrio_cpython::error::<PyValueError>("can not get address information"));
    }
    Ok(candidates)
}

/// Adds an address info for one end, 0 the local and 1 the remote one; a later info of the same family and protocol
/// replaces an earlier one.
fn join(candidates: &mut Vec<Candidate>, info: &Bound<'_, PyAny>, end: usize) -> PyResult<()> {
    let py = info.py();
    let (family, _, proto, _, address): Info<'_> = info.extract()?;
    let mut known = None;
    for (position, candidate) in candidates.iter().enumerate() {
        if family.eq(&candidate.family)? && proto.eq(&candidate.proto)? {
            known = Some(position);
        }
    }
    let position = known.unwrap_or_else(|| {
        candidates.push(Candidate { family: family.unbind(), proto: proto.unbind(), local: None, remote: None });
        candidates.len() - 1
    });
    let candidate = &mut candidates[position];
    let place = if end == 0 { &mut candidate.local } else { &mut candidate.remote };
    let before = place.replace(address.clone_ref(py));
    drop(before);
    Ok(())
}

async fn open_one(this: &Py<Loop>, candidate: Candidate, options: &Options, channel: &Channel) -> PyResult<Opened> {
    let Candidate { family, proto, local, remote } = candidate;
    let (sock, connects) = Python::attach(|py| {
        let keywords = memory::dict(py)?;
        keywords.set_item(name!("family"), family)?;
        keywords.set_item(name!("type"), imports::socket_sock_dgram(py)?)?;
        keywords.set_item(name!("proto"), proto)?;
        let sock = CloseGuard::created(
            ferrio_cpython::module(py, name!("socket"))?.getattr(name!("socket"))?.call((), Some(&keywords))?.unbind(),
        );
        let broadcasts = is_given(py, options.allow_broadcast.as_ref())?;
        set_options(sock.bind(py), is_given(py, options.reuse_port.as_ref())?, broadcasts)?;
        sock.bind(py).call_method1(name!("setblocking"), (false,))?;
        if is_given(py, options.local_addr.as_ref())? {
            sock.bind(py).call_method1(name!("bind"), (local,))?;
        }
        Ok::<_, PyErr>((sock, !broadcasts))
    })?;
    let Some(remote) = remote else { return Ok((sock, None)) };
    if connects {
        let (owned, address) = Python::attach(|py| (sock.bind(py).clone().unbind(), remote.clone_ref(py)));
        connect_by_loop(this, &owned, address, channel).await?;
    }
    Ok((sock, Some(remote)))
}

fn set_options(sock: &Bound<'_, PyAny>, reuse_port: bool, broadcasts: bool) -> PyResult<()> {
    let module = ferrio_cpython::module(sock.py(), name!("socket"))?;
    let set = |name: &str| {
        sock.call_method1(name!("setsockopt"), (module.getattr(name!("SOL_SOCKET"))?, module.getattr(name)?, 1))
            .map(drop)
    };
    if reuse_port {
        if !module.hasattr(name!("SO_REUSEPORT"))? {
            return Err(ferrio_cpython::error::<PyValueError>("reuse_port not supported by socket module"));
        }
        let refused = "reuse_port not supported by socket module, SO_REUSEPORT defined but not implemented.";
        set("SO_REUSEPORT").map_err(|error| {
            if error.is_instance_of::<PyOSError>(sock.py()) {
                ferrio_cpython::error::<PyValueError>(refused)
            } else {
                error
            }
        })?;
    }
    if broadcasts { set("SO_BROADCAST") } else { Ok(()) }
}

/// Creates protocol and transport, and waits until `connection_made` was called.
async fn establish(
    this: &Py<Loop>,
    factory: &Py<PyAny>,
    (sock, remote): Opened,
    options: &Options,
    channel: &Channel,
) -> PyResult<(Py<PyAny>, Py<PyAny>)> {
    let (transport, protocol, waiter) = Python::attach(|py| {
        let slf = this.bind(py);
        let protocol = factory.bind(py).call0()?;
        let waiter = Loop::waiter(slf)?;
        let remote = remote.map(|remote| remote.into_bound(py));
        let transport = datagram::attach(slf, sock.bind(py), protocol.clone(), remote, waiter.clone())?;
        let transport = transport.into_any();
        if base(slf).debug.get() {
            log(py, options, &transport, &protocol)?;
        }
        Ok::<_, PyErr>((CloseGuard::created(transport.unbind()), protocol.unbind(), waiter.unbind()))
    })?;
    // From here on the transport closes the socket.
    sock.keep();
    let (transport, protocol) = (transport.owned(channel), channel.own(protocol));
    channel.wait(waiter).await?;
    Ok((transport.keep(), protocol.handed_over()))
}

fn log<'py>(
    py: Python<'py>,
    options: &Options,
    transport: &Bound<'py, PyAny>,
    protocol: &Bound<'py, PyAny>,
) -> PyResult<()> {
    let logger = imports::base_events_logger(py)?;
    let Options { local_addr, remote_addr, .. } = options;
    if is_given(py, local_addr.as_ref())? {
        let text = "Datagram endpoint local_addr=%r remote_addr=%r created: (%r, %r)";
        logger.call_method1(name!("info"), (text, local_addr, remote_addr, transport, protocol))?;
    } else {
        let text = "Datagram endpoint remote_addr=%r created: (%r, %r)";
        logger.call_method1(name!("debug"), (text, remote_addr, transport, protocol))?;
    }
    Ok(())
}
