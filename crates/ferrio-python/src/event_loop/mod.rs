//! The loop object: its state, its construction and its garbage collection.
//!
//! `Loop` extends `LoopBase` (scheduling) with one small state struct for each service; the service's file holds its
//! methods. The Python class that users see is `EventLoop`, made here at import as a subclass of `Loop` and
//! `asyncio.AbstractEventLoop`.

pub(crate) mod activity;
mod asyncgens;
pub(crate) mod bells;
pub(crate) mod bridge;
mod debug;
pub(crate) mod end_of_callback;
pub(crate) mod end_of_turn;
pub(crate) mod exception_handler;
pub(crate) mod executor_future;
pub(crate) mod executors;
pub(crate) mod handler;
pub(crate) mod io_driver;
pub(crate) mod missing_attributes;
pub(crate) mod nested_runs;
pub(crate) mod readers;
pub(crate) mod recorded_calls;
pub(crate) mod recording;
pub(crate) mod run;
pub(crate) mod signals;
pub(crate) mod task_factory;
pub(crate) mod to_thread;

use ferrio_cpython::capi::coroutine_function;
use ferrio_cpython::capi::memory::{self, Text};
use ferrio_cpython::objects::{create_task, loop_flags, scheduling};
use ferrio_cpython::{GilCell, GilFlag, LoopBase};
use pyo3::PyTypeInfo;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};

use crate::common::imports;
use crate::event_loop::asyncgens::AsyncGenerators;
use crate::event_loop::exception_handler::ErrorHandling;
use crate::event_loop::executors::Executors;
use crate::event_loop::io_driver::Io;
use crate::event_loop::signals::Signals;

/// An event loop: `asyncio.AbstractEventLoop` in Rust.
#[pyclass(frozen, subclass, extends = LoopBase, module = "ferrio._ferrio")]
pub(crate) struct Loop {
    pub(crate) io: Io,
    pub(crate) signals: Signals,
    pub(crate) executors: Executors,
    pub(crate) asyncgens: AsyncGenerators,
    pub(crate) errors: ErrorHandling,
    /// The future of the outermost `run_until_complete`, while it runs.
    pub(crate) outermost: GilCell<Option<Py<PyAny>>>,
    /// Whether the loop still appears as running because, for lack of memory, the end of a run could not be reported to
    /// asyncio.
    pub(crate) shown_running: GilFlag,
    /// The loop itself, until it is closed: what waits for asyncio's self-pipe refers to the loop, so that an unclosed
    /// one ends, and is warned about, in a collection and not with its last reference.
    pub(crate) this: GilCell<Option<Py<Self>>>,
}

/// The scheduling part of a loop.
pub(crate) fn base<'a>(slf: &'a Bound<'_, Loop>) -> &'a LoopBase {
    slf.as_super().get()
}

#[pymethods]
impl Loop {
    /// Takes nothing, but for a subclass that has an `__init__` with arguments of its own.
    #[new]
    #[classmethod]
    #[pyo3(signature = (*arguments, **keywords), text_signature = "()")]
    fn new(
        class: &Bound<'_, PyType>,
        arguments: &Bound<'_, PyTuple>,
        keywords: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let py = class.py();
        let given = arguments.len() + keywords.map_or(0, PyDictMethods::len);
        if given > 0 && class.getattr(name!("__init__"))?.is(Self::type_object(py).getattr(name!("__init__"))?) {
            let name = class.name()?;
            return Err(ferrio_cpython::error::<PyTypeError>(format!(
                "{name}() takes no positional arguments but {given} were given"
            )));
        }
        let debug = imports::is_debug_mode(py)?.call0()?.is_truthy()?;
        let base = LoopBase::new(debug);
        let this = Self {
            io: Io::new()?,
            signals: Signals::default(),
            executors: Executors::default(),
            asyncgens: AsyncGenerators::default(),
            errors: ErrorHandling::default(),
            outermost: GilCell::new(None),
            shown_running: GilFlag::default(),
            this: GilCell::new(None),
        };
        Ok(PyClassInitializer::from(base).add_subclass(this))
    }

    fn __init__(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if !base(slf).closed.get() {
            let before = slf.get().this.with(py, |this| this.replace(slf.clone().unbind()));
            drop(before);
        }
        // What asyncio would use, and says.
        let selector = imports::default_selector(py)?.getattr(name!("__name__"))?;
        let words = (name!("Using selector: %s"), selector);
        imports::selector_events_logger(py)?.call_method1(name!("debug"), words).map(drop)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text> {
        let name = slf.get_type().name()?;
        let base = base(slf);
        let python_bool = |flag| if flag { "True" } else { "False" };
        let running = python_bool(base.thread().is_some());
        Ok(Text(format!(
            "<{name} running={running} closed={} debug={}>",
            python_bool(base.closed.get()),
            python_bool(base.debug.get())
        )))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.io.traverse(&visit)?;
        self.signals.traverse(&visit)?;
        self.executors.traverse(&visit)?;
        self.asyncgens.traverse(&visit)?;
        self.this.traverse(&visit, |this| visit.call(this)).transpose()?;
        self.errors.traverse(&visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        self.io.clear(py);
        self.signals.clear(py);
        self.executors.clear(py);
        self.errors.clear(py);
        let this = self.this.with(py, Option::take);
        drop(this);
    }
}

/// The methods that asyncio defines with `async def`: mocks and frameworks check them with
/// `inspect.iscoroutinefunction`.
const COROUTINES: [&str; 25] = [
    "shutdown_asyncgens",
    "shutdown_default_executor",
    "getaddrinfo",
    "getnameinfo",
    "create_connection",
    "create_server",
    "create_unix_connection",
    "create_unix_server",
    "create_datagram_endpoint",
    "connect_accepted_socket",
    "connect_read_pipe",
    "connect_write_pipe",
    "start_tls",
    "sendfile",
    "subprocess_exec",
    "subprocess_shell",
    "sock_recv",
    "sock_recv_into",
    "sock_recvfrom",
    "sock_recvfrom_into",
    "sock_sendall",
    "sock_sendto",
    "sock_sendfile",
    "sock_connect",
    "sock_accept",
];

/// Creates the class `EventLoop`.
pub(crate) fn make_class(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    scheduling::add_clock(&py.get_type::<LoopBase>())?;
    scheduling::add_methods(&py.get_type::<LoopBase>())?;
    loop_flags::add_methods(&py.get_type::<LoopBase>())?;
    coroutine_function::mark(&py.get_type::<Loop>(), &COROUTINES)?;
    let namespace = memory::dict(py)?;
    namespace.set_item(name!("__module__"), "ferrio")?;
    namespace.set_item(name!("__doc__"), "Python's event loop in Rust; an asyncio.AbstractEventLoop.")?;
    // asyncio's function, so that the warning has its place, and a failure its traceback.
    let stock = ferrio_cpython::module(py, name!("asyncio.base_events"))?.getattr(name!("BaseEventLoop"))?;
    namespace.set_item(name!("__del__"), stock.getattr(name!("__del__"))?)?;
    missing_attributes::add_to(&namespace)?;
    let bases = memory::tuple(py, [py.get_type::<Loop>().as_any(), imports::abstract_event_loop(py)?])?;
    let class = py.get_type::<PyType>().call1(("EventLoop", bases, namespace))?.cast_into::<PyType>()?;
    // Defined on the exact class, so that the interpreter's specialised calls of method descriptors apply.
    scheduling::add_methods(&class)?;
    create_task::add_methods(&class, &py.get_type::<Loop>())?;
    create_task::EVENT_LOOP.set(&class);
    Ok(class)
}
