//! Peer addresses, in Python's form and in the system's.
//!
//! Most datagrams come from peers that have sent before, so the Python form of a sender is cached: a table by hash, in
//! which a new sender replaces the previous one in its place.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{Ipv4Addr, Ipv6Addr};

use ferrio_sys::SocketAddress;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString, PyTuple};

use crate::common::imports;

/// The number of cached senders.
const PLACES: usize = 64;

/// The address family of a socket, as far as this module can convert its addresses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
    Unix,
    /// Only Python's socket object knows the form of the addresses.
    Other,
}

impl Family {
    pub(super) fn of(sock: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = sock.py();
        let family = sock.getattr(name!("family"))?;
        Ok(if family.eq(imports::socket_af_inet(py)?)? {
            Self::V4
        } else if family.eq(imports::socket_af_inet6(py)?)? {
            Self::V6
        } else if family.eq(imports::socket_af_unix(py)?)? {
            Self::Unix
        } else {
            Self::Other
        })
    }

    /// Converts a Python address that needs no lookup: a tuple with a numeric host in its usual form. None for anything
    /// else.
    pub(super) fn numeric(self, address: &Bound<'_, PyAny>) -> Option<SocketAddress> {
        let parts = address.cast_exact::<PyTuple>().ok()?;
        let host = parts.get_borrowed_item(0).ok()?;
        let host = host.cast_exact::<PyString>().ok()?;
        let host = host.to_str().ok()?;
        let port = number(parts, 1)?.try_into().ok()?;
        match (self, parts.len()) {
            (Self::V4, 2) => Some(SocketAddress::V4 { ip: host.parse::<Ipv4Addr>().ok()?, port }),
            (Self::V6, 2..=4) => {
                let optional = |position| if position < parts.len() { number(parts, position) } else { Some(0) };
                let ip = host.parse::<Ipv6Addr>().ok()?;
                // A flow label other than 0 is left to Python, which checks and may refuse it.
                let flow_info = optional(2).filter(|flow| *flow == 0)?;
                Some(SocketAddress::V6 { ip, port, flow_info, scope_id: optional(3)? })
            }
            (Self::V4 | Self::V6 | Self::Unix | Self::Other, _) => None,
        }
    }
}

fn number(parts: &Bound<'_, PyTuple>, position: usize) -> Option<u32> {
    parts.get_borrowed_item(position).ok()?.cast_exact::<PyInt>().ok()?.extract().ok()
}

/// The cached Python forms of recent senders.
#[derive(Default)]
pub(super) struct Peers(Vec<Option<(SocketAddress, Py<PyAny>)>>);

impl Peers {
    /// The cached Python form of `address`.
    #[inline]
    pub(super) fn find<'py>(&self, py: Python<'py>, address: &SocketAddress) -> Option<Bound<'py, PyAny>> {
        let (known, shown) = self.0.get(place(address))?.as_ref()?;
        (known == address).then(|| shown.bind(py).clone())
    }

    /// Caches the Python form of `address`; returns the entry that it replaces.
    pub(super) fn remember(&mut self, address: SocketAddress, shown: Py<PyAny>) -> Option<Py<PyAny>> {
        if self.0.is_empty() {
            self.0.resize_with(PLACES, || None);
        }
        let place = place(&address);
        self.0[place].replace((address, shown)).map(|(_, shown)| shown)
    }
}

#[inline]
fn place(address: &SocketAddress) -> usize {
    match address {
        SocketAddress::V4 { ip, port } => (usize::from(*port) ^ usize::from(ip.octets()[3])) % PLACES,
        SocketAddress::V6 { ip, port, .. } => (usize::from(*port) ^ usize::from(ip.octets()[15])) % PLACES,
        SocketAddress::Unix(_) | SocketAddress::Other(_) => {
            let mut hasher = DefaultHasher::new();
            address.hash(&mut hasher);
            usize::from(hasher.finish().to_le_bytes()[0]) % PLACES
        }
    }
}
