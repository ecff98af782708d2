//! File descriptors: `add_reader`, `remove_reader`, `add_writer`, `remove_writer`.
//!
//! The checks are those of asyncio's selector loop: an object without a descriptor raises the error that `selectors`
//! raises, and a descriptor that a transport uses is refused. If the poller refuses a descriptor (a regular file, a
//! closed one), its `OSError` is raised.

use std::collections::HashMap;
use std::os::fd::RawFd;

use ferrio_cpython::{GilCell, HandleRef};
use ferrio_engine::Role;
use pyo3::exceptions::{PyAttributeError, PyOverflowError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::event_loop::handler::Handler;
use crate::event_loop::{Loop, base};

/// The file objects that callbacks were registered with, by descriptor. As with `selectors`, they stay alive, and so
/// open, while they are watched; an object that was closed in the meantime can still be unregistered.
#[derive(Default)]
pub(crate) struct Files(GilCell<HashMap<RawFd, Py<PyAny>>>);

impl Files {
    fn set(&self, py: Python<'_>, fd: RawFd, file: Option<&Bound<'_, PyAny>>) {
        let file = file.map(|file| file.clone().unbind());
        let before = self.0.with(py, |files| match file {
            Some(file) => files.insert(fd, file),
            None => files.remove(&fd),
        });
        drop(before);
    }

    fn number(&self, py: Python<'_>, file: &Bound<'_, PyAny>) -> Option<RawFd> {
        self.0.with(py, |files| files.iter().find(|(_, known)| known.is(file)).map(|(fd, _)| *fd))
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.traverse(visit, |files| files.values().try_for_each(|file| visit.call(file))).transpose().map(drop)
    }

    pub(crate) fn clear(&self, py: Python<'_>) {
        let files = self.0.with(py, std::mem::take);
        drop(files);
    }
}

#[pymethods]
impl Loop {
    /// Call `callback(*args)` whenever `fd` can be read.
    #[pyo3(signature = (fd, callback, *args))]
    pub(crate) fn add_reader<'py>(
        slf: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        callback: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
    ) -> PyResult<()> {
        watch(slf, fd, Role::Reader, callback, args)
    }

    /// Stop watching `fd` for reading; tells whether it was watched.
    pub(crate) fn remove_reader(slf: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<bool> {
        unwatch(slf, fd, Role::Reader)
    }

    /// Call `callback(*args)` whenever `fd` can be written to.
    #[pyo3(signature = (fd, callback, *args))]
    fn add_writer<'py>(
        slf: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        callback: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
    ) -> PyResult<()> {
        watch(slf, fd, Role::Writer, callback, args)
    }

    /// Stop watching `fd` for writing; tells whether it was watched.
    fn remove_writer(slf: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<bool> {
        unwatch(slf, fd, Role::Writer)
    }
}

/// Refuses a descriptor that an open transport uses, as asyncio's `_ensure_fd_no_transport` does; `shown` is the object
/// that the user passed for it.
pub(crate) fn refuse_used(slf: &Bound<'_, Loop>, fd: RawFd, shown: &Bound<'_, PyAny>) -> PyResult<()> {
    let Some(transport) = transport_of(slf, fd) else { return Ok(()) };
    if transport.call_method0(name!("is_closing"))?.is_truthy()? {
        return Ok(());
    }
    let text = format!("File descriptor {} is used by transport {}", shown.repr()?, transport.repr()?);
    Err(ferrio_cpython::error::<PyRuntimeError>(text))
}

/// The transport that is registered for a descriptor. Listeners, which also watch one, do not count as transports.
fn transport_of<'py>(slf: &Bound<'py, Loop>, fd: RawFd) -> Option<Bound<'py, PyAny>> {
    let py = slf.py();
    slf.get().io.registrations.with(py, |registrations| {
        let entry = registrations.get(fd)?;
        let by_level = || entry.reader().or(entry.writer())?.level_transport(py);
        entry.stream().and_then(|handler| handler.target(py)).or_else(by_level)
    })
}

