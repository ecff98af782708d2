//! Tasks and futures: making them, and asyncio's functions about them.
//!
//! A file for each section of asyncio's manual on them. Functions follow the running Python's; what differs between
//! versions is asked of the interpreter's own function where patch releases differ too.

mod ensuring;
mod gathering;
mod making;
mod shielding;

use pyo3::prelude::*;

pub(crate) use making::TaskMaking;

/// Adds the functions to the extension module.
pub(crate) fn add_functions(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(ensuring::isfuture, module)?)?;
    module.add_function(wrap_pyfunction!(ensuring::iscoroutine, module)?)?;
    module.add_function(wrap_pyfunction!(ensuring::ensure_future, module)?)?;
    module.add_function(wrap_pyfunction!(gathering::gather, module)?)?;
    module.add_function(wrap_pyfunction!(shielding::shield, module)?)
}
