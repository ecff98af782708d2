//! Sockets, with real ones.

use std::io::{ErrorKind, IoSlice};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use ferrio_sys::SocketAddress;
use ferrio_sys::socket::{self, Counters};
use rustix::io::{Errno, FdFlags};
use rustix::net::{AddressFamily, SocketType};

fn tcp_pair() -> (OwnedFd, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
    let theirs = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
    let (ours, _) = socket::accept(listener.as_raw_fd()).expect("accepted");
    (ours, theirs)
}

fn v4(address: std::io::Result<std::net::SocketAddr>) -> SocketAddress {
    SocketAddress::V4 { ip: Ipv4Addr::LOCALHOST, port: address.expect("an address").port() }
}

#[test]
fn an_accepted_socket_is_non_blocking_and_knows_both_addresses() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
    listener.set_nonblocking(true).expect("non-blocking");
    let fd = listener.as_raw_fd();
    assert_eq!(socket::accept(fd).expect_err("nobody").kind(), ErrorKind::WouldBlock);

    let theirs = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
    let (ours, peer) = socket::accept(fd).expect("accepted");
    assert_eq!(peer, v4(theirs.local_addr()));
    assert_eq!(socket::peer_address(ours.as_raw_fd()).expect("a peer"), peer);
    assert_eq!(socket::local_address(ours.as_raw_fd()).expect("an address"), v4(listener.local_addr()));
    assert_eq!(rustix::io::fcntl_getfd(&ours).expect("flags"), FdFlags::CLOEXEC);
    assert_eq!(socket::receive(ours.as_raw_fd(), &mut [0]).expect_err("nothing").kind(), ErrorKind::WouldBlock);
    socket::close(ours);
}

#[test]
fn data_goes_both_ways_and_ends() {
    let (ours, theirs) = tcp_pair();
    let (ours, theirs) = (ours.as_raw_fd(), theirs.as_raw_fd());
    let mut buffer = [0; 16];
    assert_eq!(socket::send(ours, b"hello").expect("sent"), 5);
    assert_eq!(socket::receive(theirs, &mut buffer).expect("received"), 5);
    let slices = [IoSlice::new(b"two "), IoSlice::new(b""), IoSlice::new(b"parts")];
    assert_eq!(socket::send_vectored(ours, &slices).expect("sent"), 9);
    assert_eq!(socket::receive(theirs, &mut buffer).expect("received"), 9);
    assert_eq!(&buffer[..9], b"two parts");
    socket::shutdown_write(ours).expect("shut down");
    assert_eq!(socket::receive(theirs, &mut buffer).expect("the end"), 0);
    assert_eq!(socket::send(ours, b"x").expect_err("shut down").kind(), ErrorKind::BrokenPipe);
    assert_eq!(socket::send_vectored(ours, &slices).expect_err("shut down").kind(), ErrorKind::BrokenPipe);
}

#[test]
fn more_slices_than_the_system_takes_are_sent_in_part() {
    let (ours, _theirs) = tcp_pair();
    let slices = vec![IoSlice::new(b"x"); 3000];
    assert_eq!(socket::send_vectored(ours.as_raw_fd(), &slices).expect("sent"), 1024);
}

#[test]
fn options_are_set() {
    let (ours, theirs) = tcp_pair();
    socket::set_nodelay(ours.as_raw_fd()).expect("set");
    assert!(rustix::net::sockopt::tcp_nodelay(&ours).expect("read"));
    socket::set_nonblocking(theirs.as_raw_fd()).expect("set");
    assert_eq!(socket::receive(theirs.as_raw_fd(), &mut [0]).expect_err("nothing").kind(), ErrorKind::WouldBlock);
    assert!(socket::take_error(ours.as_raw_fd()).expect("read").is_none());
}