fn watch<'py>(
    slf: &Bound<'py, Loop>,
    file: &Bound<'py, PyAny>,
    role: Role,
    callback: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
) -> PyResult<()> {
    let py = slf.py();
    let number = Descriptor::of(file)?;
    refuse_used_number(slf, &number, file)?;
    base(slf).check_open()?;
    number.refuse_negative()?;
    let fd = number.known()?;
    let handle = HandleRef::unscheduled(slf.as_super(), callback, args)?;
    let io = &slf.get().io;
    let fresh = io.registrations.with(py, |registrations| registrations.get(fd).is_none());
    for replaced in io.register(py, fd, role, Handler::Callback(handle))? {
        replaced.retire(py)?;
    }
    if !file.is_instance_of::<PyInt>() {
        io.files.set(py, fd, Some(file));
    } else if fresh {
        io.files.set(py, fd, None);
    }
    Ok(())
}

fn unwatch(slf: &Bound<'_, Loop>, file: &Bound<'_, PyAny>, role: Role) -> PyResult<bool> {
    let py = slf.py();
    let number = Descriptor::of(file)?;
    refuse_used_number(slf, &number, file)?;
    if base(slf).closed.get() {
        return Ok(false);
    }
    let io = &slf.get().io;
    let fd = match number.refuse_negative() {
        Ok(()) => number.fd,
        // The file was closed in the meantime: its descriptor is found by the object's identity.
        Err(error) => Some(io.files.number(py, file).ok_or(error)?),
    };
    // A number that a descriptor's type cannot hold is never watched.
    let Some(fd) = fd else { return Ok(false) };
    let handler = io.unregister(py, fd, role);
    if io.registrations.with(py, |registrations| registrations.get(fd).is_none()) {
        io.files.set(py, fd, None);
    }
    match handler {
        Some(handler) => handler.retire(py).map(|()| true),
        None => Ok(false),
    }
}

/// The descriptor number of a file: an integer of any size, or `int()` of an object's `fileno()`.
struct Descriptor<'py> {
    number: Bound<'py, PyAny>,
    /// The number as a descriptor; None if it does not fit the type.
    fd: Option<RawFd>,
}

impl<'py> Descriptor<'py> {
    fn of(file: &Bound<'py, PyAny>) -> PyResult<Self> {
        let number = if file.is_instance_of::<PyInt>() { file.clone() } else { number_of(file)? };
        let fd = match number.extract::<RawFd>() {
            Ok(fd) => Some(fd),
            Err(error) if error.is_instance_of::<PyOverflowError>(file.py()) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { number, fd })
    }

    /// Raises the error of `selectors` for negative numbers, which closed sockets have too.
    fn refuse_negative(&self) -> PyResult<()> {
        let is_negative = match self.fd {
            Some(fd) if self.number.is_exact_instance_of::<PyInt>() => fd < 0,
            _ => self.number.lt(0)?,
        };
        if is_negative {
            let text = format!("Invalid file descriptor: {}", self.number.str()?);
            return Err(ferrio_cpython::error::<PyValueError>(text));
        }
        Ok(())
    }

    /// The descriptor if it can be registered, otherwise the error that `epoll` raises.
    fn known(&self) -> PyResult<RawFd> {
        let fd = self
            .fd
            .ok_or_else(|| ferrio_cpython::error::<PyOverflowError>("Python int too large to convert to C int"))?;
        if fd < 0 {
            let text = format!("file descriptor cannot be a negative integer ({fd})");
            return Err(ferrio_cpython::error::<PyValueError>(text));
        }
        Ok(fd)
    }
}

/// `int(file.fileno())`, as asyncio does: anything that converts to an integer is accepted.
fn number_of<'py>(file: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = file.py();
    let asked =
        file.call_method0(pyo3::intern!(py, "fileno")).and_then(|number| py.get_type::<PyInt>().call1((number,)));
    match asked {
        Err(error) if is_refusal(py, &error) => {
            Err(ferrio_cpython::error::<PyValueError>(format!("Invalid file object: {}", file.repr()?)))
        }
        asked => asked,
    }
}

fn is_refusal(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyAttributeError>(py)
        || error.is_instance_of::<PyTypeError>(py)
        || error.is_instance_of::<PyValueError>(py)
}

fn refuse_used_number(slf: &Bound<'_, Loop>, number: &Descriptor<'_>, shown: &Bound<'_, PyAny>) -> PyResult<()> {
    number.fd.map_or(Ok(()), |fd| refuse_used(slf, fd, shown))
}
