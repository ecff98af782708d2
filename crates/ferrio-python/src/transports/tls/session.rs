//! The objects of the `ssl` module behind a connection: two memory BIOs and the `SSLObject` between them.
//!
//! Methods that are called for every record are looked up once. For an `SSLObject` of the standard class they are the
//! methods of the C object that it wraps; for a context with its own `sslobject_class`, the methods of that class.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use pyo3::{PyTraverseError, PyVisit};

use super::options::Options;
use crate::common::imports;

/// The cryptographic part of a connection.
pub(super) struct Session {
    /// Whether the methods are those of the C object, which keeps no reference to its arguments.
    pub(super) is_unpatched: bool,
    pub(super) is_server: bool,
    pub(super) context: Py<PyAny>,
    /// The `SSLObject`.
    pub(super) object: Py<PyAny>,
    incoming: Py<PyAny>,
    outgoing: Py<PyAny>,
    feed: Py<PyAny>,
    take: Py<PyAny>,
    read: Py<PyAny>,
    write: Py<PyAny>,
}

/// The outcome of a read.
pub(super) enum Read<T> {
    Data(T),
    /// The peer's `close_notify`.
    End,
    /// More received data is needed.
    Wanting,
}

impl Session {
    /// `is_recorded`: the loop has a recording, which notes or gives what the object's own methods give.
    pub(super) fn new(py: Python<'_>, options: &Options, is_recorded: bool) -> PyResult<Self> {
        let context = options.ssl_context(py)?;
        let bio = imports::memory_bio(py)?;
        let (incoming, outgoing) = (bio.call0()?, bio.call0()?);
        let object = context.call_method(name!("wrap_bio"), (&incoming, &outgoing), Some(&options.wrapping(py)?))?;
        let is_unpatched = !is_recorded && object.get_type().is(imports::ssl_object(py)?);
        let inner = if is_unpatched { object.getattr(name!("_sslobj"))? } else { object.clone() };
        Ok(Self {
            is_unpatched,
            is_server: options.is_server(),
            feed: incoming.getattr(name!("write"))?.unbind(),
            take: outgoing.getattr(name!("read"))?.unbind(),
            read: inner.getattr(name!("read"))?.unbind(),
            write: inner.getattr(name!("write"))?.unbind(),
            context: context.unbind(),
            object: object.unbind(),
            incoming: incoming.unbind(),
            outgoing: outgoing.unbind(),
        })
    }

    /// Adds received bytes.
    pub(super) fn feed(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        self.feed.bind(py).call1((data,)).map(drop)
    }

    /// Takes bytes to send to the peer; None if there are none.
    pub(super) fn take<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let data = self.take.bind(py).call0()?.cast_into::<PyBytes>()?;
        Ok(Some(data).filter(|data| !data.as_bytes().is_empty()))
    }

    /// The number of received bytes that are not read yet.
    pub(super) fn incoming_pending(&self, py: Python<'_>) -> PyResult<usize> {
        self.incoming.bind(py).getattr(pyo3::intern!(py, "pending"))?.extract()
    }

    /// Whether a read would find nothing, neither encrypted nor decrypted.
    pub(super) fn is_empty(&self, py: Python<'_>) -> PyResult<bool> {
        let decrypted = |count: Bound<'_, PyAny>| Ok(count.extract::<usize>()? == 0);
        Ok(self.incoming_pending(py)? == 0
            && self.object.bind(py).call_method0(pyo3::intern!(py, "pending")).and_then(decrypted)?)
    }

    /// The number of bytes to send to the peer.
    pub(super) fn outgoing_pending(&self, py: Python<'_>) -> PyResult<usize> {
        self.outgoing.bind(py).getattr(pyo3::intern!(py, "pending"))?.extract()
    }

    /// Reads up to `size` bytes of one record.
    pub(super) fn read<'py>(&self, py: Python<'py>, size: usize) -> PyResult<Read<Bound<'py, PyBytes>>> {
        match self.read.bind(py).call1((size,)) {
            Ok(data) => {
                let data = data.cast_into::<PyBytes>()?;
                Ok(if data.as_bytes().is_empty() { Read::End } else { Read::Data(data) })
            }
            Err(error) if wants_more(py, &error)? => Ok(Read::Wanting),
            Err(error) => Err(error),
        }
    }

    /// Reads up to `size` bytes of one record into `target`.
    pub(super) fn read_into(&self, py: Python<'_>, size: usize, target: &Bound<'_, PyAny>) -> PyResult<Read<usize>> {
        match self.read.bind(py).call1((size, target)) {
            Ok(count) => {
                let count = count.extract()?;
                Ok(if count == 0 { Read::End } else { Read::Data(count) })
            }
            Err(error) if wants_more(py, &error)? => Ok(Read::Wanting),
            Err(error) => Err(error),
        }
    }

    /// Writes as much as fits into one record and returns its length; None if the session needs data from the peer
    /// first.
    pub(super) fn write(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
        match self.write.bind(py).call1((data,)) {
            Ok(count) => count.extract().map(Some),
            Err(error) if wants_more(py, &error)? => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Calls a method of the object; false if the session needs data from the peer first.
    pub(super) fn advance(&self, py: Python<'_>, method: &Bound<'_, PyString>) -> PyResult<bool> {
        match self.object.bind(py).call_method0(method) {
            Ok(_) => Ok(true),
            Err(error) if wants_more(py, &error)? => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Self { is_unpatched: _, is_server: _, context, object, incoming, outgoing, feed, take, read, write } = self;
        [context, object, incoming, outgoing, feed, take, read, write]
            .into_iter()
            .try_for_each(|owned| visit.call(owned))
    }
}

/// asyncio's `SSLAgainErrors`.
fn wants_more(py: Python<'_>, error: &PyErr) -> PyResult<bool> {
    Ok(error.matches(py, imports::ssl_want_read(py)?)? || error.matches(py, imports::ssl_syscall_error(py)?)?)
}
