//! Files of Unix sockets: the stale one that is in a server's way, the own one that goes with the server.
//!
//! Looked at and removed by the system's calls, not through `os`: tools that forbid blocking calls under a loop excuse
//! asyncio's own by the names of its Python functions, which are not there. The audit event is that of `os.remove`.

use std::io;

use ferrio_sys::file::{self, Found};
use pyo3::exceptions::{PyFileNotFoundError, PyOSError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::common::imports;
use crate::event_loop::exception_handler;
use crate::net::unix::connect::is_abstract;

/// The file of a listening socket: removed when the server closes, unless another socket took its place.
pub(crate) struct SocketFile {
    path: Py<PyAny>,
    inode: u64,
}

impl SocketFile {
    /// The file of a bound socket; None if it has none.
    pub(crate) fn of(sock: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let path = sock.call_method0(name!("getsockname"))?;
        if is_abstract(&path)? {
            return Ok(None);
        }
        match find(&path) {
            Ok(found) => Ok(Some(Self { path: path.unbind(), inode: found.inode })),
            Err(error) if error.is_instance_of::<PyFileNotFoundError>(sock.py()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the file.
    pub(crate) fn remove(self, py: Python<'_>) -> PyResult<()> {
        let path = self.path.bind(py);
        let removed = find(path).and_then(|found| if found.inode == self.inode { remove(path) } else { Ok(()) });
        unless_missing(py, removed, "Unable to clean up listening UNIX socket %r: %r", path)
    }
}

/// Removes a socket that a server left behind at `path`. What is no socket stays, for binding to complain of; what
/// cannot be looked at or removed is logged, since a directory may allow to make sockets and no more.
pub(crate) fn remove_stale(path: &Bound<'_, PyAny>) -> PyResult<()> {
    if is_abstract(path)? {
        return Ok(());
    }
    let removed = find(path).and_then(|found| if found.is_socket { remove(path) } else { Ok(()) });
    unless_missing(path.py(), removed, "Unable to check or remove stale UNIX socket %r: %r", path)
}

/// Passes over a missing file, logs any other `OSError`.
fn unless_missing(py: Python<'_>, outcome: PyResult<()>, text: &str, path: &Bound<'_, PyAny>) -> PyResult<()> {
    match outcome {
        Err(error) if error.is_instance_of::<PyFileNotFoundError>(py) => Ok(()),
        Err(error) if error.is_instance_of::<PyOSError>(py) => {
            imports::unix_events_logger(py)?.call_method1(name!("error"), (text, path, error.value(py))).map(drop)
        }
        outcome => outcome,
    }
}

/// What lies at a path, str or bytes.
fn find(path: &Bound<'_, PyAny>) -> PyResult<Found> {
    let name = encoded(path)?;
    if name.as_bytes().contains(&0) {
        // No such name can be; `os` has the words for it.
        path.py().import(name!("os"))?.call_method1(name!("stat"), (path,))?;
    }
    file::find(name.as_bytes()).map_err(|error| of_file(&error, path))
}

fn remove(path: &Bound<'_, PyAny>) -> PyResult<()> {
    path.py().import(name!("sys"))?.call_method1(name!("audit"), ("os.remove", path, -1))?;
    file::remove(encoded(path)?.as_bytes()).map_err(|error| of_file(&error, path))
}

fn encoded<'py>(path: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    Ok(path.py().import(name!("os"))?.call_method1(name!("fsencode"), (path,))?.cast_into::<PyBytes>()?)
}

/// The `OSError` that names the file.
fn of_file(error: &io::Error, path: &Bound<'_, PyAny>) -> PyErr {
    let named = exception_handler::from_io(error);
    match named.value(path.py()).setattr(name!("filename"), path) {
        Ok(()) => named,
        Err(failure) => failure,
    }
}
