//! `open_connection`, `start_server` and their counterparts for Unix sockets.

use ferrio_cpython::capi::coroutine_function;
use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::owned_ref::OwnedRef;
use ferrio_cpython::objects::current::get_running_loop;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use super::protocol;
use super::reader::StreamReader;
use super::{DEFAULT_LIMIT, writer};
use crate::common::async_block::Coroutine;
use crate::common::numbers::plain_integer;
use crate::locks::optional_argument::Argument;

/// Adds the functions to the extension module.
pub(super) fn add_functions(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(pyo3::wrap_pyfunction!(open_connection, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(start_server, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(open_unix_connection, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(start_unix_server, module)?)?;
    let names = ["open_connection", "start_server", "open_unix_connection", "start_unix_server"];
    coroutine_function::mark(module, &names)
}

/// The protocol factory of `start_server` and `open_connection`.
#[pyclass(frozen, module = "ferrio")]
pub(crate) struct Factory {
    owner: OwnedRef,
    limit: Limit,
    kind: Kind,
}

enum Kind {
    /// The protocol of a client.
    Client(OwnedRef),
    /// The callback that a server calls for each client.
    Server(OwnedRef),
}

/// A limit, which is usually a plain integer.
enum Limit {
    Number(i64),
    Object(OwnedRef),
}

impl Limit {
    fn of(limit: Option<Bound<'_, PyAny>>) -> Self {
        let Some(limit) = limit else { return Self::Number(DEFAULT_LIMIT) };
        match plain_integer(&limit) {
            Some(number) if number > 0 => Self::Number(number),
            _ => Self::Object(limit.into()),
        }
    }
}

fn make_reader<'py>(owner: &Bound<'py, PyAny>, limit: &Limit) -> PyResult<Bound<'py, PyAny>> {
    let py = owner.py();
    match limit {
        Limit::Number(number) => StreamReader::create(py, *number, owner).map(Bound::into_any),
        Limit::Object(limit) => py.get_type::<StreamReader>().call1((limit.bind(py), owner)),
    }
}

#[pymethods]
impl Factory {
    fn __call__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &self.kind {
            Kind::Client(protocol) => Ok(protocol.bind(py).clone()),
            Kind::Server(callback) => {
                let owner = self.owner.bind(py);
                let reader = make_reader(owner, &self.limit)?;
                protocol::class(py)?.call1((reader, callback.bind(py), owner))
            }
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.owner.traverse(&visit)?;
        if let Limit::Object(limit) = &self.limit {
            limit.traverse(&visit)?;
        }
        let (Kind::Client(object) | Kind::Server(object)) = &self.kind;
        object.traverse(&visit)
    }
}

/// Connects by the loop's method `method`; returns reader and writer.
fn open(
    py: Python<'_>,
    name: &'static str,
    method: &'static str,
    place: Py<PyTuple>,
    limit: Option<Py<PyAny>>,
    keywords: Option<Py<PyDict>>,
) -> PyResult<Py<PyAny>> {
    Coroutine::spawn(py, name, |channel| async move {
        let (owner, reader, protocol, connecting) = Python::attach(|py| {
            let owner = get_running_loop(py)?;
            let limit = Limit::of(limit.map(|limit| limit.into_bound(py)));
            let reader = make_reader(&owner, &limit)?;
            let protocol = protocol::class(py)?.call1((&reader, py.None(), &owner))?;
            let factory = Factory { owner: owner.clone().into(), limit, kind: Kind::Client(protocol.clone().into()) };
            let arguments = with_first(py, Bound::new(py, factory)?.as_any(), place.bind(py))?;
            let keywords = keywords.as_ref().map(|keywords| keywords.bind(py));
            let connecting = owner.call_method(method, arguments, keywords)?;
            Ok::<_, PyErr>((owner.unbind(), reader.unbind(), protocol.unbind(), connecting.unbind()))
        })?;
        let (owner, reader, protocol) = (channel.own(owner), channel.own(reader), channel.own(protocol));
        let connected = channel.wait(connecting).await?;
        Python::attach(|py| {
            let transport = connected.bind(py).get_item(0)?;
            let reader = reader.bind(py);
            let writer = writer::create(&transport, protocol.bind(py), reader, owner.bind(py))?;
            memory::tuple(py, [reader, &writer]).map(|pair| pair.into_any().unbind())
        })
    })
}

fn serve(
    py: Python<'_>,
    name: &'static str,
    method: &'static str,
    callback: Py<PyAny>,
    place: Py<PyTuple>,
    limit: Option<Py<PyAny>>,
    keywords: Option<Py<PyDict>>,
) -> PyResult<Py<PyAny>> {
    Coroutine::spawn(py, name, |channel| async move {
        let starting = Python::attach(|py| {
            let owner = get_running_loop(py)?;
            let limit = Limit::of(limit.map(|limit| limit.into_bound(py)));
            let callback = Kind::Server(callback.into_bound(py).into());
            let factory = Bound::new(py, Factory { owner: owner.clone().into(), limit, kind: callback })?;
            let arguments = with_first(py, factory.as_any(), place.bind(py))?;
            let keywords = keywords.as_ref().map(|keywords| keywords.bind(py));
            owner.call_method(method, arguments, keywords).map(Bound::unbind)
        })?;
        channel.wait(starting).await
    })
}

fn with_first<'py>(
    py: Python<'py>,
    first: &Bound<'py, PyAny>,
    remaining: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyTuple>> {
    memory::tuple(py, std::iter::once(first.clone()).chain(remaining.iter()).collect::<Vec<_>>())
}

fn given(argument: Argument<'_>) -> Option<Py<PyAny>> {
    argument.0.map(Bound::unbind)
}

fn place_of(py: Python<'_>, host: Option<Py<PyAny>>, port: Option<Py<PyAny>>) -> PyResult<Py<PyTuple>> {
    Ok((host, port).into_pyobject(py)?.unbind())
}

/// Connect to a host; gives a reader and a writer. Keyword arguments are those of `create_connection`.
#[pyfunction]
#[pyo3(signature = (host=None, port=None, *, limit=Argument(None), **kwds), text_signature = "(host=None, port=None, *, limit=65536, **kwds)")]
fn open_connection(
    py: Python<'_>,
    host: Option<Py<PyAny>>,
    port: Option<Py<PyAny>>,
    limit: Argument<'_>,
    kwds: Option<Py<PyDict>>,
) -> PyResult<Py<PyAny>> {
    open(py, "open_connection", "create_connection", place_of(py, host, port)?, given(limit), kwds)
}

/// Start a server that calls `client_connected_cb` with a reader and a writer for each client; a coroutine becomes a task.
#[pyfunction]
#[pyo3(
    signature = (client_connected_cb, host=None, port=None, *, limit=Argument(None), **kwds),
    text_signature = "(client_connected_cb, host=None, port=None, *, limit=65536, **kwds)"
)]
fn start_server(
    py: Python<'_>,
    client_connected_cb: Py<PyAny>,
    host: Option<Py<PyAny>>,
    port: Option<Py<PyAny>>,
    limit: Argument<'_>,
    kwds: Option<Py<PyDict>>,
) -> PyResult<Py<PyAny>> {
    serve(py, "start_server", "create_server", client_connected_cb, place_of(py, host, port)?, given(limit), kwds)
}