#[test]
fn a_refused_connection_leaves_its_error() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let client = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    let fd = client.as_raw_fd();
    socket::set_nonblocking(fd).expect("set");
    assert_eq!(socket::peer_address(fd).expect_err("not connected").kind(), ErrorKind::NotConnected);
    let error = socket::connect(fd, &v4(free)).expect_err("nobody listens");
    let error = if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) {
        socket::take_error(fd).expect("read").expect("refused")
    } else {
        error
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn ipv6_addresses_keep_all_four_parts() {
    let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else {
        // A machine without IPv6.
        return;
    };
    let port = listener.local_addr().expect("an address").port();
    let address = SocketAddress::V6 { ip: Ipv6Addr::LOCALHOST, port, flow_info: 0, scope_id: 0 };
    assert_eq!(socket::local_address(listener.as_raw_fd()).expect("an address"), address);
    let client = rustix::net::socket(AddressFamily::INET6, SocketType::STREAM, None).expect("a socket");
    socket::connect(client.as_raw_fd(), &address).expect("connected");
    assert_eq!(socket::peer_address(client.as_raw_fd()).expect("a peer"), address);
}

#[test]
fn unix_addresses_are_paths_or_nothing() {
    let directory = std::env::temp_dir().join(format!("ferrio-sys-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let path = directory.join("socket");
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("bound");
    let name = path.to_str().expect("utf-8").as_bytes().to_vec();
    assert_eq!(socket::local_address(listener.as_raw_fd()).expect("an address"), SocketAddress::Unix(name.clone()));

    let client = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
    socket::connect(client.as_raw_fd(), &SocketAddress::Unix(name)).expect("connected");
    let (_ours, peer) = socket::accept(listener.as_raw_fd()).expect("accepted");
    assert_eq!(peer, SocketAddress::Unix(Vec::new()));
    std::fs::remove_dir_all(&directory).expect("removed");

    let (ours, _theirs) = UnixStream::pair().expect("a pair");
    assert_eq!(socket::peer_address(ours.as_raw_fd()).expect("a peer"), SocketAddress::Unix(Vec::new()));
}

#[cfg(target_os = "linux")]
#[test]
fn a_path_may_fill_the_address_to_the_last_byte() {
    let mut path = std::env::temp_dir().join(format!("ferrio-sys-{}-", std::process::id())).into_os_string();
    path.push("x".repeat(108 - path.len()));
    // The standard library needs space for a final zero byte, the system does not.
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
    let address = rustix::net::SocketAddrUnix::new(&path).expect("an address");
    rustix::net::bind(&socket, &address).expect("bound");
    let local = socket::local_address(socket.as_raw_fd()).expect("an address");
    assert_eq!(local, SocketAddress::Unix(path.as_encoded_bytes().to_vec()));
    std::fs::remove_file(&path).expect("removed");
}

#[cfg(target_os = "linux")]
#[test]
fn abstract_unix_addresses_begin_with_a_zero_byte() {
    use std::os::linux::net::SocketAddrExt as _;

    let name = format!("ferrio-sys-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a name");
    let listener = UnixListener::bind_addr(&address).expect("bound");
    let expected = SocketAddress::Unix([&[0], name.as_bytes()].concat());
    assert_eq!(socket::local_address(listener.as_raw_fd()).expect("an address"), expected);
    let client = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
    socket::connect(client.as_raw_fd(), &expected).expect("connected");
    assert_eq!(socket::peer_address(client.as_raw_fd()).expect("a peer"), expected);
}

#[test]
fn what_is_not_open_or_no_socket_is_refused() {
    let errno = |error: std::io::Error| error.raw_os_error();
    assert_eq!(errno(socket::send(-1, b"x").expect_err("refused")), Some(Errno::BADF.raw_os_error()));
    assert_eq!(errno(socket::receive(1_000_000, &mut [0]).expect_err("refused")), Some(Errno::BADF.raw_os_error()));
    let (reader, _writer) = std::io::pipe().expect("a pipe");
    let refused = socket::receive(reader.as_raw_fd(), &mut [0]).expect_err("refused");
    assert_eq!(errno(refused), Some(Errno::NOTSOCK.raw_os_error()));
    let refused = socket::connect(reader.as_raw_fd(), &SocketAddress::Other(0)).expect_err("refused");
    assert_eq!(errno(refused), Some(Errno::AFNOSUPPORT.raw_os_error()));
}

#[test]
#[cfg(target_os = "linux")]
fn the_system_counts_bytes_and_connections_that_wait() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
    let address = listener.local_addr().expect("an address");
    let theirs = TcpStream::connect(address).expect("connected");
    let waiting = socket::counters(listener.as_raw_fd()).expect("counted");
    assert!(matches!(waiting, Counters::Listening { waiting: 1, limit: 1.. }), "{waiting:?}");

    let (ours, _) = socket::accept(listener.as_raw_fd()).expect("accepted");
    assert_eq!(socket::send(ours.as_raw_fd(), b"hello").expect("sent"), 5);
    theirs.peek(&mut [0; 5]).expect("received");
    assert_eq!(socket::counters(ours.as_raw_fd()).expect("counted"), Counters::Connection { received: 0, sent: 5 });
    assert_eq!(socket::counters(theirs.as_raw_fd()).expect("counted"), Counters::Connection { received: 5, sent: 0 });
}

#[test]
fn a_socket_of_another_kind_has_no_counters() {
    let (one, _other) = UnixStream::pair().expect("a pair");
    socket::counters(one.as_raw_fd()).expect_err("no TCP");
    socket::counters(-1).expect_err("no descriptor");
}
