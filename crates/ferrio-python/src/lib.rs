//! The extension module `ferrio._ferrio`: asyncio's API, one module for each section of asyncio's manual.
//!
//! All of it is safe code on top of `ferrio-cpython` (objects), `ferrio-engine` (logic) and `ferrio-sys` (system).
#![forbid(unsafe_code)]

#[macro_use(name)]
extern crate ferrio_cpython;

mod anyio;
mod bounded_dealloc;
mod command_line;
mod common;
mod compat;
mod event_loop;
mod inspect;
mod locks;
mod net;
mod queues;
mod runners;
mod streams;
mod subprocess;
mod task_groups;
mod tasks;
mod testing;
mod threads;
mod timeouts;
mod transports;

use pyo3::prelude::*;

/// asyncio's machinery in Rust.
// All code relies on the GIL (SAFETY.md of ferrio-cpython); a free-threaded build enables it when it imports the
// module.
#[pymodule(gil_used = true)]
mod _ferrio {
    use pyo3::prelude::*;

    use crate::event_loop;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        ferrio_sys::park_threads_ended_by_force();
        ferrio_cpython::capi::memory::silence_memory_panics();
        // Looked up now, before programs replace it; the other names are used when imports may no longer be possible.
        crate::common::imports::socket_getaddrinfo(py)?;
        crate::common::imports::warn(py)?;
        crate::common::imports::import_modules(py)?;
        crate::common::imports::resource_warning(py)?;
        crate::common::imports::prepare(py)?;
        ferrio_cpython::prepare(py)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add(ferrio_cpython::objects::bridge::ATTRIBUTE, event_loop::bridge::capsule(py)?)?;
        module.add("EventLoop", event_loop::make_class(py)?)?;
        let (handle, timer_handle) = ferrio_cpython::handle_types(py)?;
        module.add("Handle", handle)?;
        module.add("TimerHandle", timer_handle)?;
        let (future, task) = ferrio_cpython::future_types(py)?;
        module.add("Future", future)?;
        module.add("Task", task)?;
        crate::tasks::add_functions(module)?;
        crate::locks::add_classes(module)?;
        crate::queues::add_classes(module)?;
        crate::task_groups::add_classes(module)?;
        crate::runners::add_to(module)?;
        crate::anyio::add_to(module)?;
        ferrio_cpython::capi::coroutine_function::mark(module, &["sleep", "to_thread", "wait", "wait_for"])?;
        let server = py.get_type::<crate::net::serve::server::Server>();
        ferrio_cpython::capi::coroutine_function::mark(&server, &["start_serving", "serve_forever", "wait_closed"])?;
        crate::streams::add_classes(module)?;
        module.add_class::<crate::testing::Baton>()?;
        module.add_class::<crate::testing::LentThread>()?;
        module.add_class::<crate::testing::Simulation>()?;
        module.add_class::<event_loop::recording::Recording>()?;
        ferrio_cpython::capi::hooks::watch(module)?;
        let timeout = module.getattr(name!("Timeout"))?;
        ferrio_cpython::capi::coroutine_function::mark(&timeout, &["__aenter__", "__aexit__"])?;
        crate::bounded_dealloc::bound_classes(py);
        crate::queues::shut_down_class(py)?;
        event_loop::signals::watch_forks(module)?;
        event_loop::end_of_callback::watch_forks(module)
    }

    #[pymodule_export]
    use crate::command_line::hide_frames;
    #[pymodule_export]
    use crate::event_loop::nested_runs::allow_nested_runs;
    #[pymodule_export]
    use crate::event_loop::recording::calls::recording_here;
    #[pymodule_export]
    use crate::event_loop::to_thread::to_thread;
    #[pymodule_export]
    use crate::inspect::InspectionService;
    #[pymodule_export]
    use crate::inspect::connections::{
        connection_of, connection_totals, count_connections, server_of, tcp_counters, watched_by,
    };
    #[pymodule_export]
    use crate::inspect::failures::{failed_futures, note_failures};
    #[pymodule_export]
    use crate::inspect::figures::{activity_of, count_tasks, listed_tasks, thread_frames};
    #[pymodule_export]
    use crate::inspect::jobs::{forget_running_jobs, running_jobs, waiting_job};
    #[pymodule_export]
    use crate::inspect::other_processes::{interrupt_wait, program_section};
    #[pymodule_export]
    use crate::inspect::recording::{
        creation_of, flight, flight_names, forget_flight, holders_of, place_of_lock, record, recorded_totals,
        stop_recording, system_polls, task_durations, times_of,
    };
    #[pymodule_export]
    use crate::inspect::scheduled::{count_scheduled, longest_wait, timers_of, wait_durations};
    #[pymodule_export]
    use crate::inspect::watchdog::{
        Watchdog, forget_running_loops, loop_delay, open_block, running_loops, running_task,
    };
    #[pymodule_export]
    use crate::tasks::sleep::sleep;
    #[pymodule_export]
    use crate::tasks::wait::wait;
    #[pymodule_export]
    use crate::tasks::wait_for::wait_for;
    #[pymodule_export]
    use crate::testing::record::record_next_loop;
    #[pymodule_export]
    use crate::timeouts::{Timeout, timeout, timeout_at};

    /// A new event loop.
    #[pyfunction]
    fn new_event_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        ferrio_cpython::module(py, name!("ferrio._ferrio"))?.getattr(name!("EventLoop"))?.call0()
    }
}
