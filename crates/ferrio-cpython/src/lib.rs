//! Every raw `CPython` call of ferrio, and the hot objects built on them.
//!
//! The crate has the heap types with their free lists, the vectorcall entry points and what differs between interpreter
//! versions; `SAFETY.md` beside the crate states the invariants that span functions. Nothing here uses sockets or
//! files: that is `ferrio-python`, which forbids unsafe code and builds asyncio's API on this crate.

#[macro_use]
pub mod capi;
pub mod objects;

use pyo3::prelude::*;
use pyo3::types::PyType;

pub use capi::gil_cell::{GilCell, GilFlag};
pub use capi::imports::{current_frame, get_event_loop, prepare};
pub use capi::modules::module;
pub use capi::raise::error;
pub use objects::current::{current_task, running_loop};
pub use objects::handle::HandleRef;
pub use objects::loop_base::{ArmedTimer, LoopBase, Outside, Seams};
pub use objects::runnable::{Action, Runnable};

/// The types `Handle` and `TimerHandle`, for the module's namespace.
///
/// # Errors
/// `ImportError` when asyncio is not importable.
pub fn handle_types(py: Python<'_>) -> PyResult<(Bound<'_, PyType>, Bound<'_, PyType>)> {
    objects::handle::create_types(py)
}

/// The types `Future` and `Task`, for the module's namespace; from then on asyncio's registry of tasks shows ferrio's.
///
/// # Errors
/// `ImportError` when asyncio is not importable.
pub fn future_types(py: Python<'_>) -> PyResult<(Bound<'_, PyType>, Bound<'_, PyType>)> {
    objects::task::show_to_asyncio(py)?;
    // What a loop needs from its first turn on is created now, while there is memory.
    objects::coroutine::coroutine_type(py)?;
    objects::future::create_iterator_type(py)?;
    Ok((objects::future::future_type(py)?, objects::task::task_type(py)?))
}

/// Lets the instances of this crate's `PyO3` classes be freed in bounded depth.
pub fn bound_classes(py: Python<'_>) {
    capi::deallocation::bound_depth::<LoopBase>(py);
    capi::deallocation::bound_depth::<capi::buffer_view::BufferView>(py);
    capi::deallocation::bound_depth::<objects::coroutine::frame::Frame>(py);
    capi::deallocation::bound_depth::<objects::future::BoundDoneCallback>(py);
}

/// Identifier of the calling thread, equal to `threading.get_ident()`.
#[must_use]
pub fn thread_identifier(_py: Python<'_>) -> u64 {
    // SAFETY: needs nothing but an initialised interpreter, which the token stands for.
    unsafe { pyo3::ffi::PyThread_get_thread_ident() }
}
