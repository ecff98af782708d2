//! `connect_read_pipe` and `connect_write_pipe`.

use ferrio_cpython::Runnable;
use pyo3::prelude::*;

use crate::common::async_block::{Channel, Coroutine};
use crate::common::imports;
use crate::event_loop::{Loop, base};
use crate::transports::endpoint::wake_waiter;
use crate::transports::pipe::{read, write};

#[pymethods]
impl Loop {
    /// Read from `pipe`, a file object around a pipe, socket or character device; gives transport and protocol.
    fn connect_read_pipe(slf: &Bound<'_, Self>, protocol_factory: Py<PyAny>, pipe: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let this = slf.clone().unbind();
        Coroutine::spawn(slf.py(), "EventLoop.connect_read_pipe", |channel| async move {
            let (this, protocol_factory) = (channel.own(this), channel.own(protocol_factory));
            let connected = Python::attach(|py| {
                let protocol = protocol_factory.bind(py).call0()?;
                let transport = read::connect(this.bind(py), pipe.bind(py), &protocol)?;
                Connected::new(this.bind(py), transport.into_any(), protocol)
            })?;
            connected.finish(&this, &pipe, "Read pipe %r connected: (%r, %r)", &channel).await
        })
    }

    /// Write to `pipe`, a file object around a pipe, socket or character device; gives transport and protocol.
    fn connect_write_pipe(slf: &Bound<'_, Self>, protocol_factory: Py<PyAny>, pipe: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let this = slf.clone().unbind();
        Coroutine::spawn(slf.py(), "EventLoop.connect_write_pipe", |channel| async move {
            let (this, protocol_factory) = (channel.own(this), channel.own(protocol_factory));
            let connected = Python::attach(|py| {
                let protocol = protocol_factory.bind(py).call0()?;
                let transport = write::connect(this.bind(py), pipe.bind(py), &protocol)?;
                Connected::new(this.bind(py), transport.into_any(), protocol)
            })?;
            connected.finish(&this, &pipe, "Write pipe %r connected: (%r, %r)", &channel).await
        })
    }
}

/// A transport whose `connection_made` is called in the next turn.
struct Connected {
    transport: Py<PyAny>,
    protocol: Py<PyAny>,
    /// Completes after `connection_made`. Data arrives in the turn in which the caller continues, after the caller.
    waiter: Py<PyAny>,
}

impl Connected {
    fn new(slf: &Bound<'_, Loop>, transport: Bound<'_, PyAny>, protocol: Bound<'_, PyAny>) -> PyResult<Self> {
        let waiter = slf.call_method0(name!("create_future"))?;
        base(slf).push_reserved(slf.py(), Runnable::native(waiter.clone(), wake_waiter, 0));
        Ok(Self { transport: transport.unbind(), protocol: protocol.unbind(), waiter: waiter.unbind() })
    }

    /// Waits until `connection_made` was called; on cancellation, closes the pipe.
    async fn finish(
        self,
        this: &Py<Loop>,
        pipe: &Py<PyAny>,
        message: &str,
        channel: &Channel,
    ) -> PyResult<(Py<PyAny>, Py<PyAny>)> {
        let Self { transport, protocol, waiter } = self;
        let (transport, protocol) = (channel.own(transport), channel.own(protocol));
        if let Err(error) = channel.wait(waiter).await {
            Python::attach(|py| transport.call_method0(py, name!("close")))?;
            return Err(error);
        }
        Python::attach(|py| {
            if base(this.bind(py)).debug.get() {
                let fd = pipe.call_method0(py, name!("fileno"))?;
                imports::base_events_logger(py)?
                    .call_method1(name!("debug"), (message, fd, &*transport, &*protocol))?;
            }
            Ok((transport.handed_over(), protocol.handed_over()))
        })
    }
}
