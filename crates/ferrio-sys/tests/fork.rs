//! Forks: a test binary of its own, because the count of forks belongs to the whole process.

use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::time::Duration;

use ferrio_sys::{Events, Interest, Mode, Poller, Token, Waker, fork};

fn ready(poller: &Poller) -> usize {
    let mut events = Events::with_capacity(8);
    poller.wait(&mut events, Some(Duration::ZERO)).expect("a wait");
    events.len()
}

/// One test: several would see the forks of one another.
#[test]
fn inherited_objects_stay_the_parents_and_their_replacements_work() {
    poller();
    waker();
    fork::watch().expect("watched");
    fork::watch().expect("a second time changes nothing");
}

fn poller() {
    let inherited = Poller::new().expect("a poller");
    let ((reader, mut writer), (other, _other_writer)) = (io::pipe().expect("a pipe"), io::pipe().expect("a pipe"));
    inherited.add(reader.as_raw_fd(), Token(1), Interest::READABLE, Mode::Level).expect("added");
    writer.write_all(b"x").expect("written");

    fork::note_child();

    inherited.remove(reader.as_raw_fd()).expect("ignored");
    inherited.modify(reader.as_raw_fd(), Token(1), Interest::NONE, Mode::Level).expect("ignored");
    inherited.add(other.as_raw_fd(), Token(2), Interest::WRITABLE, Mode::Level).expect("ignored");
    assert!(inherited.is_inherited());
    // Ready events belong to the parent.
    assert_eq!(ready(&inherited), 0);

    let fresh = Poller::new().expect("a poller");
    fresh.add(reader.as_raw_fd(), Token(1), Interest::READABLE, Mode::Level).expect("added");
    assert_eq!(ready(&fresh), 1);
    fresh.remove(reader.as_raw_fd()).expect("removed");
    assert_eq!(ready(&fresh), 0);
}

fn waker() {
    let waker = Waker::new().expect("a waker");
    let numbers = (waker.read_fd(), waker.write_fd());
    waker.wake().expect("woken");
    let mut signals = Vec::new();

    fork::note_child();

    assert!(waker.is_inherited());
    waker.wake().expect("ignored");
    waker.drain(&mut signals).expect("ignored");
    waker.renew().expect("renewed");
    assert!(!waker.is_inherited());
    assert_eq!((waker.read_fd(), waker.write_fd()), numbers);
    let poller = Poller::new().expect("a poller");
    poller.add(waker.read_fd(), Token(1), Interest::READABLE, Mode::Level).expect("added");
    assert_eq!(ready(&poller), 0);
    waker.wake().expect("woken");
    assert_eq!(ready(&poller), 1);
    waker.drain(&mut signals).expect("drained");
    assert_eq!(ready(&poller), 0);
}
