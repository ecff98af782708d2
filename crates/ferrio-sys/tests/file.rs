//! Pipes and files, with real ones.

use std::fs::File;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use ferrio_sys::file::{self, Kind};
use ferrio_sys::socket;

/// A regular file without a name, holding `content`.
fn temporary(content: &[u8]) -> File {
    let path = std::env::temp_dir().join(format!("ferrio-sys-{}-{}", std::process::id(), content.len()));
    let mut temporary = File::options().read(true).write(true).create_new(true).open(&path).expect("a file");
    std::fs::remove_file(&path).expect("unlinked");
    temporary.write_all(content).expect("written");
    temporary
}

#[test]
fn kinds_are_distinguished() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    assert_eq!(file::kind(reader.as_raw_fd()).expect("a kind"), Kind::Pipe);
    assert_eq!(file::kind(writer.as_raw_fd()).expect("a kind"), Kind::Pipe);
    let (socket, _) = UnixStream::pair().expect("a pair");
    assert_eq!(file::kind(socket.as_raw_fd()).expect("a kind"), Kind::Socket);
    let device = File::open("/dev/null").expect("a device");
    assert_eq!(file::kind(device.as_raw_fd()).expect("a kind"), Kind::CharacterDevice);
    assert_eq!(file::kind(temporary(b"1").as_raw_fd()).expect("a kind"), Kind::Other);
    let directory = File::open("/").expect("a directory");
    assert_eq!(file::kind(directory.as_raw_fd()).expect("a kind"), Kind::Other);
    assert!(file::kind(-1).is_err());
}

#[test]
fn a_pipe_carries_slices_in_order_and_refuses_when_full() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    socket::set_nonblocking(reader.as_raw_fd()).expect("non-blocking");
    socket::set_nonblocking(writer.as_raw_fd()).expect("non-blocking");
    let mut buffer = [0; 16];
    assert_eq!(file::read(reader.as_raw_fd(), &mut buffer).expect_err("empty").kind(), ErrorKind::WouldBlock);
    let slices = [IoSlice::new(b"one"), IoSlice::new(b"two")];
    assert_eq!(file::write_vectored(writer.as_raw_fd(), &slices).expect("written"), 6);
    assert_eq!(file::read(reader.as_raw_fd(), &mut buffer).expect("read"), 6);
    assert_eq!(&buffer[..6], b"onetwo");
    while file::write(writer.as_raw_fd(), &[0; 4096]).is_ok() {}
    assert_eq!(file::write(writer.as_raw_fd(), b"x").expect_err("full").kind(), ErrorKind::WouldBlock);
    drop(writer);
    while file::read(reader.as_raw_fd(), &mut [0; 4096]).expect("read") > 0 {}
}

#[test]
fn a_file_is_sent_from_an_offset_and_its_position_stays() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
    let target = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
    let (mut peer, _) = listener.accept().expect("accepted");
    let mut source = temporary(b"0123456789");
    assert_eq!(file::size(source.as_raw_fd()).expect("a size"), 10);
    file::seek(source.as_raw_fd(), 2).expect("sought");
    let sent = file::send_file(target.as_raw_fd(), source.as_raw_fd(), 4, 100).expect("sent");
    assert_eq!(sent, 6);
    assert_eq!(file::send_file(target.as_raw_fd(), source.as_raw_fd(), 10, 100).expect("sent"), 0);
    let mut received = [0; 6];
    peer.read_exact(&mut received).expect("received");
    assert_eq!(&received, b"456789");
    let mut remaining = String::new();
    source.read_to_string(&mut remaining).expect("read");
    assert_eq!(remaining, "23456789");
}
