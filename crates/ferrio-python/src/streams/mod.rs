//! Streams, as in asyncio's `streams.py`.
//!
//! `reader.rs` (with `reader_attributes.rs`) and `writer.rs` hold the two ends; `read.rs`, `count.rs`, `readuntil.rs`,
//! `readline.rs` and `drain.rs` the bodies of their coroutines, `wait_for_data.rs` the waiting that these share;
//! `feed.rs` adds received bytes; `protocol.rs` and `protocol_attributes.rs` hold the protocol between a transport and
//! a reader, `serve.rs` a server's clients, `open.rs` the functions, `fields.rs` how the classes reach their objects.
//! `ferrio-engine` decides where each message ends.
//!
//! A subclass may override any method; where asyncio calls a method on `self`, it is called by name here too. ferrio's
//! transports feed a reader without a Python call if nothing is overridden (`feed::SINK`).

mod count;
mod drain;
pub(crate) mod feed;
mod fields;
pub(crate) mod open;
pub(crate) mod protocol;
mod protocol_attributes;
mod read;
pub(crate) mod reader;
mod reader_attributes;
mod readline;
mod readuntil;
mod serve;
mod wait_for_data;
pub(crate) mod writer;

use ferrio_cpython::capi::memory;
use ferrio_cpython::capi::{coroutine_function, program_frames};
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::locks::add_class;
use crate::transports::reader_sink;

/// `_DEFAULT_LIMIT`.
const DEFAULT_LIMIT: i64 = 1 << 16;

/// Adds classes and functions to the extension module.
pub(crate) fn add_classes(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    add_class::<reader::StreamReader>(module, &["read", "readexactly", "readline", "readuntil", "_wait_for_data"])?;
    coroutine_function::mark(&py.get_type::<writer::StreamWriter>(), &["drain", "wait_closed", "start_tls"])?;
    coroutine_function::mark(&py.get_type::<protocol::StreamReaderProtocol>(), &["_drain_helper"])?;
    module.add("StreamWriter", writer::class(py)?)?;
    module.add("StreamReaderProtocol", protocol::class(py)?)?;
    reader_sink::register(feed::SINK);
    open::add_functions(module)
}

/// Creates a Python class derived from `base`, for features that only such a class can have.
fn derived<'py>(
    base: &Bound<'py, PyType>,
    besides: &[&Bound<'py, PyAny>],
    attributes: &[(&str, Bound<'py, PyAny>)],
) -> PyResult<Bound<'py, PyType>> {
    let py = base.py();
    let namespace = memory::dict(py)?;
    namespace.set_item(name!("__module__"), "ferrio")?;
    namespace.set_item(name!("__doc__"), base.getattr(name!("__doc__"))?)?;
    for (name, value) in attributes {
        namespace.set_item(name, value)?;
    }
    let bases = std::iter::once(base.as_any()).chain(besides.iter().copied());
    let bases = memory::tuple(py, bases.collect::<Vec<_>>())?;
    let class = py.get_type::<PyType>().call1((base.name()?, bases, namespace))?;
    Ok(class.cast_into::<PyType>()?)
}

/// `events.get_event_loop()`, as the running Python's streams call it.
fn default_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let events = ferrio_cpython::module(py, name!("asyncio.events"))?;
    match events.getattr_opt(name!("_get_event_loop"))? {
        Some(function) => function.call0(),
        None => events.call_method0(name!("get_event_loop")),
    }
}

/// `loop.get_debug()`.
fn is_debug(owner: &Bound<'_, PyAny>) -> PyResult<bool> {
    if let Ok(own) = owner.cast_exact::<crate::event_loop::Loop>() {
        return Ok(crate::event_loop::base(own).debug.get());
    }
    owner.call_method0(pyo3::intern!(owner.py(), "get_debug"))?.is_truthy()
}

/// The stack of the running Python code.
#[cold]
fn stack(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Ok(program_frames::stack(py)?.unwrap_or_else(|| py.None().into_bound(py)))
}
