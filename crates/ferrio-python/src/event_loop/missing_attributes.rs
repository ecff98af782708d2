//! Private attributes of asyncio's loops that tools replace and ferrio's loops cannot have: reading one is an
//! `AttributeError` that says what to do instead.

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

const MISSING: [&str; 2] = ["_selector", "_run_once"];

/// A descriptor without `__set__`, so that a subclass or an instance may define the attribute itself.
#[pyclass(frozen, module = "ferrio._ferrio")]
pub(crate) struct MissingAttribute {
    name: &'static str,
}

#[pymethods]
impl MissingAttribute {
    fn __get__(&self, _owner: &Bound<'_, PyAny>, class: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let class = class.getattr(name!("__name__"))?;
        Err(ferrio_cpython::error::<PyAttributeError>(format!(
            "'{class}' object has no attribute '{name}': ferrio's loops poll in Rust. To control a loop's clock, define \
             time() in a subclass of ferrio.EventLoop, or run the test on asyncio.SelectorEventLoop.",
            name = self.name
        )))
    }
}

/// Adds the descriptors to the namespace of a loop's class.
pub(super) fn add_to(namespace: &Bound<'_, PyDict>) -> PyResult<()> {
    for name in MISSING {
        namespace.set_item(name, Bound::new(namespace.py(), MissingAttribute { name })?)?;
    }
    Ok(())
}
