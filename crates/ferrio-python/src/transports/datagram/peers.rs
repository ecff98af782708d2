//! The addresses of peers, in Python's form and in the system's.
//!
//! Most datagrams come from peers that sent others before, so what Python is shown of a sender is kept: a table by hash,
//! in which a newcomer takes the place of whoever was there.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{Ipv4Addr, Ipv6Addr};

use ferrio_sys::SocketAddress;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString, PyTuple};

use crate::common::imports;

/// How many senders are remembered.
const PLACES: usize = 64;

/// The family of a socket, as far as its addresses are known to us.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
    Unix,
    /// Addresses have a form that only Python's socket object knows.
    Other,
}

impl Family {
    pub(super) fn of(sock: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = sock.py();
        let family = sock.getattr("family")?;
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

    /// A Python address that needs no lookup: a tuple with a numeric host in its usual form. Anything else is None.
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
                // A flow is for Python to check and to refuse.
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

/// What Python is shown of recent senders.
#[derive(Default)]
pub(super) struct Peers(Vec<Option<(SocketAddress, Py<PyAny>)>>);

impl Peers {
    /// What Python was shown of `address`.
    #[inline]
    pub(super) fn find<'py>(&self, py: Python<'py>, address: &SocketAddress) -> Option<Bound<'py, PyAny>> {
        let (known, shown) = self.0.get(place(address))?.as_ref()?;
        (known == address).then(|| shown.bind(py).clone())
    }

    /// Remembers what Python is shown of `address`; gives what has to make room.
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
