//! The extension module `ferrio._ferrio`: asyncio's surface, one module for each section of asyncio's manual.
//!
//! Everything here is safe code on top of `ferrio-cpython` (objects), `ferrio-engine` (logic) and `ferrio-sys` (system).
#![forbid(unsafe_code)]

mod addresses;
mod asyncgens;
mod attempts;
mod call_graph;
mod children;
mod command_line;
mod connections;
mod coroutine;
mod datagrams;
mod debug;
mod descriptors;
mod dns;
mod errors;
mod event_loop;
mod executor_results;
mod executors;
mod frames;
mod freeing;
mod happy_eyeballs;
mod imports;
mod io;
mod life;
mod listener;
mod nested;
mod numbers;
mod pipes;
mod queues;
mod runners;
mod sendfile;
mod server;
mod servers;
mod signals;
mod sleep;
mod slices;
mod socket_file;
mod sockets;
mod staggered;
mod streams;
mod subprocesses;
mod sync;
mod task_groups;
mod tasks;
mod threads;
mod timeouts;
mod timer;
mod transports;
mod unix;
mod unix_server;
mod wait;
mod wait_for;
mod wait_for_in_task;

use pyo3::prelude::*;

/// asyncio's machinery in Rust.
// Everything rests on the interpreter's lock (SAFETY.md of ferrio-cpython): a build that can do without switches it on.
#[pymodule(gil_used = true)]
mod _ferrio {
    use pyo3::prelude::*;

    use crate::event_loop;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        ferrio_sys::park_threads_ended_by_force();
        ferrio_cpython::memory::hush_panics();
        // Taken now, before anybody patches it; the others are needed when it may be too late to import anything.
        crate::imports::socket_getaddrinfo(py)?;
        crate::imports::warn(py)?;
        crate::imports::take_modules(py)?;
        crate::imports::resource_warning(py)?;
        crate::imports::prepare(py)?;
        ferrio_cpython::prepare(py)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("EventLoop", event_loop::make_class(py)?)?;
        let (handle, timer_handle) = ferrio_cpython::handle_types(py)?;
        module.add("Handle", handle)?;
        module.add("TimerHandle", timer_handle)?;
        let (future, task) = ferrio_cpython::future_types(py)?;
        module.add("Future", future)?;
        module.add("Task", task)?;
        crate::tasks::add_functions(module)?;
        crate::sync::add_classes(module)?;
        crate::queues::add_classes(module)?;
        crate::task_groups::add_classes(module)?;
        crate::runners::add_to(module)?;
        ferrio_cpython::coroutine_function::mark(module, &["sleep", "to_thread", "wait", "wait_for"])?;
        let server = py.get_type::<crate::server::Server>();
        ferrio_cpython::coroutine_function::mark(&server, &["start_serving", "serve_forever", "wait_closed"])?;
        crate::streams::add_classes(module)?;
        ferrio_cpython::hooks::watch(module)?;
        let timeout = module.getattr("Timeout")?;
        ferrio_cpython::coroutine_function::mark(&timeout, &["__aenter__", "__aexit__"])?;
        crate::freeing::bound_classes(py);
        crate::queues::shut_down_class(py)?;
        crate::signals::watch_forks(module)
    }

    #[pymodule_export]
    use crate::command_line::hide_frames;
    #[pymodule_export]
    use crate::nested::allow_nested_runs;
    #[pymodule_export]
    use crate::sleep::sleep;
    #[pymodule_export]
    use crate::threads::to_thread;
    #[pymodule_export]
    use crate::timeouts::{Timeout, timeout, timeout_at};
    #[pymodule_export]
    use crate::wait::wait;
    #[pymodule_export]
    use crate::wait_for::wait_for;

    /// A new event loop.
    #[pyfunction]
    fn new_event_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        py.import("ferrio._ferrio")?.getattr("EventLoop")?.call0()
    }
}
