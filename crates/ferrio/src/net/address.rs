//! Addresses of the standard library and of ferrio-sys.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use ferrio_sys::SocketAddress;

pub(super) fn to_system(address: SocketAddr) -> SocketAddress {
    match address {
        SocketAddr::V4(address) => SocketAddress::V4 { ip: *address.ip(), port: address.port() },
        SocketAddr::V6(address) => SocketAddress::V6 {
            ip: *address.ip(),
            port: address.port(),
            flow_info: address.flowinfo(),
            scope_id: address.scope_id(),
        },
    }
}

/// The address, if it is one of the Internet.
pub(super) fn from_system(address: &SocketAddress) -> Option<SocketAddr> {
    match address {
        SocketAddress::V4 { ip, port } => Some(SocketAddrV4::new(*ip, *port).into()),
        SocketAddress::V6 { ip, port, flow_info, scope_id } => {
            Some(SocketAddrV6::new(*ip, *port, *flow_info, *scope_id).into())
        }
        SocketAddress::Unix(_) | SocketAddress::Other(_) => None,
    }
}
