//! Raw calls into `CPython` in safe wrappers: references, heap types, trampolines, buffers, contexts.
//!
//! Nothing here knows futures, tasks or loops: those are in `objects`, which builds on this folder.

#[macro_use]
pub mod interned;

pub(crate) mod arguments;
pub mod asyncio_code;
pub mod buffer;
pub mod buffer_view;
pub mod bytes_writer;
pub mod context;
pub mod coroutine_function;
pub mod deallocation;
pub mod exact_type;
pub mod exception_state;
pub mod finalizer;
pub(crate) mod freelist;
pub mod gil_cell;
pub(crate) mod heap_type;
pub mod held_frames;
pub mod hooks;
pub(crate) mod imports;
pub(crate) mod innermost_frame;
pub mod keyword_call;
pub mod memory;
pub mod method;
pub mod modules;
pub mod owned_ref;
pub mod program_frames;
pub mod pyo3_trampolines;
pub mod python_class;
pub mod raise;
pub mod raw_stack;
pub mod recursion;
pub mod resume;
pub mod second_state;
pub mod slot;
pub(crate) mod stop_iteration;
#[cfg(Py_3_14)]
pub(crate) mod task_lists;
pub mod thread_frames;
pub(crate) mod trampoline;
pub(crate) mod version;
pub mod visitor;
