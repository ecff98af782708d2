//! The files of Unix sockets: removing a stale one before binding, and the server's own when it closes.
//!
//! Files are examined and removed by system calls, not through `os`: tools that forbid blocking calls in a loop make
//! exceptions for asyncio by the names of its Python functions, which do not exist here. The audit event is that of
//! `os.remove`.

use std::io;

use ferrio_sys::file::{self, Found};
use pyo3::exceptions::{PyFileNotFoundError, PyOSError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::common::imports;
use crate::event_loop::exception_handler;
use crate::net::unix::connect::is_abstract;

/// The file of a listening socket: removed when the server closes, unless another socket has replaced it.
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

/// Removes a socket that a previous server left at `path`. Any other file stays, so that binding fails. Errors while
/// examining or removing it are logged, because a directory may allow creating sockets and nothing else.
pub(crate) fn remove_stale(path: &Bound<'_, PyAny>) -> PyResult<()> {
    if is_abstract(path)? {
        return Ok(());
    }
    let removed = find(path).and_then(|found| if found.is_socket { remove(path) } else { Ok(()) });
    unless_missing(path.py(), removed, "Unable to check or remove stale UNIX socket %r: %r", path)
}

/// Ignores a missing file and logs any other `OSError`.
fn unless_missing(py: Python<'_>, outcome: PyResult<()>, text: &str, path: &Bound<'_, PyAny>) -> PyResult<()> {
    match outcome {
        Err(error) if error.is_instance_of::<PyFileNotFoundError>(py) => Ok(()),
        Err(error) if error.is_instance_of::<PyOSError>(py) => {
            imports::unix_events_logger(py)?.call_method1(name!("error"), (text, path, error.value(py))).map(drop)
        }
        outcome => outcome,
    }
}

/// What exists at a path, str or bytes.
fn find(path: &Bound<'_, PyAny>) -> PyResult<Found> {
    let name = encoded(path)?;
    if name.as_bytes().contains(&0) {
        // The name is invalid; `os` raises the appropriate error.
        ferrio_cpython::module(path.py(), name!("os"))?.call_method1(name!("stat"), (path,))?;
    }
    file::find(name.as_bytes()).map_err(|error| of_file(&error, path))
}

fn remove(path: &Bound<'_, PyAny>) -> PyResult<()> {
    ferrio_cpython::module(path.py(), name!("sys"))?.call_method1(name!("audit"), ("os.remove", path, -1))?;
    file::remove(encoded(path)?.as_bytes()).map_err(|error| of_file(&error, path))
}

fn encoded<'py>(path: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    Ok(ferrio_cpython::module(path.py(), name!("os"))?
        .call_method1(name!("fsencode"), (path,))?
        .cast_into::<PyBytes>()?)
}

/// The `OSError` with the file's name.
fn of_file(error: &io::Error, path: &Bound<'_, PyAny>) -> PyErr {
    let named = exception_handler::from_io(error);
    match named.value(path.py()).setattr(name!("filename"), path) {
        Ok(()) => named,
        Err(failure) => failure,
    }
}
