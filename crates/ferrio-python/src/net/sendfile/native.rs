//! The native way of sendfile: sendfile(2) until it would block, then a wait for the socket to become writable.
//!
//! Invariant: however it ends, the file's position is at the end of the bytes sent.

use std::io::{self, ErrorKind};
use std::os::fd::RawFd;

use ferrio_cpython::capi::memory;
use ferrio_cpython::objects::loop_base::overrides;
use ferrio_engine::Operation;
use ferrio_sys::{Interest, file};
use pyo3::exceptions::{PyAttributeError, PyConnectionError};
use pyo3::prelude::*;

use super::{Part, always_seeks, check, not_available};
use crate::common::async_block::Channel;
use crate::event_loop::Loop;
use crate::event_loop::{exception_handler, recorded_calls};
use crate::net::sock::wait;
use crate::transports::exclusive;
use crate::transports::socket::SocketTransport;

/// Maximum number of bytes per system call: 1 GiB, as in asyncio.
const MOST: u64 = 1 << 30;

/// The destination of the file.
#[derive(Clone, Copy)]
enum Target<'a> {
    Socket(&'a Py<PyAny>),
    Transport(&'a Py<SocketTransport>),
}

/// A file that the system can read by itself.
struct Source {
    fd: RawFd,
    offset: u64,
    count: Option<u64>,
    size: u64,
}

/// Sends to a user's socket; returns the number of bytes sent.
pub(super) async fn to_socket(this: &Py<Loop>, sock: &Py<PyAny>, part: &Part, channel: &Channel) -> PyResult<u64> {
    send(this, Target::Socket(sock), part, channel).await
}

/// Sends to a transport, which meanwhile does not read and refuses other writes.
pub(super) async fn to_transport(
    this: &Py<Loop>,
    transport: &Py<SocketTransport>,
    part: &Part,
    channel: &Channel,
) -> PyResult<u64> {
    let was_reading = Python::attach(|py| {
        let transport = transport.bind(py);
        let reading = transport.call_method0(name!("is_reading"))?.is_truthy()?;
        exclusive::begin(transport)?;
        transport.call_method0(name!("pause_reading"))?;
        Ok::<_, PyErr>(reading)
    })?;
    let outcome = match exclusive::until_sent(this, transport, channel).await {
        Ok(()) => match Python::attach(|py| check(py, part, None)) {
            Ok(()) => send_by_loop(this, transport, part, channel).await,
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    Python::attach(|py| {
        let transport = transport.bind(py);
        let ended = exclusive::end(transport);
        if was_reading {
            transport.call_method0(name!("resume_reading"))?;
        }
        ended?;
        outcome
    })
}

/// Sends by the loop's `sock_sendfile`, if a subclass overrides it.
async fn send_by_loop(
    this: &Py<Loop>,
    transport: &Py<SocketTransport>,
    part: &Part,
    channel: &Channel,
) -> PyResult<u64> {
    let overridden = Python::attach(|py| overrides(this.bind(py).as_super(), "sock_sendfile"))?;
    if !overridden {
        return send(this, Target::Transport(transport), part, channel).await;
    }
    let sending = Python::attach(|py| {
        let sock = transport.bind(py).call_method1(name!("get_extra_info"), ("socket",))?.getattr(name!("_sock"))?;
        let keywords = memory::dict(py)?;
        keywords.set_item(name!("fallback"), false)?;
        let arguments = (sock, &part.file, &part.offset, part.count.as_ref());
        this.call_method(py, name!("sock_sendfile"), arguments, Some(&keywords))
    })?;
    let sent = channel.wait(sending).await?;
    Python::attach(|py| sent.extract(py))
}

async fn send(this: &Py<Loop>, target: Target<'_>, part: &Part, channel: &Channel) -> PyResult<u64> {
    let source = Python::attach(|py| Source::new(py, part))?;
    if source.count.unwrap_or(source.size) == 0 {
        return Ok(0);
    }
    let mut sent = 0;
    let outcome = copy(this, target, &source, &mut sent, channel).await;
    Python::attach(|py| {
        if sent > 0 || always_seeks(py) {
            // A file without a position is sent from where it is.
            let _ = file::seek(source.fd, source.offset + sent);
        }
        match outcome {
            Ok(()) => Ok(sent),
            // The system cannot send this kind of file; no data was sent yet.
            Err(Failure::System(_)) if sent == 0 => Err(not_available(py, "os.sendfile call failed")),
            Err(Failure::System(error) | Failure::Other(error)) => Err(error),
        }
    })
}

/// Why a transfer ended early.
enum Failure {
    /// The system call failed.
    System(PyErr),
    /// The connection was closed concurrently, or the wait was cancelled.
    Other(PyErr),
}

async fn copy(
    this: &Py<Loop>,
    target: Target<'_>,
    source: &Source,
    sent: &mut u64,
    channel: &Channel,
) -> Result<(), Failure> {
    let mut waited = false;
    loop {
        let left = source.count.map_or(source.size, |count| count - *sent);
        if left == 0 {
            return Ok(());
        }
        let block = usize::try_from(left.min(MOST)).unwrap_or(usize::MAX);
        let outcome = Python::attach(|py| {
            let fd = target.descriptor(py)?;
            // The GIL is released, because reading a file that is not cached blocks.
            let attempt = || py.detach(|| file::send_file(fd, source.fd, source.offset + *sent, block));
            Ok(recorded_calls::number(py, || Some(this.bind(py).clone()), Operation::Send, block, attempt))
        });
        match outcome.map_err(Failure::Other)? {
            Ok(0) => return Ok(()),
            Ok(count) => {
                *sent += count as u64;
                if count < block {
                    // The socket is most likely full, but only `EAGAIN` guarantees a later writable event.
                    waited = true;
                    channel.pass_turn().await.map_err(Failure::Other)?;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                waited = true;
                target.until_writable(this, channel).await.map_err(Failure::Other)?;
            }
            Err(error) => return Err(Failure::System(raised(&error, waited))),
        }
    }
}

/// The exception for a failed call: `ConnectionError` if the socket is no longer connected after a wait, otherwise the
/// system's.
#[cold]
fn raised(error: &io::Error, waited: bool) -> PyErr {
    let raised = exception_handler::from_io(error);
    if !waited || error.kind() != ErrorKind::NotConnected {
        return raised;
    }
    let known = ferrio_cpython::error::<PyConnectionError>(("socket is not connected", error.raw_os_error()));
    Python::attach(|py| known.set_cause(py, Some(raised)));
    known
}

impl Target<'_> {
    fn descriptor(self, py: Python<'_>) -> PyResult<RawFd> {
        match self {
            Self::Socket(sock) => wait::descriptor(sock.bind(py)),
            Self::Transport(transport) => exclusive::descriptor(transport.bind(py)),
        }
    }

    async fn until_writable(self, this: &Py<Loop>, channel: &Channel) -> PyResult<()> {
        match self {
            Self::Socket(sock) => wait::until_writable_for_file(this, sock, channel).await,
            Self::Transport(transport) => {
                Python::attach(|py| {
                    if let Some(poller) = this.get().io.poller(py) {
                        poller.drained(transport.get().fd, Interest::WRITABLE);
                    }
                });
                exclusive::until_writable(this, transport, channel).await
            }
        }
    }
}

impl Source {
    /// # Errors
    /// `SendfileNotAvailableError` for an object without a system file.
    fn new(py: Python<'_>, part: &Part) -> PyResult<Self> {
        let (offset, count) = part.numbers(py)?;
        let asked = part.file.bind(py).call_method0(name!("fileno"));
        let unsupported = ferrio_cpython::module(py, name!("io"))?.getattr(name!("UnsupportedOperation"))?;
        let fd = match asked {
            Ok(fd) => fd.extract()?,
            Err(error) if error.is_instance_of::<PyAttributeError>(py) || error.matches(py, &unsupported)? => {
                return Err(not_available(py, "not a regular file"));
            }
            Err(error) => return Err(error),
        };
        let size = file::size(fd).map_err(|_| not_available(py, "not a regular file"))?;
        Ok(Self { fd, offset, count, size })
    }
}