/// `open_connection` for Unix sockets.
#[pyfunction]
#[pyo3(signature = (path=None, *, limit=Argument(None), **kwds), text_signature = "(path=None, *, limit=65536, **kwds)")]
fn open_unix_connection(
    py: Python<'_>,
    path: Option<Py<PyAny>>,
    limit: Argument<'_>,
    kwds: Option<Py<PyDict>>,
) -> PyResult<Py<PyAny>> {
    let place = (path,).into_pyobject(py)?.unbind();
    open(py, "open_unix_connection", "create_unix_connection", place, given(limit), kwds)
}

/// `start_server` for Unix sockets.
#[pyfunction]
#[pyo3(
    signature = (client_connected_cb, path=None, *, limit=Argument(None), **kwds),
    text_signature = "(client_connected_cb, path=None, *, limit=65536, **kwds)"
)]
fn start_unix_server(
    py: Python<'_>,
    client_connected_cb: Py<PyAny>,
    path: Option<Py<PyAny>>,
    limit: Argument<'_>,
    kwds: Option<Py<PyDict>>,
) -> PyResult<Py<PyAny>> {
    let place = (path,).into_pyobject(py)?.unbind();
    serve(py, "start_unix_server", "create_unix_server", client_connected_cb, place, given(limit), kwds)
}
