//! Conversion of socket addresses to and from the form that Python's socket module uses.

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
            Ok(ferrio_cpython::module(py, name!("os"))?
                .call_method1(name!("fsdecode"), (path,))?
                .cast_into::<PyString>()?
                .into_any())
        }
        SocketAddress::Other(_) => Ok(py.None().into_bound(py)),
    }
}

/// The address that a simulated socket has; None if it has none.
#[cold]
pub(crate) fn from_python(address: &Bound<'_, PyAny>) -> Option<SocketAddress> {
    if let Ok(path) = address.extract::<&str>() {
        return Some(SocketAddress::Unix(path.as_bytes().to_vec()));
    }
    if let Ok((ip, port)) = address.extract::<(String, u16)>() {
        return Some(SocketAddress::V4 { ip: ip.parse().ok()?, port });
    }
    let (ip, port, flow_info, scope_id) = address.extract::<(String, u16, u32, u32)>().ok()?;
    Some(SocketAddress::V6 { ip: ip.parse().ok()?, port, flow_info, scope_id })
}

/// What a simulated socket says its address is, by `getsockname` or `getpeername`.
#[cold]
pub(crate) fn of_simulated(sock: &Bound<'_, PyAny>, method: &str) -> Option<SocketAddress> {
    from_python(&sock.call_method0(method).ok()?)
}
