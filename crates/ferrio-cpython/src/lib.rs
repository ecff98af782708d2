//! Every raw `CPython` call of ferrio, and the hot objects built on them.
//!
//! Here live the heap types with their free lists, the vectorcall entry points and what differs between interpreter
//! versions; `SAFETY.md` beside the crate states the invariants that span functions. Nothing here knows sockets or
//! files: that is `ferrio-python`, which forbids unsafe code and builds asyncio's surface on this crate.

mod arguments;
pub mod async_with;
mod asyncio_code;
mod boundary;
pub mod buffer;
pub mod bytes_room;
pub mod calling;
pub mod context;
pub mod coroutine;
pub mod coroutine_function;
pub mod coroutines;
pub mod current;
pub mod deallocation;
pub mod flags;
pub mod future;
pub mod gil_cell;
pub mod handle;
pub mod handling;
mod heap_type;
pub mod held;
pub mod hooks;
pub mod loop_base;
pub mod making;
pub mod memory;
mod names;
pub mod native_methods;
pub mod parked;
pub mod plain;
pub mod program_frames;
pub mod raising;
pub mod recursion;
mod rest;
pub mod resume;
mod returning;
pub mod runnable;
pub mod scheduling;
mod spares;
pub mod task;
pub mod task_factory;
pub mod trampolines;
mod version;
pub mod window;

use pyo3::prelude::*;
use pyo3::types::PyType;

pub use current::{current_task, running_loop};
pub use gil_cell::{GilCell, GilFlag};
pub use handle::HandleRef;
pub use loop_base::LoopBase;
pub use names::{current_frame, get_event_loop, prepare};
pub use raising::error;
pub use rest::Rest;
pub use runnable::{Action, Runnable};

/// The types `Handle` and `TimerHandle`, for the module's namespace.
///
/// # Errors
/// `ImportError` when asyncio is not importable.
pub fn handle_types(py: Python<'_>) -> PyResult<(Bound<'_, PyType>, Bound<'_, PyType>)> {
    handle::create_types(py)
}

/// The types `Future` and `Task`, for the module's namespace; from then on asyncio's registry of tasks shows ours.
///
/// # Errors
/// `ImportError` when asyncio is not importable.
pub fn future_types(py: Python<'_>) -> PyResult<(Bound<'_, PyType>, Bound<'_, PyType>)> {
    task::show_to_asyncio(py)?;
    Ok((future::future_type(py)?, task::task_type(py)?))
}

/// Lets the instances of this crate's classes of `PyO3`'s making be freed in bounded depth.
pub fn bound_classes(py: Python<'_>) {
    deallocation::bound::<LoopBase>(py);
    deallocation::bound::<window::Window>(py);
    deallocation::bound::<coroutine::frame::Frame>(py);
    deallocation::bound::<future::BoundDoneCallback>(py);
}

/// Identifier of the calling thread, equal to `threading.get_ident()`.
#[must_use]
pub fn thread_identifier(_py: Python<'_>) -> u64 {
    // SAFETY: needs nothing but an initialised interpreter, which the token stands for.
    unsafe { pyo3::ffi::PyThread_get_thread_ident() }
}
