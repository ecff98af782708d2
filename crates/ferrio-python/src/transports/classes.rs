//! Classes of transports that take attributes, as asyncio's do: programs leave notes on them and test suites put other
//! methods in the place of theirs.
//!
//! Each is a Python class on top of the Rust one. The `dict` option of `pyclass` will not do: Python 3.11 makes that dict
//! before the object is filled in, and a collection that starts there would look at nothing.

use ferrio_cpython::capi::memory;
use pyo3::PyClass;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// The class on top of `T`, made once.
pub(crate) fn open<'py, T: PyClass>(
    py: Python<'py>,
    cell: &'static PyOnceLock<Py<PyType>>,
) -> PyResult<&'py Bound<'py, PyType>> {
    let class = cell.get_or_try_init(py, || {
        let base = T::type_object(py);
        let namespace = memory::dict(py)?;
        namespace.set_item("__module__", "ferrio")?;
        namespace.set_item("__doc__", base.getattr("__doc__")?)?;
        let arguments = (base.name()?, memory::tuple(py, [&base])?, namespace);
        py.get_type::<PyType>().call1(arguments)?.cast_into::<PyType>().map(Bound::unbind).map_err(PyErr::from)
    })?;
    Ok(class.bind(py))
}
