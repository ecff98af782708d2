//! Socket addresses as plain data, and their conversion to and from the system's form.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix};

/// The offset of the name in a `sockaddr_un`: two bytes of family (on BSD systems, length and family) come first.
const NAME: usize = 2;

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
    /// `AF_UNIX`: a path, an abstract name after a zero byte, or empty for a socket without a name.
    Unix(Vec<u8>),
    /// An address of another family, of which only the family is known.
    Other(u16),
}

/// An address in the system's form.
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

    /// The address as bytes, for [`Self::from_bytes`].
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::V4 { ip, port } => [&[4][..], &ip.octets(), &port.to_be_bytes()].concat(),
            Self::V6 { ip, port, flow_info, scope_id } => {
                [&[6][..], &ip.octets(), &port.to_be_bytes(), &flow_info.to_be_bytes(), &scope_id.to_be_bytes()]
                    .concat()
            }
            Self::Unix(name) => [&[1], name.as_slice()].concat(),
            Self::Other(family) => [&[0][..], &family.to_be_bytes()].concat(),
        }
    }

    /// The address that these bytes are; None if they are none.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, remaining) = bytes.split_first()?;
        Some(match (kind, remaining.len()) {
            (4, 6) => Self::V4 {
                ip: Ipv4Addr::from(<[u8; 4]>::try_from(&remaining[..4]).ok()?),
                port: u16::from_be_bytes(remaining[4..].try_into().ok()?),
            },
            (6, 26) => Self::V6 {
                ip: Ipv6Addr::from(<[u8; 16]>::try_from(&remaining[..16]).ok()?),
                port: u16::from_be_bytes(remaining[16..18].try_into().ok()?),
                flow_info: u32::from_be_bytes(remaining[18..22].try_into().ok()?),
                scope_id: u32::from_be_bytes(remaining[22..].try_into().ok()?),
            },
            (1, _) => Self::Unix(remaining.to_vec()),
            (0, 2) => Self::Other(u16::from_be_bytes(remaining.try_into().ok()?)),
            _ => return None,
        })
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
            AddressFamily::UNIX => Ok(Self::Unix(unix_name(address))),
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

/// The name in an address of the family `AF_UNIX`.
///
/// Read from the bytes, because rustix takes an unnamed socket for one with an empty abstract name, and panics at a
/// path that fills `sun_path` to the last byte, which any local peer may have.
fn unix_name(address: &SocketAddrAny) -> Vec<u8> {
    let length = address.addr_len() as usize;
    // SAFETY: the pointer is to the address inside `address`, which is borrowed as long as the slice lives, and the
    // first `addr_len` bytes of it are initialized: both are invariants of `SocketAddrAny`.
    let bytes = unsafe { std::slice::from_raw_parts(address.as_ptr().cast::<u8>(), length) };
    let name = bytes.get(NAME..).unwrap_or_default();
    if cfg!(target_os = "linux") && name.first() == Some(&0) {
        // Abstract: zero bytes are part of it.
        return name.to_vec();
    }
    name.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

fn unix_address(name: &[u8]) -> io::Result<SocketAddrUnix> {
    Ok(match name {
        #[cfg(target_os = "linux")]
        [] => SocketAddrUnix::new_unnamed(),
        #[cfg(target_os = "linux")]
        [0, name @ ..] => SocketAddrUnix::new_abstract_name(name)?,
        path => SocketAddrUnix::new(path)?,
    })
}
