//! The fallback of sendfile: reads the file in the executor, because reading may block, and writes the data like any
//! other.
//!
//! While it writes to a transport, ferrio's own protocol replaces the user's, to receive `pause_writing`; the user's
//! protocol is restored in every case.

use ferrio_cpython::GilCell;
use pyo3::exceptions::{PyConnectionError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyMemoryView};
use pyo3::{PyTraverseError, PyVisit};

use super::{Part, always_seeks};
use crate::common::async_block::Channel;
use crate::common::slices::slice;
use crate::event_loop::Loop;

/// Bytes per read for a socket (`SENDFILE_FALLBACK_READBUFFER_SIZE`).
const SOCKET_BLOCK: u64 = 256 * 1024;

/// Bytes per read for a transport.
const TRANSPORT_BLOCK: u64 = 16 * 1024;

/// Sends to a user's socket; returns the number of bytes sent.
pub(super) async fn to_socket(this: &Py<Loop>, sock: &Py<PyAny>, part: &Part, channel: &Channel) -> PyResult<u64> {
    let mut reader = Reader::new(part, SOCKET_BLOCK)?;
    let outcome = copy_to_socket(this, sock, &mut reader, channel).await;
    reader.leave()?;
    outcome.map(|()| reader.sent)
}

async fn copy_to_socket(this: &Py<Loop>, sock: &Py<PyAny>, reader: &mut Reader<'_>, channel: &Channel) -> PyResult<()> {
    while let Some(block) = reader.next(this, channel).await? {
        let sending = Python::attach(|py| this.call_method1(py, name!("sock_sendall"), (sock, &block.data)))?;
        channel.wait(sending).await?;
        reader.sent += block.size;
    }
    Ok(())
}

/// Sends to any transport; returns the number of bytes sent.
pub(super) async fn to_transport(
    this: &Py<Loop>,
    transport: &Py<PyAny>,
    part: &Part,
    channel: &Channel,
) -> PyResult<u64> {
    let mut reader = Reader::new(part, TRANSPORT_BLOCK)?;
    let standing_in =
        Python::attach(|py| FallbackProtocol::begin(this.bind(py), transport.bind(py)).map(Bound::unbind))?;
    let standing_in = channel.own(standing_in);
    let outcome = copy_to_transport(this, transport, &standing_in, &mut reader, channel).await;
    let left = reader.leave();
    let ended = Python::attach(|py| standing_in.get().end(py));
    left.and(ended)?;
    outcome.map(|()| reader.sent)
}

async fn copy_to_transport(
    this: &Py<Loop>,
    transport: &Py<PyAny>,
    standing_in: &Py<FallbackProtocol>,
    reader: &mut Reader<'_>,
    channel: &Channel,
) -> PyResult<()> {
    while let Some(block) = reader.next(this, channel).await? {
        Python::attach(|py| transport.call_method1(py, name!("write"), (&block.data,)))?;
        if let Some(writable) = Python::attach(|py| standing_in.get().until_writable(py))? {
            channel.wait(writable).await?;
        }
        reader.sent += block.size;
    }
    Ok(())
}

/// Reads a part of a file block by block, always into the same memory.
struct Reader<'a> {
    part: &'a Part,
    buffer: Py<PyByteArray>,
    offset: u64,
    count: Option<u64>,
    block: u64,
    /// The number of bytes sent so far.
    sent: u64,
}

/// Bytes that were read: a memoryview and its length.
struct Block {
    data: Py<PyAny>,
    size: u64,
}

impl<'a> Reader<'a> {
    fn new(part: &'a Part, block: u64) -> PyResult<Self> {
        Python::attach(|py| {
            let (offset, count) = part.numbers(py)?;
            let file = part.file.bind(py);
            if offset > 0 || (always_seeks(py) && file.hasattr(name!("seek"))?) {
                file.call_method1(name!("seek"), (offset,))?;
            }
            let block = count.map_or(block, |count| count.min(block));
            let buffer = PyByteArray::new_with(py, usize::try_from(block)?, |_| Ok(()))?.unbind();
            Ok(Self { part, buffer, offset, count, block, sent: 0 })
        })
    }

    /// Reads the next block; None at the end.
    async fn next(&self, this: &Py<Loop>, channel: &Channel) -> PyResult<Option<Block>> {
        let wanted = self.count.map_or(self.block, |count| (count - self.sent).min(self.block));
        if wanted == 0 {
            return Ok(None);
        }
        let (view, reading) = Python::attach(|py| {
            let view = first(PyMemoryView::from(self.buffer.bind(py))?.as_any(), wanted)?;
            let read = self.part.file.getattr(py, name!("readinto"))?;
            let reading = this.call_method1(py, name!("run_in_executor"), (py.None(), read, &view))?;
            Ok::<_, PyErr>((view.unbind(), reading))
        })?;
        let count = channel.wait(reading).await?;
        Python::attach(|py| {
            if !count.is_truthy(py)? {
                return Ok(None);
            }
            let size = count.extract(py)?;
            Ok(Some(Block { data: first(view.bind(py), size)?.unbind(), size }))
        })
    }

    /// Sets the file's position to the end of the bytes sent.
    fn leave(&self) -> PyResult<()> {
        Python::attach(|py| {
            let file = self.part.file.bind(py);
            if self.sent > 0 && file.hasattr(name!("seek"))? {
                file.call_method1(name!("seek"), (self.offset + self.sent,))?;
            }
            Ok(())
        })
    }
}

