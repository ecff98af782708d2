//! After a fork: a process of its own for this test, because the count of forks belongs to the whole process.

use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::time::Duration;

use ferrio_sys::{Events, Interest, Mode, Poller, Token, fork};

fn ready(poller: &Poller) -> usize {
    let mut events = Events::with_capacity(8);
    poller.wait(&mut events, Some(Duration::ZERO)).expect("a wait");
    events.len()
}

#[test]
fn an_inherited_poller_keeps_its_registrations_and_a_new_one_works() {
    let inherited = Poller::new().expect("a poller");
    let ((reader, mut writer), (other, _other_writer)) = (io::pipe().expect("a pipe"), io::pipe().expect("a pipe"));
    inherited.add(reader.as_raw_fd(), Token(1), Interest::READABLE, Mode::Level).expect("added");
    writer.write_all(b"x").expect("written");

    fork::note_child();

    inherited.remove(reader.as_raw_fd()).expect("ignored");
    inherited.modify(reader.as_raw_fd(), Token(1), Interest::NONE, Mode::Level).expect("ignored");
    inherited.add(other.as_raw_fd(), Token(2), Interest::WRITABLE, Mode::Level).expect("ignored");
    assert_eq!(ready(&inherited), 1);

    let fresh = Poller::new().expect("a poller");
    fresh.add(reader.as_raw_fd(), Token(1), Interest::READABLE, Mode::Level).expect("added");
    assert_eq!(ready(&fresh), 1);
    fresh.remove(reader.as_raw_fd()).expect("removed");
    assert_eq!(ready(&fresh), 0);
}
