//! What ferrio's own loops offer beside asyncio's public names: fewer calls for what happens at each wake-up.
//!
//! The extension of the package ferrio is looked up while it runs, and nothing links to it. Its objects are Python's, so
//! this needs no unsafe code, and their version is checked.

use pyo3::exceptions::PyImportError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::asyncio;

/// The version of the interface: ferrio has to have the same first number, and at least the second.
pub(crate) const VERSION: (u32, u32) = (1, 0);

/// The functions of ferrio's extension.
pub(crate) struct Native {
    future: Py<PyAny>,
    complete: Py<PyAny>,
}

impl Native {
    /// Those for `event_loop`, if it is one of ferrio's.
    ///
    /// # Errors
    /// `ImportError` if ferrio's version of the interface is another one.
    pub(crate) fn of(event_loop: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let py = event_loop.py();
        let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?.cast_into::<PyDict>()?;
        // Without it no loop is ferrio's.
        let Some(ferrio) = modules.get_item(intern!(py, "ferrio._ferrio"))? else { return Ok(None) };
        if !event_loop.is_instance(&ferrio.getattr(intern!(py, "EventLoop"))?)? {
            return Ok(None);
        }
        check_version(&ferrio)?;
        let function = |name| ferrio.getattr(name).map(Bound::unbind);
        Ok(Some(Self {
            future: function(intern!(py, "_bridge_future"))?,
            complete: function(intern!(py, "_bridge_complete"))?,
        }))
    }

    /// As [`asyncio::blocking_future`].
    pub(crate) fn blocking_future<'py>(&self, event_loop: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.future.bind(event_loop.py()).call1((event_loop,))
    }

    /// As [`asyncio::complete`].
    pub(crate) fn complete(&self, future: &Bound<'_, PyAny>) -> PyResult<()> {
        self.complete.bind(future.py()).call1((future,)).map(drop)
    }
}

/// Whether ferrio has what this version uses. A ferrio that is too old to have a version has none of it.
fn check_version(ferrio: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = ferrio.py();
    let found = match ferrio.getattr_opt(intern!(py, "_bridge_version"))? {
        Some(version) => version.extract::<(u32, u32)>()?,
        None => (0, 0),
    };
    if found.0 == VERSION.0 && found.1 >= VERSION.1 {
        return Ok(());
    }
    let release: String = ferrio.getattr(intern!(py, "__version__"))?.extract()?;
    let older = if found < VERSION { "update ferrio" } else { "rebuild the extension with a newer ferrio-bridge" };
    Err(PyImportError::new_err(format!(
        "this extension needs version {}.{} of ferrio's bridge, but ferrio {release} has {}.{}: {older}",
        VERSION.0, VERSION.1, found.0, found.1
    )))
}

/// A future of `event_loop` that a coroutine may yield to its task.
pub(crate) fn blocking_future<'py>(
    native: Option<&Native>,
    event_loop: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    match native {
        Some(native) => native.blocking_future(event_loop),
        None => asyncio::blocking_future(event_loop),
    }
}

/// Completes a future, unless it is done.
pub(crate) fn complete(native: Option<&Native>, future: &Bound<'_, PyAny>) -> PyResult<()> {
    match native {
        Some(native) => native.complete(future),
        None => asyncio::complete(future),
    }
}
