//! Child processes, with real ones.

use std::io;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ferrio_sys::child::{self, Watch};
use ferrio_sys::{Events, Interest, Mode, Poller, Token};
use rustix::io::Errno;

/// A child that ends when its stdin is closed.
fn waiting_child() -> Child {
    Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("a child")
}

fn pid(child: &Child) -> i32 {
    i32::try_from(child.id()).expect("a pid")
}

fn is_readable(watch: &Watch, timeout: Duration) -> bool {
    let poller = Poller::new().expect("a poller");
    poller.add(watch.fd(), Token(1), Interest::READABLE, Mode::Level).expect("added");
    let mut events = Events::with_capacity(1);
    poller.wait(&mut events, Some(timeout)).expect("a wait");
    !events.is_empty()
}

fn errno<T>(outcome: io::Result<T>) -> Option<Errno> {
    outcome.err().and_then(|error| Errno::from_io_error(&error))
}

#[test]
fn a_watch_is_readable_once_the_child_has_ended() {
    let mut running = waiting_child();
    let watch = Watch::new(pid(&running)).expect("a watch");
    assert!(!is_readable(&watch, Duration::ZERO));

    drop(running.stdin.take());
    assert!(is_readable(&watch, Duration::from_secs(10)));
    assert!(running.wait().expect("a status").success());
}

#[test]
fn waiting_leaves_the_status_to_be_reaped() {
    let mut ended = Command::new("sh").args(["-c", "exit 7"]).spawn().expect("a child");
    child::wait(pid(&ended)).expect("waited");
    child::wait(pid(&ended)).expect("waited again");
    assert_eq!(ended.wait().expect("a status").code(), Some(7));
    assert_eq!(errno(child::wait(pid(&ended))), Some(Errno::CHILD));
}

#[test]
fn no_child_is_an_error_and_never_any_child() {
    let mut running = waiting_child();
    for pid in [0, -1, i32::MIN] {
        assert_eq!(errno(child::wait(pid)), Some(Errno::CHILD));
        assert!(Watch::new(pid).is_err());
    }
    drop(running.stdin.take());
    running.wait().expect("a status");
}
