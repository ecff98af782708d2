//! Resolves a host and a port to address infos, for connecting, binding and serving.
//!
//! A numeric host is its own address and needs no lookup; other names go through the loop's `getaddrinfo`. Address
//! infos are tuples as in the result of `socket.getaddrinfo`.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr};

use ferrio_cpython::capi::memory;
use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString, PyTuple};

use crate::common::async_block::Channel;
use crate::common::imports;
use crate::common::numbers::index;
use crate::common::slices::slice;
use crate::event_loop::Loop;

/// The lookup arguments besides host and port, as the user passed them.
pub(crate) struct Hints {
    pub(crate) family: Py<PyAny>,
    pub(crate) kind: Py<PyAny>,
    pub(crate) proto: Py<PyAny>,
    pub(crate) flags: Py<PyAny>,
}

/// The address infos of `address`, a tuple that begins with host and port: directly for a numeric host, otherwise by
/// the loop's `getaddrinfo`; asyncio's `_ensure_resolved`.
pub(crate) async fn ensure_resolved(
    this: &Py<Loop>,
    address: Py<PyAny>,
    hints: &Hints,
    channel: &Channel,
) -> PyResult<Py<PyAny>> {
    let asked = Python::attach(|py| {
        let address = address.bind(py);
        let (host, port) = host_and_port(address)?;
        let tail_items = tail(address)?;
        if let Some(info) = numeric_info(&host, &port, hints, &tail_items)? {
            return Ok(Err(memory::list(py, [info])?.into_any().unbind()));
        }
        let keywords = memory::dict(py)?;
        keywords.set_item(name!("family"), &hints.family)?;
        keywords.set_item(name!("type"), &hints.kind)?;
        keywords.set_item(name!("proto"), &hints.proto)?;
        keywords.set_item(name!("flags"), &hints.flags)?;
        // Looked up on the object, because programs replace it by their own resolver.
        let lookup = this.bind(py).call_method(name!("getaddrinfo"), (host, port), Some(&keywords))?;
        Ok::<_, PyErr>(Ok(lookup.unbind()))
    })?;
    match asked {
        Ok(lookup) => channel.wait(lookup).await,
        Err(known) => Ok(known),
    }
}

/// The same for connecting and binding, where an empty result is an error.
pub(crate) async fn resolved_or_error(
    this: &Py<Loop>,
    address: Py<PyAny>,
    hints: &Hints,
    channel: &Channel,
) -> PyResult<Py<PyAny>> {
    let infos = ensure_resolved(this, address, hints, channel).await?;
    Python::attach(|py| {
        if infos.bind(py).is_truthy()? {
            return Ok(infos);
        }
        Err(ferrio_cpython::error::<PyOSError>("getaddrinfo() returned empty list"))
    })
}

/// Reorders the infos so that families alternate, after `first` infos of the first family; asyncio's
/// `_interleave_addrinfos`.
pub(crate) fn interleave<'py>(
    infos: &Bound<'py, PyAny>,
    first: &Bound<'py, PyAny>,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let mut families: Vec<(Bound<'py, PyAny>, VecDeque<Bound<'py, PyAny>>)> = Vec::new();
    for info in infos.try_iter()? {
        let info = info?;
        let family = info.get_item(0)?;
        let mut known = None;
        for (position, (other, _)) in families.iter().enumerate() {
            if other.eq(&family)? {
                known = Some(position);
            }
        }
        match known {
            Some(position) => families[position].1.push_back(info),
            None => families.push((family, [info].into())),
        }
    }
    let mut ordered = Vec::new();
    if first.gt(1)?
        && let Some((_, leading)) = families.first_mut()
    {
        let before = index(&first.sub(1)?)?;
        let count = usize::try_from(before).unwrap_or(0).min(leading.len());
        ordered.extend(leading.drain(..count));
    }
    while families.iter().any(|(_, infos)| !infos.is_empty()) {
        ordered.extend(families.iter_mut().filter_map(|(_, infos)| infos.pop_front()));
    }
    Ok(ordered)
}

