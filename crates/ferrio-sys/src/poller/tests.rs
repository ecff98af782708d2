//! Tests of the module's contract, each clause with each poller.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::*;

const NOW: Option<Duration> = Some(Duration::ZERO);
const TOKEN: Token = Token(u64::MAX - 1);
const BOTH: Interest = Interest(3);

fn each_poller(test: impl Fn(&Poller)) {
    test(&Poller::new().expect("a poller"));
    test(&Poller::portable().expect("a portable poller"));
}

fn ready(poller: &Poller) -> Vec<(Token, Readiness)> {
    let mut events = Events::with_capacity(8);
    poller.wait(&mut events, NOW).expect("a wait");
    events.iter().collect()
}

fn streams() -> (UnixStream, UnixStream) {
    let (ours, peer) = UnixStream::pair().expect("a pair");
    ours.set_nonblocking(true).expect("non-blocking");
    (ours, peer)
}

fn pipe() -> (PipeReader, PipeWriter) {
    io::pipe().expect("a pipe")
}

fn errno(result: io::Result<()>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

/// A number that is not open, and that no other test opens.
const CLOSED: RawFd = 1_000_000;

#[test]
fn a_level_is_reported_as_long_as_it_lasts() {
    each_poller(|poller| {
        let (mut reader, mut writer) = pipe();
        poller.add(reader.as_raw_fd(), TOKEN, Interest::READABLE, Mode::Level).expect("added");
        assert_eq!(ready(poller), []);
        writer.write_all(b"x").expect("written");
        assert_eq!(ready(poller), [(TOKEN, Readiness::READABLE)]);
        assert_eq!(ready(poller), [(TOKEN, Readiness::READABLE)]);
        reader.read_exact(&mut [0]).expect("read");
        assert_eq!(ready(poller), []);
    });
}

#[test]
fn an_edge_is_reported_once_until_there_is_another() {
    each_poller(|poller| {
        let (mut ours, mut peer) = streams();
        let fd = ours.as_raw_fd();
        poller.add(fd, TOKEN, BOTH, Mode::Edge).expect("added");
        assert_eq!(ready(poller), [(TOKEN, Readiness::WRITABLE)]);
        assert_eq!(ready(poller), []);
        for _ in 0..3 {
            peer.write_all(b"x").expect("written");
            assert!(ready(poller)[0].1.contains(Readiness::READABLE));
            assert_eq!(ready(poller), []);
            let mut buffer = [0; 8];
            assert_eq!(ours.read(&mut buffer).expect("read"), 1);
            poller.drained(fd, Interest::READABLE);
            assert_eq!(ready(poller), []);
        }
    });
}

#[test]
fn space_to_write_is_an_edge_after_the_buffer_was_full() {
    each_poller(|poller| {
        let (mut ours, mut peer) = streams();
        poller.add(ours.as_raw_fd(), TOKEN, BOTH, Mode::Edge).expect("added");
        assert_eq!(ready(poller), [(TOKEN, Readiness::WRITABLE)]);
        let mut sent = 0;
        while let Ok(count) = ours.write(&[0; 4096]) {
            sent += count;
        }
        poller.drained(ours.as_raw_fd(), Interest::WRITABLE);
        assert_eq!(ready(poller), []);
        peer.read_exact(&mut vec![0; sent]).expect("read");
        assert_eq!(ready(poller), [(TOKEN, Readiness::WRITABLE)]);
        assert_eq!(ready(poller), []);
    });
}

#[test]
fn draining_what_is_not_watched_for_changes_nothing() {
    each_poller(|poller| {
        let (ours, _theirs) = streams();
        poller.drained(ours.as_raw_fd(), BOTH);
        poller.add(ours.as_raw_fd(), TOKEN, Interest::READABLE, Mode::Edge).expect("added");
        poller.drained(ours.as_raw_fd(), BOTH);
        assert_eq!(ready(poller), []);
    });
}

#[test]
fn a_changed_interest_is_reported_under_the_new_token() {
    each_poller(|poller| {
        let (ours, _theirs) = streams();
        let fd = ours.as_raw_fd();
        poller.add(fd, TOKEN, Interest::READABLE, Mode::Level).expect("added");
        assert_eq!(ready(poller), []);
        poller.modify(fd, Token(7), Interest::WRITABLE, Mode::Edge).expect("modified");
        assert_eq!(ready(poller), [(Token(7), Readiness::WRITABLE)]);
        assert_eq!(ready(poller), []);
        poller.modify(fd, Token(8), Interest::WRITABLE, Mode::Edge).expect("modified");
        assert_eq!(ready(poller), [(Token(8), Readiness::WRITABLE)]);
        poller.remove(fd).expect("removed");
        assert_eq!(ready(poller), []);
    });
}

#[test]
fn a_peer_that_stops_writing_hangs_up_on_an_edge_once() {
    each_poller(|poller| {
        let (ours, mut peer) = streams();
        poller.add(ours.as_raw_fd(), TOKEN, BOTH, Mode::Edge).expect("added");
        assert_eq!(ready(poller), [(TOKEN, Readiness::WRITABLE)]);
        peer.write_all(b"last").expect("written");
        peer.shutdown(Shutdown::Write).expect("shut down");
        let readiness = ready(poller)[0].1;
        assert!(readiness.contains(Readiness::READABLE | Readiness::HANGUP), "{readiness:?}");
        assert_eq!(ready(poller), []);
    });
}

#[test]
fn a_hang_up_is_reported_though_reading_has_not_gone_on() {
    each_poller(|poller| {
        let (ours, mut peer) = streams();
        poller.add(ours.as_raw_fd(), TOKEN, BOTH, Mode::Edge).expect("added");
        peer.write_all(b"unread").expect("written");
        assert_eq!(ready(poller), [(TOKEN, Readiness::READABLE | Readiness::WRITABLE)]);
        drop(peer);
        assert!(ready(poller)[0].1.contains(Readiness::HANGUP));
        assert_eq!(ready(poller), []);
    });
}

#[test]
fn hang_ups_and_errors_are_reported_without_interest() {
    each_poller(|poller| {
        let ((reader, writer), (other_reader, other_writer)) = (pipe(), pipe());
        poller.add(reader.as_raw_fd(), Token(1), Interest::NONE, Mode::Level).expect("added");
        poller.add(other_writer.as_raw_fd(), Token(2), Interest::NONE, Mode::Level).expect("added");
        assert_eq!(ready(poller), []);
        drop(writer);
        drop(other_reader);
        let mut events = ready(poller);
        events.sort_by_key(|(token, _)| token.0);
        assert_eq!(events, [(Token(1), Readiness::HANGUP), (Token(2), Readiness::ERROR)]);
        assert!(events.iter().all(|(_, readiness)| readiness.wakes_reader() && readiness.wakes_writer()));
    });
}

#[test]
fn adding_what_is_watched_and_changing_what_is_not_is_refused() {
    each_poller(|poller| {
        let (reader, _writer) = pipe();
        let fd = reader.as_raw_fd();
        let (exists, missing) = (Some(Errno::EXIST.raw_os_error()), Some(Errno::NOENT.raw_os_error()));
        assert_eq!(errno(poller.modify(fd, TOKEN, Interest::READABLE, Mode::Level)), missing);
        assert_eq!(errno(poller.remove(fd)), missing);
        poller.add(fd, TOKEN, Interest::READABLE, Mode::Level).expect("added");
        assert_eq!(errno(poller.add(fd, TOKEN, Interest::READABLE, Mode::Level)), exists);
        poller.remove(fd).expect("removed");
        assert_eq!(errno(poller.remove(fd)), missing);
    });
}

#[test]
fn what_is_not_open_is_refused() {
    each_poller(|poller| {
        let refused = Some(Errno::BADF.raw_os_error());
        for fd in [-1, i32::MIN, CLOSED] {
            assert_eq!(errno(poller.add(fd, TOKEN, Interest::READABLE, Mode::Level)), refused);
            assert_eq!(errno(poller.modify(fd, TOKEN, Interest::READABLE, Mode::Level)), refused);
            assert_eq!(errno(poller.remove(fd)), refused);
        }
    });
}

#[test]
fn regular_files_and_directories_are_refused() {
    each_poller(|poller| {
        for path in [env!("CARGO_MANIFEST_DIR"), concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")] {
            let file = std::fs::File::open(path);
            let result = poller.add(file.expect("open").as_raw_fd(), TOKEN, Interest::READABLE, Mode::Level);
            assert_eq!(errno(result), Some(Errno::PERM.raw_os_error()));
        }
    });
}

#[test]
fn a_descriptor_closed_while_watched_neither_reports_nor_ends_a_wait() {
    each_poller(|poller| {
        let (reader, writer) = pipe();
        // Out of reach of the numbers that other tests open and close.
        let far = rustix::io::fcntl_dupfd_cloexec(&reader, 200).expect("duplicated");
        drop(reader);
        poller.add(far.as_raw_fd(), TOKEN, Interest::READABLE, Mode::Level).expect("added");
        drop(far);
        drop(writer);
        assert_waits(poller, Duration::from_millis(2));
        assert_eq!(ready(poller), []);
    });
}

fn assert_waits(poller: &Poller, timeout: Duration) {
    let started = Instant::now();
    let mut events = Events::with_capacity(1);
    poller.wait(&mut events, Some(timeout)).expect("a wait");
    assert!(events.is_empty());
    assert!(started.elapsed() >= timeout, "{:?} instead of {timeout:?}", started.elapsed());
}

#[test]
fn a_wait_never_ends_early() {
    each_poller(|poller| {
        let (reader, _writer) = pipe();
        poller.add(reader.as_raw_fd(), TOKEN, Interest::READABLE, Mode::Level).expect("added");
        for nanoseconds in [0, 1, 999, 1_001, 150_000, 999_999, 1_000_001, 2_345_678] {
            assert_waits(poller, Duration::from_nanos(nanoseconds));
        }
    });
}

#[test]
fn a_wait_is_accurate_to_less_than_a_millisecond() {
    each_poller(|poller| {
        // The best of many: a busy machine is late, but not each time.
        let best = (0..20).map(|_| {
            let started = Instant::now();
            assert_waits(poller, Duration::from_micros(100));
            started.elapsed()
        });
        assert!(best.min().expect("twenty") < Duration::from_micros(900));
    });
}

#[test]
fn something_ready_ends_the_longest_wait() {
    each_poller(|poller| {
        let (reader, mut writer) = pipe();
        poller.add(reader.as_raw_fd(), TOKEN, Interest::READABLE, Mode::Level).expect("added");
        writer.write_all(b"x").expect("written");
        for timeout in [None, Some(Duration::MAX), Some(Duration::from_secs(1))] {
            let mut events = Events::with_capacity(1);
            poller.wait(&mut events, timeout).expect("a wait");
            assert_eq!(events.len(), 1);
        }
    });
}

#[test]
fn events_beyond_the_capacity_come_with_another_wait() {
    each_poller(|poller| {
        let ends: Vec<_> = (0u64..3).map(|number| (Token(number), streams())).collect();
        for (token, (ours, _)) in &ends {
            poller.add(ours.as_raw_fd(), *token, Interest::WRITABLE, Mode::Level).expect("added");
        }
        let mut seen = std::collections::BTreeSet::new();
        let mut events = Events::with_capacity(0);
        for _ in 0..3 {
            poller.wait(&mut events, NOW).expect("a wait");
            seen.extend(events.iter().map(|(token, _)| token.0));
        }
        assert_eq!(seen.len(), 3);
    });
}

#[test]
fn pollers_and_events_may_move_to_and_be_shared_with_other_threads() {
    fn assert_shareable<T: Send + Sync>() {}
    assert_shareable::<Poller>();
    assert_shareable::<Events>();
    assert_shareable::<crate::Waker>();
}

#[test]
fn a_once_interest_is_reported_once_and_can_be_armed_again() {
    each_poller(|poller| {
        let (reader, mut writer) = pipe();
        let fd = reader.as_raw_fd();
        poller.add(fd, TOKEN, Interest::READABLE, Mode::Once).expect("added");
        writer.write_all(b"x").expect("written");
        assert_eq!(ready(poller), [(TOKEN, Readiness::READABLE)]);
        assert_eq!(ready(poller), []);
        writer.write_all(b"y").expect("written");
        assert_eq!(ready(poller), []);
        poller.modify(fd, Token(7), Interest::READABLE, Mode::Once).expect("modified");
        assert_eq!(ready(poller), [(Token(7), Readiness::READABLE)]);
    });
}
