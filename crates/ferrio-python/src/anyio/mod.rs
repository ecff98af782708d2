//! anyio's asyncio backend, natively: what `install()` puts in the place of methods of anyio's class `AsyncIOBackend`.
//!
//! Each part is a function with the name and the arguments of the method that it replaces. It serves tasks on ferrio's
//! loops; on any other loop, and where none runs, it calls anyio's own method (`backend.rs`). `python/ferrio/_anyio.py`
//! decides for which versions of anyio the parts are put in place.

pub(crate) mod backend;
mod checkpoints;
mod clock;

use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Adds the table of parts, by the names of the methods that they replace, and what puts them to use.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let parts = PyDict::new(module.py());
    for part in [
        wrap_pyfunction!(clock::current_time, module)?,
        wrap_pyfunction!(checkpoints::checkpoint, module)?,
        wrap_pyfunction!(checkpoints::sleep, module)?,
    ] {
        parts.set_item(part.getattr(name!("__name__"))?, part)?;
    }
    module.add("_anyio_parts", parts)?;
    module.add_function(wrap_pyfunction!(backend::begin, module)?)
}