/// The address info of a numeric host; None for other hosts. asyncio's `_ipaddr_info`.
fn numeric_info<'py>(
    host: &Bound<'py, PyAny>,
    port: &Bound<'py, PyAny>,
    hints: &Hints,
    tail_items: &[Bound<'py, PyAny>],
) -> PyResult<Option<Bound<'py, PyTuple>>> {
    let py = host.py();
    let (tcp, udp) = (imports::socket_ipproto_tcp(py)?, imports::socket_ipproto_udp(py)?);
    let proto = hints.proto.bind(py);
    if host.is_none() || !(proto.eq(0)? || proto.eq(tcp)? || proto.eq(udp)?) {
        return Ok(None);
    }
    let kind = hints.kind.bind(py);
    let proto = if kind.eq(imports::socket_sock_stream(py)?)? {
        tcp
    } else if kind.eq(imports::socket_sock_dgram(py)?)? {
        udp
    } else {
        return Ok(None);
    };
    let Some(port) = port_number(port)? else { return Ok(None) };
    let host = match host.cast::<PyBytes>() {
        Ok(bytes) => bytes.call_method1(name!("decode"), ("idna",))?,
        Err(_) => host.clone(),
    };
    let text = host.cast::<PyString>()?.to_string_lossy();
    if text.contains('\0') {
        // The system's resolver would truncate the name there.
        return Err(ferrio_cpython::error::<PyValueError>("embedded null character"));
    }
    if text.contains('%') {
        return Ok(None);
    }
    let family = hints.family.bind(py);
    let (inet, inet6) = (imports::socket_af_inet(py)?, imports::socket_af_inet6(py)?);
    let unspecified = family.eq(0)?;
    let given = |constant: &Bound<'py, PyAny>| if unspecified { constant.clone() } else { family.clone() };
    if text.parse::<Ipv4Addr>().is_ok() && (unspecified || family.eq(inet)?) {
        return Ok(Some((given(inet), kind, proto, "", (host, port)).into_pyobject(py)?));
    }
    if text.parse::<Ipv6Addr>().is_ok() && (unspecified || family.eq(inet6)?) {
        let zero = || PyInt::new(py, 0).into_any();
        let flow_info = tail_items.first().cloned().unwrap_or_else(zero);
        let scope_id = tail_items.get(1).cloned().unwrap_or_else(zero);
        let address = (host, port, flow_info, scope_id);
        return Ok(Some((given(inet6), kind, proto, "", address).into_pyobject(py)?));
    }
    Ok(None)
}

/// The port as a number; None for the name of a service.
fn port_number<'py>(port: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = port.py();
    let empty = port.cast::<PyBytes>().is_ok_and(|bytes| bytes.as_bytes().is_empty())
        || port.cast::<PyString>().is_ok_and(|text| text.is_empty().unwrap_or(false));
    if port.is_none() || empty {
        return Ok(Some(PyInt::new(py, 0).into_any()));
    }
    match py.get_type::<PyInt>().call1((port,)) {
        Ok(number) => Ok(Some(number)),
        Err(error) if error.is_instance_of::<PyTypeError>(py) || error.is_instance_of::<PyValueError>(py) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `host, port = address[:2]`.
fn host_and_port<'py>(address: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let head = address.get_item(slice(address.py(), 0, Some(2))?)?;
    let items = head.try_iter()?.collect::<PyResult<Vec<_>>>()?;
    let count = items.len();
    let Ok([host, port]) = <[_; 2]>::try_from(items) else {
        return Err(ferrio_cpython::error::<PyValueError>(format!(
            "not enough values to unpack (expected 2, got {count})"
        )));
    };
    Ok((host, port))
}

/// `address[2:]`: flow information and scope, if they are there.
fn tail<'py>(address: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let tail_items = address.get_item(slice(address.py(), 2, None)?)?;
    let tail_items = tail_items.try_iter()?.collect::<PyResult<Vec<_>>>()?;
    if tail_items.len() > 2 {
        let count = tail_items.len() + 5;
        let text = format!("_ipaddr_info() takes from 5 to 7 positional arguments but {count} were given");
        return Err(ferrio_cpython::error::<PyTypeError>(text));
    }
    Ok(tail_items)
}
