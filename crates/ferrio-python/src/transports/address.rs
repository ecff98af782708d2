//! Conversion of socket addresses to the form that Python's socket module uses.

use ferrio_cpython::capi::memory;
use ferrio_sys::SocketAddress;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// The address as `getsockname` and `getpeername` return it.
pub(crate) fn to_python<'py>(py: Python<'py>, address: &SocketAddress) -> PyResult<Bound<'py, PyAny>> {
    match address {
        SocketAddress::V4 { ip, port } => Ok((ip.to_string(), *port).into_pyobject(py)?.into_any()),
        SocketAddress::V6 { ip, port, flow_info, scope_id } => {
            // `getsockname` gives the flow information in host byte order.
            Ok((ip.to_string(), *port, *flow_info, *scope_id).into_pyobject(py)?.into_any())
        }
        SocketAddress::Unix(name) if name.first() == Some(&0) => Ok(memory::bytes(py, name)?.into_any()),
        SocketAddress::Unix(name) => {
            let path = memory::bytes(py, name)?;
            Ok(py.import(name!("os"))?.call_method1(name!("fsdecode"), (path,))?.cast_into::<PyString>()?.into_any())
        }
        SocketAddress::Other(_) => Ok(py.None().into_bound(py)),
    }
}
