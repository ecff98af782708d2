//! Socket addresses as plain data, and their translation to and from the system's.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix};

/// The address of a socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SocketAddress {
    /// `AF_INET`.
    V4 {
        /// The host.
        ip: Ipv4Addr,
        /// The port.
        port: u16,
    },
    /// `AF_INET6`.
    V6 {
        /// The host.
        ip: Ipv6Addr,
        /// The port.
        port: u16,
        /// The flow information, as a number.
        flow_info: u32,
        /// The zone of a link-local address, else 0.
        scope_id: u32,
    },
    /// `AF_UNIX`: a path, an abstract name after a zero byte, or nothing for a socket without a name.
    Unix(Vec<u8>),
    /// An address of another family, of which only the family is known.
    Other(u16),
}

/// An address the system takes.
pub(super) enum System {
    V4(SocketAddrV4),
    V6(SocketAddrV6),
    Unix(SocketAddrUnix),
}

impl SocketAddress {
    /// The address of a socket that has none.
    pub(super) const fn unnamed() -> Self {
        Self::Unix(Vec::new())
    }

    pub(super) fn from_system(address: &SocketAddrAny) -> Self {
        let family = address.address_family();
        Self::decode(address, family).unwrap_or(Self::Other(family.as_raw()))
    }

    fn decode(address: &SocketAddrAny, family: AddressFamily) -> Result<Self, Errno> {
        match family {
            AddressFamily::INET => {
                let address = SocketAddrV4::try_from(address.clone())?;
                Ok(Self::V4 { ip: *address.ip(), port: address.port() })
            }
            AddressFamily::INET6 => {
                let address = SocketAddrV6::try_from(address.clone())?;
                Ok(Self::V6 {
                    ip: *address.ip(),
                    port: address.port(),
                    flow_info: address.flowinfo(),
                    scope_id: address.scope_id(),
                })
            }
            AddressFamily::UNIX => Ok(Self::Unix(unix_name(&SocketAddrUnix::try_from(address.clone())?))),
            family => Ok(Self::Other(family.as_raw())),
        }
    }

    pub(super) fn to_system(&self) -> io::Result<System> {
        Ok(match self {
            Self::V4 { ip, port } => System::V4(SocketAddrV4::new(*ip, *port)),
            Self::V6 { ip, port, flow_info, scope_id } => {
                System::V6(SocketAddrV6::new(*ip, *port, *flow_info, *scope_id))
            }
            Self::Unix(name) => System::Unix(unix_address(name)?),
            Self::Other(_) => return Err(Errno::AFNOSUPPORT.into()),
        })
    }
}

#[cfg(target_os = "linux")]
fn unix_name(address: &SocketAddrUnix) -> Vec<u8> {
    match (address.path_bytes(), address.abstract_name()) {
        (Some(path), _) => path.to_vec(),
        (None, Some(name)) => [&[0], name].concat(),
        (None, None) => Vec::new(),
    }
}

#[cfg(not(target_os = "linux"))]
fn unix_name(address: &SocketAddrUnix) -> Vec<u8> {
    address.path_bytes().unwrap_or_default().to_vec()
}

fn unix_address(name: &[u8]) -> io::Result<SocketAddrUnix> {
    Ok(match name {
        #[cfg(target_os = "linux")]
        [0, name @ ..] => SocketAddrUnix::new_abstract_name(name)?,
        path => SocketAddrUnix::new(path)?,
    })
}
