//! `loop.start_tls`: TLS over a transport that is already in use.

use ferrio_cpython::capi::memory;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use super::options::Options;
use super::{TlsProtocol, TlsTransport, Waiter, make};
use crate::common::async_block::{Channel, Coroutine};
use crate::common::close_guard::CloseGuard;
use crate::common::numbers::Truth;
use crate::event_loop::Loop;
use crate::transports::reader_sink;

/// An upgrade whose handshake is in progress.
struct Upgrade {
    transport: Py<TlsTransport>,
    /// Closes the lower transport if the handshake fails.
    lower: CloseGuard,
    waiter: Py<PyAny>,
    /// The handles of the callbacks that start the handshake.
    handles: [Py<PyAny>; 2],
}

#[pymethods]
impl Loop {
    /// Upgrade a transport to TLS; gives the transport that `protocol` is to use from then on.
    #[pyo3(
        signature = (
            transport, protocol, sslcontext, *, server_side=Truth(false), server_hostname=None,
            ssl_handshake_timeout=None, ssl_shutdown_timeout=None
        ),
        text_signature = "($self, transport, protocol, sslcontext, *, server_side=False, server_hostname=None, \
            ssl_handshake_timeout=None, ssl_shutdown_timeout=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "asyncio's signature")]
    fn start_tls(
        slf: &Bound<'_, Self>,
        transport: Py<PyAny>,
        protocol: Py<PyAny>,
        sslcontext: Py<PyAny>,
        server_side: Truth,
        server_hostname: Option<Py<PyAny>>,
        ssl_handshake_timeout: Option<Py<PyAny>>,
        ssl_shutdown_timeout: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let this = slf.clone().unbind();
        Coroutine::spawn(slf.py(), "EventLoop.start_tls", |channel| async move {
            let (this, transport, protocol) = (channel.own(this), channel.own(transport), channel.own(protocol));
            let timeouts = [ssl_handshake_timeout, ssl_shutdown_timeout];
            let upgrade = Python::attach(|py| {
                check(py, &sslcontext, &transport)?;
                let options = if server_side.0 {
                    Options::server(Some(sslcontext), timeouts)
                } else {
                    Options::client(py, sslcontext, server_hostname, timeouts)?
                };
                begin(this.bind(py), transport.bind(py), protocol.bind(py), &options)
            })?;
            finish(upgrade, &channel).await
        })
    }
}

fn check(py: Python<'_>, context: &Py<PyAny>, transport: &Py<PyAny>) -> PyResult<()> {
    let context = context.bind(py);
    if !context.is_instance(&ferrio_cpython::module(py, name!("ssl"))?.getattr(name!("SSLContext"))?)? {
        let text = format!("sslcontext is expected to be an instance of ssl.SSLContext, got {}", context.repr()?);
        return Err(ferrio_cpython::error::<PyTypeError>(text));
    }
    let transport = transport.bind(py);
    let compatible =
        transport.getattr_opt(name!("_start_tls_compatible"))?.map_or(Ok(false), |answer| answer.is_truthy())?;
    if !compatible {
        return Err(ferrio_cpython::error::<PyTypeError>(format!(
            "transport {} is not supported by start_tls()",
            transport.repr()?
        )));
    }
    Ok(())
}

fn begin(
    slf: &Bound<'_, Loop>,
    lower: &Bound<'_, PyAny>,
    protocol: &Bound<'_, PyAny>,
    options: &Options,
) -> PyResult<Upgrade> {
    let py = slf.py();
    let waiter = Loop::waiter(slf)?.unbind();
    let transport = make(slf, protocol.clone(), options, Waiter::Future(waiter.clone_ref(py)), false)?;
    let below = Bound::new(py, TlsProtocol::of(&transport))?;
    // No data may be received before the handshake starts.
    lower.call_method0(name!("pause_reading"))?;
    if options.is_server() {
        take_early_data(&transport, protocol)?;
    }
    lower.call_method1(name!("set_protocol"), (&below,))?;
    let made = slf.call_method1(name!("call_soon"), (below.getattr(name!("connection_made"))?, lower))?;
    let resumed = slf.call_method1(name!("call_soon"), (lower.getattr(name!("resume_reading"))?,))?;
    Ok(Upgrade {
        transport: transport.unbind(),
        lower: CloseGuard::created(lower.clone().unbind()),
        waiter,
        handles: [made.unbind(), resumed.unbind()],
    })
}

/// Passes the data that a stream has already buffered to the handshake, which it belongs to.
fn take_early_data(transport: &Bound<'_, TlsTransport>, protocol: &Bound<'_, PyAny>) -> PyResult<()> {
    let early = reader_sink::take_early(protocol)?;
    if early.is_empty() { Ok(()) } else { super::receive::feed(transport, &memory::bytes(transport.py(), &early)?) }
}

/// The transport; None if the lower connection was lost before the handshake started, as in asyncio.
async fn finish(upgrade: Upgrade, channel: &Channel) -> PyResult<Option<Py<TlsTransport>>> {
    let Upgrade { transport, lower, waiter, handles } = upgrade;
    let (transport, lower, handles) =
        (channel.own(transport), lower.owned(channel), handles.map(|handle| channel.own(handle)));
    if let Err(error) = channel.wait(waiter).await {
        drop(lower);
        Python::attach(|py| {
            for handle in handles {
                handle.call_method0(py, name!("cancel"))?;
            }
            Ok::<_, PyErr>(())
        })?;
        return Err(error);
    }
    lower.keep();
    let is_lost = Python::attach(|py| transport.get().state.with(py, |state| state.protocol.is_none()));
    Ok((!is_lost).then(|| transport.handed_over()))
}
