//! One attempt to connect: creating, binding and connecting a socket; and the error if all attempts failed.

use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::raise::raised;
use pyo3::exceptions::{PyOSError, PyTimeoutError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::common::async_block::Channel;
use crate::common::close_guard::CloseGuard;
use crate::common::imports;
use crate::event_loop::Loop;
use crate::net::sock::connect::connect_ours;

/// The `OSError`s of all attempts, in the order of the attempts.
#[derive(Default)]
pub(crate) struct Failures(Vec<Vec<PyErr>>);

impl Failures {
    /// Starts an attempt; returns its number.
    pub(crate) fn begin(&mut self) -> usize {
        self.0.push(Vec::new());
        self.0.len() - 1
    }

    /// The number of attempts so far.
    pub(crate) fn begun(&self) -> usize {
        self.0.len()
    }

    /// The errors of one attempt.
    pub(crate) fn of(&mut self, attempt: usize) -> &mut Vec<PyErr> {
        &mut self.0[attempt]
    }

    /// Adds the errors of another failed attempt.
    pub(crate) fn add(&mut self, attempt: Vec<PyErr>) {
        self.0.push(attempt);
    }

    /// The errors of all attempts in one list.
    pub(crate) fn into_errors(self) -> Vec<PyErr> {
        self.0.into_iter().flatten().collect()
    }

    /// Records an `OSError`; returns any other exception as the error.
    pub(crate) fn note(&mut self, py: Python<'_>, attempt: usize, error: PyErr) -> PyResult<()> {
        if !error.is_instance_of::<PyOSError>(py) {
            return Err(error);
        }
        self.of(attempt).push(error);
        Ok(())
    }

    /// The exception that `create_connection` raises.
    pub(crate) fn into_error(self, py: Python<'_>, all: bool) -> PyErr {
        let mut errors = self.into_errors();
        if all {
            return group(py, &errors).unwrap_or_else(|failure| failure);
        }
        let texts: Vec<String> = errors.iter().map(|error| error.value(py).to_string()).collect();
        let Some(first) = texts.first() else {
            return ferrio_cpython::error::<PyTimeoutError>("create_connection failed");
        };
        if texts.iter().all(|text| text == first) {
            return errors.swap_remove(0);
        }
        ferrio_cpython::error::<PyOSError>(format!("Multiple exceptions: {}", texts.join(", ")))
    }
}

fn group(py: Python<'_>, errors: &[PyErr]) -> PyResult<PyErr> {
    let values = memory::list(py, errors.iter().map(|error| error.value(py)))?;
    let class = ferrio_cpython::module(py, name!("builtins"))?.getattr(name!("ExceptionGroup"))?;
    Ok(raised(&class.call1(("create_connection failed", values))?))
}

/// Creates, binds and connects a socket. Records an `OSError` in the failures and returns None.
///
/// # Errors
/// Any other exception.
pub(crate) async fn connect_one(
    this: &Py<Loop>,
    info: &Py<PyAny>,
    local: Option<&Py<PyAny>>,
    failures: &mut Failures,
    channel: &Channel,
) -> PyResult<Option<Py<PyAny>>> {
    let attempt = failures.begin();
    let opened = Python::attach(|py| open(info.bind(py), local, failures.of(attempt), py));
    let outcome = match opened {
        Ok((sock, address)) => {
            let (owned, family) = Python::attach(|py| {
                let family = info.bind(py).get_item(0)?.unbind();
                Ok::<_, PyErr>((sock.bind(py).clone().unbind(), family))
            })?;
            connect_ours(this, &owned, &family, address, channel).await.map(|()| sock)
        }
        Err(error) => Err(error),
    };
    match outcome {
        Ok(sock) => Ok(Some(sock.keep())),
        Err(error) => {
            Python::attach(|py| failures.note(py, attempt, error))?;
            Ok(None)
        }
    }
}

/// Creates a non-blocking socket for an address info and binds it; returns it with the address.
pub(crate) fn open(
    info: &Bound<'_, PyAny>,
    local: Option<&Py<PyAny>>,
    failures: &mut Vec<PyErr>,
    py: Python<'_>,
) -> PyResult<(CloseGuard, Py<PyAny>)> {
    type Info<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>, Py<PyAny>);
    let (family, kind, proto, _, address): Info<'_> = info.extract()?;
    let keywords = memory::dict(py)?;
    keywords.set_item(pyo3::intern!(py, "family"), &family)?;
    keywords.set_item(pyo3::intern!(py, "type"), kind)?;
    keywords.set_item(pyo3::intern!(py, "proto"), proto)?;
    let class = imports::socket_module(py)?.getattr(pyo3::intern!(py, "socket"))?;
    let sock = CloseGuard::created(class.call((), Some(&keywords))?.unbind());
    sock.bind(py).call_method1(pyo3::intern!(py, "setblocking"), (false,))?;
    if let Some(local) = local {
        bind_local(sock.bind(py), &family, local.bind(py), failures)?;
    }
    Ok((sock, address))
}

/// Binds to the first local address of the family that works; the errors of the others are recorded.
fn bind_local(
    sock: &Bound<'_, PyAny>,
    family: &Bound<'_, PyAny>,
    local: &Bound<'_, PyAny>,
    failures: &mut Vec<PyErr>,
) -> PyResult<()> {
    let py = sock.py();
    for info in local.try_iter()? {
        let info = info?;
        if !info.get_item(0)?.eq(family)? {
            continue;
        }
        let address = info.get_item(4)?;
        match sock.call_method1(name!("bind"), (&address,)) {
            Ok(_) => return Ok(()),
            Err(error) if error.is_instance_of::<PyOSError>(py) => {
                failures.push(bind_error(&address, &error)?);
            }
            Err(error) => return Err(error),
        }
    }
    Err(match failures.pop() {
        Some(last) => last,
        None => ferrio_cpython::error::<PyOSError>(format!(
            "no matching local address with family={} found",
            family.repr()?
        )),
    })
}

fn bind_error(address: &Bound<'_, PyAny>, error: &PyErr) -> PyResult<PyErr> {
    let py = address.py();
    let value = error.value(py);
    let reason = if reason_is_strerror(py)? { value.getattr(name!("strerror"))?.str()? } else { value.str()? };
    let reason = reason.to_string().to_lowercase();
    let text = format!("error while attempting to bind on address {}: {reason}", address.repr()?);
    Ok(raised(&py.get_type::<PyOSError>().call1((value.getattr(name!("errno"))?, text))?))
}

/// Whether the running asyncio's message quotes the error's `strerror`, as before 3.13, instead of the whole error.
fn reason_is_strerror(py: Python<'_>) -> PyResult<bool> {
    static CELL: PyOnceLock<bool> = PyOnceLock::new();
    CELL.get_or_try_init(py, || {
        let stock = ferrio_cpython::module(py, name!("asyncio.base_events"))?
            .getattr(name!("BaseEventLoop"))?
            .getattr(name!("_connect_sock"))?;
        stock.getattr(name!("__code__"))?.getattr(name!("co_names"))?.contains("strerror")
    })
    .copied()
}
