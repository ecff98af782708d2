//! Transport classes whose objects accept new attributes, as asyncio's do: programs store attributes on transports, and
//! test suites replace their methods.
//!
//! Each is a Python class derived from the Rust one. The `dict` option of `pyclass` does not work here: Python 3.11
//! creates that dict before the object is initialised, and a garbage collection that starts there would find an empty
//! object.

use ferrio_cpython::capi::memory;
use pyo3::PyClass;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// The Python class derived from `T`, created once.
pub(crate) fn open<'py, T: PyClass>(
    py: Python<'py>,
    cell: &'static PyOnceLock<Py<PyType>>,
) -> PyResult<&'py Bound<'py, PyType>> {
    let class = cell.get_or_try_init(py, || {
        let base = T::type_object(py);
        let namespace = memory::dict(py)?;
        namespace.set_item(name!("__module__"), "ferrio")?;
        namespace.set_item(name!("__doc__"), base.getattr(name!("__doc__"))?)?;
        let arguments = (base.name()?, memory::tuple(py, [&base])?, namespace);
        py.get_type::<PyType>().call1(arguments)?.cast_into::<PyType>().map(Bound::unbind).map_err(PyErr::from)
    })?;
    Ok(class.bind(py))
}