fn first<'py>(view: &Bound<'py, PyAny>, count: u64) -> PyResult<Bound<'py, PyAny>> {
    view.get_item(slice(view.py(), 0, Some(usize::try_from(count)?))?)
}

/// The protocol of a transport during `sendfile` without the system's help: asyncio's `_SendfileFallbackProtocol`.
#[pyclass(frozen, module = "ferrio")]
pub(crate) struct FallbackProtocol {
    owner: Py<Loop>,
    transport: Py<PyAny>,
    /// The user's protocol.
    protocol: Py<PyAny>,
    was_reading: bool,
    was_paused: bool,
    /// A future that completes when the transport accepts data again; None while it does.
    writable: GilCell<Option<Py<PyAny>>>,
}

impl FallbackProtocol {
    fn begin<'py>(slf: &Bound<'py, Loop>, transport: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let py = slf.py();
        let was_paused = match transport.getattr_opt(name!("_protocol_paused"))? {
            Some(paused) => paused.is_truthy()?,
            None => false,
        };
        let writable = if was_paused { Some(Loop::waiter(slf)?.unbind()) } else { None };
        let standing_in = Self {
            owner: slf.clone().unbind(),
            transport: transport.clone().unbind(),
            protocol: transport.call_method0(name!("get_protocol"))?.unbind(),
            was_reading: transport.call_method0(name!("is_reading"))?.is_truthy()?,
            was_paused,
            writable: GilCell::new(writable),
        };
        transport.call_method0(name!("pause_reading"))?;
        let standing_in = Bound::new(py, standing_in)?;
        transport.call_method1(name!("set_protocol"), (&standing_in,))?;
        Ok(standing_in)
    }

    /// The future to wait for before writing; None if the transport accepts data.
    fn until_writable(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        if self.transport.call_method0(py, name!("is_closing"))?.is_truthy(py)? {
            return Err(ferrio_cpython::error::<PyConnectionError>("Connection closed by peer"));
        }
        Ok(self.writable.with(py, |writable| writable.as_ref().map(|writable| writable.clone_ref(py))))
    }

    /// Restores the user's protocol.
    fn end(&self, py: Python<'_>) -> PyResult<()> {
        let transport = self.transport.bind(py);
        transport.call_method1(name!("set_protocol"), (&self.protocol,))?;
        if self.was_reading {
            transport.call_method0(name!("resume_reading"))?;
        }
        if let Some(writable) = self.writable.with(py, Option::take) {
            // No coroutine waits for it any more.
            writable.call_method0(py, name!("cancel"))?;
        }
        if self.was_paused {
            self.protocol.call_method0(py, name!("resume_writing"))?;
        }
        Ok(())
    }
}

#[pymethods]
impl FallbackProtocol {
    #[expect(clippy::unused_self, reason = "a protocol's method")]
    fn connection_made(&self, _transport: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(ferrio_cpython::error::<PyRuntimeError>("Invalid state: connection should have been established already."))
    }

    fn connection_lost(&self, exc: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = exc.py();
        let writable = self.writable.with(py, |writable| writable.as_ref().map(|writable| writable.clone_ref(py)));
        if let Some(writable) = writable.map(|writable| writable.into_bound(py))
            && !writable.call_method0(name!("done"))?.is_truthy()?
        {
            // A sendfile that is done no longer waits here, so closing is an error for one that does.
            if exc.is_none() {
                let error = ferrio_cpython::error::<PyConnectionError>("Connection is closed by peer");
                writable.call_method1(name!("set_exception"), (error.into_value(py),))?;
            } else {
                writable.call_method1(name!("set_exception"), (exc,))?;
            }
        }
        self.protocol.call_method1(py, name!("connection_lost"), (exc,)).map(drop)
    }

    fn pause_writing(&self, py: Python<'_>) -> PyResult<()> {
        if self.writable.with(py, |writable| writable.is_none()) {
            let writable = Loop::waiter(self.owner.bind(py))?.unbind();
            let before = self.writable.with(py, |place| place.replace(writable));
            drop(before);
        }
        Ok(())
    }

    fn resume_writing(&self, py: Python<'_>) -> PyResult<()> {
        match self.writable.with(py, Option::take) {
            Some(writable) if !writable.call_method0(py, name!("done"))?.is_truthy(py)? => {
                writable.call_method1(py, name!("set_result"), (false,)).map(drop)
            }
            Some(_) | None => Ok(()),
        }
    }

    #[expect(clippy::unused_self, reason = "a protocol's method")]
    fn data_received(&self, _data: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(ferrio_cpython::error::<PyRuntimeError>("Invalid state: reading should be paused"))
    }

    #[expect(clippy::unused_self, reason = "a protocol's method")]
    fn eof_received(&self) -> PyResult<()> {
        Err(ferrio_cpython::error::<PyRuntimeError>("Invalid state: reading should be paused"))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.owner)?;
        visit.call(&self.transport)?;
        visit.call(&self.protocol)?;
        self.writable.traverse(&visit, |writable| visit.call(writable)).transpose().map(drop)
    }

    fn __clear__(&self, py: Python<'_>) {
        let writable = self.writable.with(py, Option::take);
        drop(writable);
    }
}
