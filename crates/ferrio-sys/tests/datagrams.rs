//! Datagrams, with real sockets.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;

use ferrio_sys::SocketAddress;
use ferrio_sys::socket;
use rustix::io::Errno;

fn bound() -> (UdpSocket, SocketAddress) {
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
    let address = socket::local_address(udp.as_raw_fd()).expect("an address");
    (udp, address)
}

#[test]
fn a_datagram_comes_whole_and_with_its_sender() {
    let (left, left_address) = bound();
    let (right, right_address) = bound();
    let mut buffer = [0; 64];
    for data in [b"one".as_slice(), b"", b"three"] {
        socket::send_to(left.as_raw_fd(), data, &right_address).expect("sent");
        let (count, sender) = socket::receive_from(right.as_raw_fd(), &mut buffer).expect("received");
        assert_eq!(&buffer[..count], data);
        assert_eq!(sender.as_ref(), Some(&left_address));
    }
    let nothing = socket::receive_from(right.as_raw_fd(), &mut buffer).expect_err("nothing");
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
}

#[test]
fn bytes_beyond_the_buffer_are_lost() {
    let (left, _) = bound();
    let (right, address) = bound();
    socket::send_to(left.as_raw_fd(), b"hello", &address).expect("sent");
    let mut buffer = [0; 2];
    let (count, _) = socket::receive_from(right.as_raw_fd(), &mut buffer).expect("received");
    assert_eq!(&buffer[..count], b"he");
    assert_eq!(
        socket::receive_from(right.as_raw_fd(), &mut buffer).expect_err("nothing").kind(),
        ErrorKind::WouldBlock
    );
}

#[test]
fn a_datagram_too_large_is_refused() {
    let (left, _) = bound();
    let (_right, address) = bound();
    let refused = socket::send_to(left.as_raw_fd(), &vec![0; 70_000], &address).expect_err("too large");
    assert_eq!(refused.raw_os_error(), Some(Errno::MSGSIZE.raw_os_error()));
}

#[test]
fn a_missing_receiver_is_an_error_of_a_connected_socket() {
    let (_, nobody) = bound();
    let (left, _) = bound();
    socket::connect(left.as_raw_fd(), &nobody).expect("connected");
    socket::send(left.as_raw_fd(), b"x").expect("sent");
    let refused = socket::receive_from(left.as_raw_fd(), &mut [0]).expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn ipv6_datagrams_have_all_four_parts_of_the_address() {
    let Ok(udp) = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) else {
        // A machine without IPv6.
        return;
    };
    let address = socket::local_address(udp.as_raw_fd()).expect("an address");
    socket::send_to(udp.as_raw_fd(), b"x", &address).expect("sent");
    let (count, sender) = socket::receive_from(udp.as_raw_fd(), &mut [0; 8]).expect("received");
    assert_eq!((count, sender), (1, Some(address)));
}

#[test]
fn a_unix_datagram_of_a_socket_without_a_name_has_no_sender() {
    let (left, right) = UnixDatagram::pair().expect("a pair");
    socket::send(left.as_raw_fd(), b"x").expect("sent");
    assert_eq!(socket::receive_from(right.as_raw_fd(), &mut [0; 8]).expect("received"), (1, None));
}

#[test]
fn unix_datagrams_go_to_a_path() {
    let directory = std::env::temp_dir().join(format!("ferrio-sys-datagrams-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let path = directory.join("socket");
    let _ = std::fs::remove_file(&path);
    let named = UnixDatagram::bind(&path).expect("bound");
    let address = SocketAddress::Unix(path.to_str().expect("utf-8").as_bytes().to_vec());
    socket::send_to(named.as_raw_fd(), b"x", &address).expect("sent");
    let received = socket::receive_from(named.as_raw_fd(), &mut [0; 8]).expect("received");
    assert_eq!(received, (1, Some(address)));
    std::fs::remove_dir_all(&directory).expect("removed");
}

#[test]
fn addresses_of_other_families_are_refused() {
    let (left, _) = bound();
    let refused = socket::send_to(left.as_raw_fd(), b"x", &SocketAddress::Other(0)).expect_err("refused");
    assert_eq!(refused.raw_os_error(), Some(Errno::AFNOSUPPORT.raw_os_error()));
}
